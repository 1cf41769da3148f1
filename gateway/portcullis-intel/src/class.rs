use std::fmt;
use std::str::FromStr;

/// What kind of network an address belongs to.
///
/// The order is that of the reason codes, not of precedence: which class is consulted first is the
/// policy's matter.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum NetworkClass {
    /// An exit of the Tor network.
    Tor,
    /// An exit of a VPN service.
    Vpn,
    /// An open, public or residential proxy.
    Proxy,
    /// Hosting: servers, not people, stand there.
    Datacenter,
    /// A network known for abuse.
    Abuser,
    /// A crawler's published range.
    Crawler,
    /// Access by satellite: many people behind one address, far from where it is registered.
    Satellite,
    /// Access by phone: many people behind one address (RFC 6598).
    Mobile,
    /// A privacy relay that people's own devices use, such as iCloud Private Relay.
    Relay,
}

impl NetworkClass {
    /// Every class, in the order of declaration.
    pub const ALL: [NetworkClass; 9] = [
        NetworkClass::Tor,
        NetworkClass::Vpn,
        NetworkClass::Proxy,
        NetworkClass::Datacenter,
        NetworkClass::Abuser,
        NetworkClass::Crawler,
        NetworkClass::Satellite,
        NetworkClass::Mobile,
        NetworkClass::Relay,
    ];

    /// The name in rules, metrics and audit records: lower case, one word.
    pub const fn name(self) -> &'static str {
        match self {
            NetworkClass::Tor => "tor",
            NetworkClass::Vpn => "vpn",
            NetworkClass::Proxy => "proxy",
            NetworkClass::Datacenter => "datacenter",
            NetworkClass::Abuser => "abuser",
            NetworkClass::Crawler => "crawler",
            NetworkClass::Satellite => "satellite",
            NetworkClass::Mobile => "mobile",
            NetworkClass::Relay => "relay",
        }
    }

    const fn bit(self) -> u16 {
        1 << self as u16
    }
}

impl fmt::Display for NetworkClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for NetworkClass {
    type Err = UnknownClass;

    fn from_str(text: &str) -> Result<Self, UnknownClass> {
        NetworkClass::ALL
            .into_iter()
            .find(|class| class.name() == text)
            .ok_or_else(|| UnknownClass { text: text.to_owned() })
    }
}

/// The text is not the name of a network class.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UnknownClass {
    text: String,
}

impl fmt::Display for UnknownClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no network class is called `{}`; there are", self.text)?;
        for (index, class) in NetworkClass::ALL.into_iter().enumerate() {
            write!(f, "{} `{class}`", if index == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl std::error::Error for UnknownClass {}

/// A set of network classes, in two bytes.
#[derive(Clone, Copy, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ClassSet(u16);

impl ClassSet {
    /// The set without a class.
    pub const EMPTY: ClassSet = ClassSet(0);

    /// The set of one class.
    pub const fn of(class: NetworkClass) -> Self {
        ClassSet(class.bit())
    }

    /// Whether `class` is in the set.
    pub const fn contains(self, class: NetworkClass) -> bool {
        self.0 & class.bit() != 0
    }

    /// Puts `class` into the set.
    pub const fn insert(&mut self, class: NetworkClass) {
        self.0 |= class.bit();
    }

    /// The set without `class`.
    #[must_use]
    pub const fn without(self, class: NetworkClass) -> Self {
        ClassSet(self.0 & !class.bit())
    }

    /// The classes of either set.
    #[must_use]
    pub const fn union(self, other: ClassSet) -> Self {
        ClassSet(self.0 | other.0)
    }

    /// Whether there is no class in the set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// How many classes are in the set.
    pub const fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// The classes of the set, in the order of [`NetworkClass::ALL`].
    pub fn iter(self) -> impl Iterator<Item = NetworkClass> + Clone {
        NetworkClass::ALL.into_iter().filter(move |class| self.contains(*class))
    }
}

impl FromIterator<NetworkClass> for ClassSet {
    fn from_iter<I: IntoIterator<Item = NetworkClass>>(classes: I) -> Self {
        let mut set = ClassSet::EMPTY;
        set.extend(classes);
        set
    }
}

impl Extend<NetworkClass> for ClassSet {
    fn extend<I: IntoIterator<Item = NetworkClass>>(&mut self, classes: I) {
        classes.into_iter().for_each(|class| self.insert(class));
    }
}

impl fmt::Debug for ClassSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_is_read_by_its_own_name() {
        for class in NetworkClass::ALL {
            assert_eq!(class.name().parse(), Ok(class));
        }
        assert_eq!(
            "hosting".parse::<NetworkClass>().unwrap_err().to_string(),
            "no network class is called `hosting`; there are `tor`, `vpn`, `proxy`, `datacenter`, \
             `abuser`, `crawler`, `satellite`, `mobile`, `relay`"
        );
    }

    #[test]
    fn a_set_holds_what_was_inserted_and_nothing_else() {
        let mut set = ClassSet::EMPTY;
        assert!(set.is_empty());
        set.insert(NetworkClass::Relay);
        set.insert(NetworkClass::Tor);
        set.insert(NetworkClass::Tor);
        for class in NetworkClass::ALL {
            let held = matches!(class, NetworkClass::Relay | NetworkClass::Tor);
            assert_eq!(set.contains(class), held, "{class}");
        }
        assert_eq!(set.len(), 2);
        assert_eq!(set.iter().collect::<Vec<_>>(), [NetworkClass::Tor, NetworkClass::Relay]);
        assert_eq!(set.without(NetworkClass::Tor), ClassSet::of(NetworkClass::Relay));
        assert_eq!(format!("{set:?}"), "{Tor, Relay}");
    }

    #[test]
    fn all_classes_fit_and_stay_apart() {
        let all: ClassSet = NetworkClass::ALL.into_iter().collect();
        assert_eq!(all.len(), NetworkClass::ALL.len());
        assert!(all.iter().eq(NetworkClass::ALL));
        let one = ClassSet::of(NetworkClass::Vpn);
        assert_eq!(one.union(ClassSet::EMPTY), one);
        assert_eq!(one.union(all), all);
    }
}
