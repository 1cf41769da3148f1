//! Whom a person bans: a kind and a name, as the key that requests are checked by.

use std::fmt;
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use portcullis_fingerprint::{Ja3Hash, Ja4, ShortHash};
use portcullis_intel::{Asn, Country, Prefix, canonical};
use portcullis_policy::folded;
use portcullis_velocity::{BanKind, Key, KeyHasher};

use super::keys::{ban_key, ban_key_of, cohort_name, prefix_bytes};

/// Whom a person bans.
///
/// Invariant: `key` is the one that requests with this name are checked by.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Subject {
    /// What is banned.
    pub kind: BanKind,
    /// Its name in the one form in which it is listed: `192.0.2.1`, `2001:db8::/64`, `AS64500`.
    pub name: String,
    /// Its key.
    pub key: Key,
    /// The addresses that are banned; none where they are not what is banned.
    pub network: Option<Prefix>,
}

/// Why a kind and a name are nobody who can be banned.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SubjectError {
    /// What is wrong.
    pub fault: String,
    /// What to do about it.
    pub help: String,
}

impl fmt::Display for SubjectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.fault, self.help)
    }
}

impl std::error::Error for SubjectError {}

impl Subject {
    /// Whom a person means by the name of a kind and a name.
    ///
    /// # Errors
    ///
    /// Where there is no such kind, where no request is checked by it, and where the name is not one of the kind: a
    /// network that is not as long as those that the gateway counts by, for one.
    pub fn of(hasher: &KeyHasher, kind: &str, name: &str) -> Result<Self, SubjectError> {
        let Some(kind) = BanKind::named(kind) else {
            return Err(wrong(
                format!("`{}` is no kind of ban", printable(kind)),
                format!("kinds are {}", kind_names()),
            ));
        };
        let of_kind =
            |name: String, bytes: &[u8]| Self { kind, key: ban_key_of(hasher, kind, bytes), name, network: None };
        Ok(match kind {
            BanKind::Address => {
                let network = address(name)?;
                let bare = network.address();
                // An IPv6 client is its /64, which the name says too.
                let listed = if bare.is_ipv4() { bare.to_string() } else { network.to_string() };
                Self { kind, name: listed, key: ban_key(hasher, bare), network: Some(network) }
            }
            BanKind::Prefix => {
                let network = prefix(name)?;
                let bytes = prefix_bytes(network.address());
                Self { network: Some(network), ..of_kind(network.to_string(), &bytes) }
            }
            BanKind::User | BanKind::Account => {
                check_visible(kind, name)?;
                let name = folded(name);
                check_named(kind, &name)?;
                of_kind(name.clone().into_owned(), name.as_bytes())
            }
            BanKind::ApiKey | BanKind::Session | BanKind::Device | BanKind::Token | BanKind::Http2 => {
                check_named(kind, name)?;
                of_kind(name.to_owned(), name.as_bytes())
            }
            BanKind::Ja3 => {
                let hash: Ja3Hash =
                    read(name, "as in `cd08e31494f9531f560d64c695473da9`; audit records have it as `ja3`")?;
                let name = hash.to_string();
                of_kind(name.clone(), name.as_bytes())
            }
            BanKind::Ja4 => {
                let print: Ja4 =
                    read(name, "as in `t13d1516h2_8daaf6152771_02713d6af862`; audit records have it as `ja4`")?;
                of_kind(print.as_str().to_owned(), print.as_str().as_bytes())
            }
            BanKind::Asn => {
                let asn: Asn = read(name, "write it as in `AS64500`")?;
                of_kind(asn.to_string(), &asn.0.to_be_bytes())
            }
            BanKind::Country => {
                let country: Country = read(name, "write it as in `DE`")?;
                of_kind(country.as_str().to_owned(), country.as_str().as_bytes())
            }
            BanKind::Cohort => {
                let name = cohort(name)?;
                of_kind(name.clone(), name.as_bytes())
            }
            BanKind::Other => {
                return Err(wrong(
                    format!("no request is checked for bans of the kind `{}`", kind.name()),
                    format!("kinds are {}", kind_names()),
                ));
            }
        })
    }

    /// The names of the kinds that a person can ban by.
    pub fn kinds() -> impl Iterator<Item = &'static str> {
        let asked = BanKind::ALL.into_iter().filter(|kind| *kind != BanKind::Other);
        asked.map(BanKind::name)
    }

    /// Whether any address of a network would be refused.
    pub fn touches(&self, network: IpNetwork) -> bool {
        self.network.is_some_and(|own| own.contains(network.network()) || network.contains(own.address()))
    }
}

/// The kinds that a person can ban by, in words.
fn kind_names() -> String {
    Subject::kinds().map(|kind| format!("`{kind}`")).collect::<Vec<_>>().join(", ")
}

/// The addresses of one client.
fn address(text: &str) -> Result<Prefix, SubjectError> {
    let written = network(text, "as in `192.0.2.1` or `2001:db8::1`")?;
    let one = canonical(written.ip());
    let client = client_length(one);
    let whole = written.prefix() == full_length(written.ip());
    let network = of_length(one, client)?;
    if whole || (network.address() == written.ip() && written.prefix() == client) {
        return Ok(network);
    }
    Err(wrong(
        format!("`{}` is not the address of one client", printable(text)),
        format!("ban an address, as in `{one}`, or the prefix `{}`", of_length(one, prefix_length(one))?),
    ))
}

/// A prefix of the length that the gateway counts by.
fn prefix(text: &str) -> Result<Prefix, SubjectError> {
    let written = network(text, "as in `192.0.2.0/24` or `2001:db8:0:100::/56`")?;
    let one = canonical(written.ip());
    // What maps IPv4 into IPv6 has 96 bits before it (RFC 4291 §2.5.5.2).
    let mapped = if one.is_ipv4() && written.is_ipv6() { 96 } else { 0 };
    let network = of_length(one, prefix_length(one))?;
    if written.prefix().checked_sub(mapped) == Some(network.length()) && network.address() == one {
        return Ok(network);
    }
    Err(wrong(
        format!("the gateway does not count by the prefix `{}`", printable(text)),
        format!(
            "it counts IPv4 by /24 and IPv6 by /56: ban `{network}`, or write a rule for networks of other lengths"
        ),
    ))
}

/// Clients that look alike.
fn cohort(text: &str) -> Result<String, SubjectError> {
    let help = "write the JA4, or `plain` for clients without TLS, and the order of the fields, as audit records have them in \
                `ja4` and `header_order`: `t13d1516h2_8daaf6152771_02713d6af862/0a1b2c3d4e5f`";
    let (ja4, order) = text
        .split_once('/')
        .ok_or_else(|| wrong(format!("`{}` says not how clients look", printable(text)), help.to_owned()))?;
    let ja4: Option<Ja4> = if ja4 == "plain" { None } else { Some(read(ja4, help)?) };
    Ok(cohort_name(ja4.as_ref(), read::<ShortHash>(order, help)?))
}

fn check_named(kind: BanKind, name: &str) -> Result<(), SubjectError> {
    if name.is_empty() {
        let fault = format!("the name of the {} is empty", kind.name());
        return Err(wrong(fault, "say which one is meant".to_owned()));
    }
    Ok(())
}

/// Folding would take control characters off that nobody meant to write.
fn check_visible(kind: BanKind, name: &str) -> Result<(), SubjectError> {
    if name.contains(char::is_control) {
        let fault = format!("the name of the {} holds control characters", kind.name());
        return Err(wrong(fault, "write it without them".to_owned()));
    }
    Ok(())
}

fn network(text: &str, example: &str) -> Result<IpNetwork, SubjectError> {
    text.parse().map_err(|_| {
        wrong(format!("`{}` is no address and no network", printable(text)), format!("write it {example}"))
    })
}

fn of_length(address: IpAddr, length: u8) -> Result<Prefix, SubjectError> {
    Prefix::new(address, length).map_err(|error| wrong(error.to_string(), "choose another one".to_owned()))
}

/// How many leading bits of an address are those of one client.
const fn client_length(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 64 }
}

/// How many leading bits of an address are its prefix.
const fn prefix_length(address: IpAddr) -> u8 {
    if address.is_ipv4() { 24 } else { 56 }
}

const fn full_length(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn read<T: std::str::FromStr<Err: fmt::Display>>(text: &str, help: &str) -> Result<T, SubjectError> {
    text.parse().map_err(|error: T::Err| wrong(printable(&error.to_string()), help.to_owned()))
}

fn wrong(fault: String, help: String) -> SubjectError {
    SubjectError { fault, help }
}

fn printable(text: &str) -> String {
    crate::intel::fetch::printable(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_velocity::Secret;

    fn hasher() -> KeyHasher {
        KeyHasher::new(Secret([7; 16]))
    }

    #[track_caller]
    fn check(kind: &str, name: &str, listed: &str, key: Key) {
        let subject = Subject::of(&hasher(), kind, name).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((subject.kind.name(), subject.name.as_str(), subject.key), (kind, listed, key), "{name}");
    }

    #[test]
    fn a_name_has_the_key_that_requests_are_checked_by_however_it_is_written() {
        let at = |text: &str| ban_key(&hasher(), text.parse().unwrap());
        check("address", "192.0.2.1", "192.0.2.1", at("192.0.2.1"));
        check("address", "192.0.2.1/32", "192.0.2.1", at("192.0.2.1"));
        check("address", "::ffff:192.0.2.1", "192.0.2.1", at("192.0.2.1"));
        check("address", "2001:DB8::1", "2001:db8::/64", at("2001:db8::ffff"));
        check("address", "2001:db8::/64", "2001:db8::/64", at("2001:db8::ffff"));
        let of = |kind, bytes: &[u8]| ban_key_of(&hasher(), kind, bytes);
        check("prefix", "192.0.2.0/24", "192.0.2.0/24", of(BanKind::Prefix, &[192, 0, 2]));
        check("prefix", "::ffff:192.0.2.0/120", "192.0.2.0/24", of(BanKind::Prefix, &[192, 0, 2]));
        let long = prefix_bytes("2001:db8:0:1ff::9".parse().unwrap());
        check("prefix", "2001:db8:0:100::/56", "2001:db8:0:100::/56", of(BanKind::Prefix, &long));
        for asn in ["AS64500", "as64500", "64500"] {
            check("asn", asn, "AS64500", of(BanKind::Asn, &64500_u32.to_be_bytes()));
        }
        check("country", "de", "DE", of(BanKind::Country, b"DE"));
        check("user", " Ann@shop.example", "ann@shop.example", of(BanKind::User, b"ann@shop.example"));
        check("session", " Sid ", " Sid ", of(BanKind::Session, b" Sid "));
        let look = "t13d1516h2_8daaf6152771_02713d6af862/0a1b2c3d4e5f";
        check("cohort", &look.replace("0a1b", "0A1B"), look, of(BanKind::Cohort, look.as_bytes()));
        check("cohort", "plain/0a1b2c3d4e5f", "plain/0a1b2c3d4e5f", of(BanKind::Cohort, b"plain/0a1b2c3d4e5f"));
        let ja4 = "t13d1516h2_8daaf6152771_02713d6af862";
        check("ja4", ja4, ja4, of(BanKind::Ja4, ja4.as_bytes()));
        let ja3 = "cd08e31494f9531f560d64c695473da9";
        check("ja3", &ja3.to_uppercase(), ja3, of(BanKind::Ja3, ja3.as_bytes()));
    }

    #[test]
    fn what_the_gateway_does_not_check_by_is_refused_with_what_to_do() {
        for (kind, name, message) in [
            ("usr", "ann", "`usr` is no kind of ban; kinds are `address`, `prefix`, `user`"),
            ("cohort", "x", "`x` says not how clients look; write the JA4"),
            ("cohort", "x/0a1b2c3d4e5f", "write the JA4, or `plain`"),
            ("cohort", "plain/x", "write the JA4, or `plain`"),
            ("other", "x", "no request is checked for bans of the kind `other`; kinds are"),
            ("user", "", "the name of the user is empty; say which one is meant"),
            ("account", " ", "the name of the account is empty; say which one is meant"),
            ("address", "ann", "`ann` is no address and no network; write it as in `192.0.2.1`"),
            (
                "address",
                "192.0.2.0/24",
                "`192.0.2.0/24` is not the address of one client; ban an address, as in `192.0.2.0`, or the prefix `192.0.2.0/24`",
            ),
            ("address", "2001:db8::1/64", "`2001:db8::1/64` is not the address of one client"),
            (
                "prefix",
                "192.0.0.0/16",
                "the gateway does not count by the prefix `192.0.0.0/16`; it counts IPv4 by /24 and IPv6 by /56: ban `192.0.0.0/24`",
            ),
            ("prefix", "192.0.2.1/24", "does not count by the prefix `192.0.2.1/24`"),
            ("prefix", "192.0.2.1", "does not count by the prefix `192.0.2.1`"),
            ("prefix", "2001:db8::/48", "ban `2001:db8::/56`"),
            ("asn", "ASX", "write it as in `AS64500`"),
            ("country", "Germany", "write it as in `DE`"),
            ("ja4", "t13d", "audit records have it as `ja4`"),
            ("ja3", "771,4865", "audit records have it as `ja3`"),
        ] {
            let error = Subject::of(&hasher(), kind, name).unwrap_err().to_string();
            assert!(error.contains(message), "{kind} {name}: {error}");
        }
    }

    #[test]
    fn a_network_is_touched_from_within_and_from_without() {
        for (kind, name, network, touched) in [
            ("address", "192.0.2.1", "192.0.2.0/24", true),
            ("address", "192.0.2.1", "192.0.2.1/32", true),
            ("address", "192.0.2.1", "192.0.2.2/32", false),
            ("prefix", "192.0.2.0/24", "192.0.2.7/32", true),
            ("prefix", "192.0.2.0/24", "192.0.0.0/16", true),
            ("prefix", "192.0.2.0/24", "192.0.3.0/24", false),
            ("address", "2001:db8::1", "2001:db8::2/128", true),
            ("address", "2001:db8::1", "192.0.2.0/24", false),
            ("asn", "AS64500", "0.0.0.0/0", false),
        ] {
            let subject = Subject::of(&hasher(), kind, name).unwrap();
            assert_eq!(subject.touches(network.parse().unwrap()), touched, "{name} and {network}");
        }
    }

    #[test]
    fn no_text_makes_it_panic() {
        for text in
            ["/", "::/0", "0.0.0.0/0", "1.2.3.4/999", "\u{202e}", "\0", "::ffff:1.2.3.4/95", "%", &"x".repeat(10_000)]
        {
            for kind in BanKind::ALL {
                let _ = Subject::of(&hasher(), kind.name(), text);
            }
        }
    }
}
