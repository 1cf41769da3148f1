//! Browser families as data: what each sends, by version.

mod faults;
mod reader;
mod written;

use std::sync::LazyLock;

use crate::claim::Claim;
use crate::coherence::RequestKind;
use crate::headers::{Fields, HeaderDigest, Order};

pub use faults::{FamiliesError, FamiliesFault};

/// What browsers send, in rows; each row covers some versions of one family and adds to the others that do.
///
/// The rows that are shipped stand in `families/browsers.toml`, which also says what a row may hold. Operators add
/// files of the same form: their rows of a family take the place of those that are shipped for it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Families {
    rows: Vec<Row>,
}

/// Whether rows say what a client's claim should look like.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Coverage {
    /// It claims a browser that a row covers.
    Covered,
    /// It claims a browser that no row covers: the rows are stale, or the browser is rare.
    Uncovered,
    /// It claims no browser.
    NotABrowser,
}

impl Coverage {
    /// The stable lower-case name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Covered => "covered",
            Self::Uncovered => "uncovered",
            Self::NotABrowser => "not-a-browser",
        }
    }
}

/// The folder, in that of the rules, in which files of rows stand that operators add.
pub const FAMILIES_FOLDER: &str = "families";

static SHIPPED: LazyLock<Families> = LazyLock::new(|| {
    #[expect(clippy::expect_used, reason = "the text is a constant of this crate, and every test reads it")]
    Families::parse("families/browsers.toml", include_str!("../families/browsers.toml"))
        .expect("the shipped rows are right")
});

impl Families {
    /// The rows that are shipped.
    pub fn shipped() -> &'static Self {
        &SHIPPED
    }

    /// Reads the rows of one file.
    ///
    /// # Errors
    ///
    /// Everything that is wrong, each with its place.
    pub fn parse(file: &str, text: &str) -> Result<Self, FamiliesError> {
        written::read(file, text).map(|rows| Self { rows })
    }

    /// The rows of both, none in the place of another.
    #[must_use]
    pub fn joined(mut self, other: Self) -> Self {
        self.rows.extend(other.rows);
        self
    }

    /// The names of the families that the rows are about, each once, in the order written.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for row in &self.rows {
            if !names.contains(&&*row.name) {
                names.push(&row.name);
            }
        }
        names
    }

    /// These rows, and those of `other` in place of all rows here of the families that it names.
    #[must_use]
    pub fn overlaid(&self, other: &Self) -> Self {
        let kept = self.rows.iter().filter(|row| !other.rows.iter().any(|new| new.name == row.name));
        Self { rows: kept.chain(&other.rows).cloned().collect() }
    }

    /// How many rows there are.
    pub const fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Whether rows say what the TLS or the header of this claim looks like.
    pub fn coverage(&self, claim: &Claim) -> Coverage {
        if !claim.kind.is_browser() {
            Coverage::NotABrowser
        } else if self.covering(claim).any(|row| row.tls != TlsRow::default()) {
            Coverage::Covered
        } else {
            Coverage::Uncovered
        }
    }

    /// The rows that cover a claim, in the order written.
    pub(crate) fn covering(&self, claim: &Claim) -> impl Iterator<Item = &Row> {
        let (name, version, mobile) = (claim.family_name(), claim.version, claim.mobile);
        self.rows.iter().filter(move |row| row.covers(name, version, mobile))
    }
}

/// What one row says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) name: Box<str>,
    pub(crate) from: Option<u16>,
    pub(crate) to: Option<u16>,
    pub(crate) device: Option<Device>,
    pub(crate) grade: Grade,
    pub(crate) tls: TlsRow,
    pub(crate) http2: Http2Row,
    pub(crate) headers: HeaderRules,
}

impl Row {
    /// A version that is not stated is covered by the rows for any version alone.
    fn covers(&self, name: &str, version: u16, mobile: bool) -> bool {
        let within = if version == 0 {
            self.from.is_none() && self.to.is_none()
        } else {
            self.from.is_none_or(|from| from <= version) && self.to.is_none_or(|to| version <= to)
        };
        within && *self.name == *name && self.device.is_none_or(|device| (device == Device::Mobile) == mobile)
    }
}

/// The devices that a row is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Device {
    Desktop,
    Mobile,
}

/// How much it weighs that something contradicts a row.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Grade {
    /// Seen on the wire, or true by construction: a proof.
    Hard,
    /// Documented only: a doubt.
    Soft,
}

/// The ClientHello of a family; what is empty or absent says nothing.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct TlsRow {
    pub(crate) ciphers: Vec<Vec<u16>>,
    pub(crate) grease: Option<bool>,
    pub(crate) tls13: Option<bool>,
    /// The highest version of TLS that it can offer, as on the wire.
    pub(crate) newest: Option<u16>,
    pub(crate) alpn: Vec<Box<[u8]>>,
    pub(crate) absent_alpn: Vec<Box<[u8]>>,
    pub(crate) extensions: Vec<u16>,
    pub(crate) absent: Vec<u16>,
    pub(crate) groups: Vec<u16>,
    pub(crate) absent_groups: Vec<u16>,
    pub(crate) shuffled: bool,
}

/// The HTTP/2 preface of a family; what is empty or absent says nothing.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Http2Row {
    pub(crate) pseudo: Vec<char>,
    pub(crate) window: Option<u32>,
    pub(crate) settings: Vec<(u16, u32)>,
    pub(crate) only: Vec<u16>,
    pub(crate) exact: Vec<Vec<(u16, u32)>>,
    pub(crate) priority: Option<WantedPriority>,
}

/// The priority that the first HEADERS frame carries.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum WantedPriority {
    Exclusive,
    Plain,
    Any,
}

/// The header fields of a family; an empty set or order says nothing.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct HeaderRules {
    pub(crate) always: Fields,
    pub(crate) secure: Fields,
    pub(crate) navigation: Fields,
    pub(crate) http2: Fields,
    pub(crate) never: Fields,
    pub(crate) encodings: Encodings,
    pub(crate) absent_encodings: Encodings,
    pub(crate) order: Order,
    pub(crate) kinds: [KindRules; RequestKind::RULED],
}

impl HeaderRules {
    /// These rules and those of a later row: sets add up, an order takes the place of the earlier one.
    pub(crate) fn add(&mut self, later: &Self) {
        for (mine, new) in [
            (&mut self.always, later.always),
            (&mut self.secure, later.secure),
            (&mut self.navigation, later.navigation),
            (&mut self.http2, later.http2),
            (&mut self.never, later.never),
        ] {
            *mine = mine.and(new);
        }
        self.encodings = Encodings(self.encodings.0 | later.encodings.0);
        self.absent_encodings = Encodings(self.absent_encodings.0 | later.absent_encodings.0);
        if !later.order.is_empty() {
            self.order = later.order;
        }
        for (mine, new) in self.kinds.iter_mut().zip(&later.kinds) {
            mine.add(new);
        }
    }

    /// What is said of one kind of request; nothing where no row covers it.
    pub(crate) fn kind(&self, kind: RequestKind) -> Option<&KindRules> {
        self.kinds.get(kind.place()?).filter(|rules| rules.covered || kind.is_common())
    }
}

/// What is said of one kind of request.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct KindRules {
    /// Whether a row speaks of the kind.
    pub(crate) covered: bool,
    /// What it has beside what every request has.
    pub(crate) has: Fields,
    /// What it may lack of what every request has: all of these together.
    pub(crate) lacks: Fields,
    /// The orders that its fields may come in: any one.
    pub(crate) orders: [Order; KindRules::ORDERS],
}

impl KindRules {
    /// How many orders a kind may have.
    pub(crate) const ORDERS: usize = 2;

    /// What a request lacks of these fields and of those that the kind has.
    pub(crate) const fn missing(&self, wanted: Fields, digest: &HeaderDigest<'_>) -> Fields {
        let missing = wanted.and(self.has).without(digest.present());
        let spared = wanted.both(self.lacks);
        // A browser leaves all of them out, or none.
        if missing.without(spared).is_empty() && spared.without(missing).is_empty() { Fields::NONE } else { missing }
    }

    /// Whether the fields of a request come in one of the orders.
    pub(crate) fn order_holds(&self, digest: &HeaderDigest<'_>) -> bool {
        let [first, second] = &self.orders;
        first.holds(digest) || (!second.is_empty() && second.holds(digest))
    }

    fn add(&mut self, later: &Self) {
        self.covered |= later.covered;
        self.has = self.has.and(later.has);
        self.lacks = self.lacks.and(later.lacks);
        if later.orders.iter().any(|order| !order.is_empty()) {
            self.orders = later.orders;
        }
    }
}

/// A set of content codings.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Encodings(u8);

impl Encodings {
    pub(crate) const NAMES: [&'static str; 4] = ["gzip", "deflate", "br", "zstd"];

    /// Adds a coding; none that is not known.
    pub(crate) fn insert(&mut self, name: &str) -> Option<()> {
        let at = Self::NAMES.iter().position(|known| *known == name)?;
        self.0 |= 1 << at;
        Some(())
    }

    /// The codings that an `Accept-Encoding` names, weights left aside; `*` is any (RFC 9110 §12.5.3).
    pub(crate) fn of(value: &[u8]) -> Self {
        let mut encodings = Self::default();
        for token in value.split(|byte| *byte == b',') {
            let token = token.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
            if let Ok(name) = std::str::from_utf8(token) {
                let _ = encodings.insert(name);
            }
        }
        encodings
    }

    /// Whether one coding is in both sets.
    pub(crate) const fn meet(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether every coding of the other set is in this one.
    pub(crate) const fn contain(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Family;

    #[test]
    fn the_shipped_rows_cover_the_browsers_that_matter() {
        for (user_agent, coverage) in [
            (
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36",
                Coverage::Covered,
            ),
            ("Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0", Coverage::Covered),
            (
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/60.5 Safari/605.1.15",
                Coverage::Covered,
            ),
            ("NetSurf/3.10 (Linux)", Coverage::Covered),
            ("Dillo/3.0.5", Coverage::Uncovered),
            ("curl/8.5.0", Coverage::NotABrowser),
        ] {
            assert_eq!(Families::shipped().coverage(&Claim::of(user_agent.as_bytes())), coverage, "{user_agent}");
        }
    }

    #[test]
    fn a_version_that_is_not_stated_is_covered_by_rows_for_any_version_alone() {
        let unstated = Claim {
            family: Family::Safari,
            version: 0,
            ..Claim::of(b"Mozilla/5.0 (iPhone) AppleWebKit/605 Safari/604.1")
        };
        assert!(Families::shipped().covering(&unstated).all(|row| row.from.is_none() && row.to.is_none()));
    }

    #[test]
    fn the_rows_of_operators_take_the_place_of_those_of_the_same_family() {
        let text = "[[family]]\nname = \"netsurf\"\nfrom = 4\nsource = \"x\"\ndate = \"2026-01-01\"\n";
        let laid = Families::shipped().overlaid(&Families::parse("more.toml", text).unwrap());
        let netsurf = |families: &Families| families.rows.iter().filter(|row| &*row.name == "netsurf").count();
        assert_eq!((netsurf(Families::shipped()), netsurf(&laid)), (1, 1));
        assert_eq!(laid.len(), Families::shipped().len());
    }

    #[test]
    fn codings_are_read_without_their_weights() {
        let mut wanted = Encodings::default();
        for name in ["gzip", "zstd"] {
            wanted.insert(name).unwrap();
        }
        for (value, contain) in
            [("gzip, zstd", true), ("zstd;q=1.0,gzip;q=0.5", true), ("gzip, br", false), ("", false)]
        {
            assert_eq!(Encodings::of(value.as_bytes()).contain(wanted), contain, "{value}");
        }
        assert_eq!(wanted.insert("compress"), None);
    }
}
