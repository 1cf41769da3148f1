//! The header fields of one request, sorted out in one pass.

use http::{HeaderMap, HeaderValue};

use crate::is_portcullis_header;

macro_rules! fields {
    ($($variant:ident = $name:literal,)*) => {
        /// A header field that a judgement reads, or whose place in the order tells browsers apart.
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        #[repr(u8)]
        pub(crate) enum Field {
            $($variant,)*
        }

        impl Field {
            /// Every field.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The field of this name in lower case.
            pub(crate) fn named(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// The name in lower case.
            pub(crate) const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

fields! {
    Host = "host",
    UserAgent = "user-agent",
    Accept = "accept",
    AcceptEncoding = "accept-encoding",
    AcceptLanguage = "accept-language",
    Cookie = "cookie",
    SecFetchSite = "sec-fetch-site",
    SecFetchMode = "sec-fetch-mode",
    SecFetchUser = "sec-fetch-user",
    SecFetchDest = "sec-fetch-dest",
    SecChUa = "sec-ch-ua",
    SecChUaMobile = "sec-ch-ua-mobile",
    SecChUaPlatform = "sec-ch-ua-platform",
    UpgradeInsecureRequests = "upgrade-insecure-requests",
    Referer = "referer",
    Origin = "origin",
    Priority = "priority",
    Te = "te",
    ContentType = "content-type",
    Connection = "connection",
    Range = "range",
    Upgrade = "upgrade",
    AccessControlRequestMethod = "access-control-request-method",
    SecWebSocketKey = "sec-websocket-key",
    SecWebSocketVersion = "sec-websocket-version",
}

/// The number of fields.
pub(crate) const FIELDS: usize = Field::ALL.len();

impl Field {
    /// The place of the field in [`Field::ALL`].
    pub(crate) const fn place(self) -> usize {
        self as usize
    }
}

/// A set of fields.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Fields(u32);

const _: () = assert!(FIELDS <= 32, "a set of fields has 32 bits");

impl Fields {
    /// The set of none.
    pub(crate) const NONE: Self = Self(0);

    /// Adds one.
    pub(crate) const fn insert(&mut self, field: Field) {
        self.0 |= 1 << field.place();
    }

    /// Those of this set and those of the other.
    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Those of this set that are not in the other.
    pub(crate) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Those that are in both sets.
    pub(crate) const fn both(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether one is in both sets.
    pub(crate) const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether it is in the set.
    pub(crate) const fn contains(self, field: Field) -> bool {
        self.0 & (1 << field.place()) != 0
    }

    /// Whether there is none.
    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// What the judgements read of a request's header, found in one pass over it.
///
/// The order is that of a [`HeaderMap`]'s iteration: that in which the names first came, on either protocol.
#[derive(Clone, Copy, Debug)]
pub struct HeaderDigest<'a> {
    present: Fields,
    values: [Option<&'a HeaderValue>; FIELDS],
    order: [Option<Field>; FIELDS],
    claims_a_verdict: bool,
}

impl<'a> HeaderDigest<'a> {
    /// Goes over the header once.
    pub fn of(headers: &'a HeaderMap) -> Self {
        let mut digest =
            Self { present: Fields::NONE, values: [None; FIELDS], order: [None; FIELDS], claims_a_verdict: false };
        let mut places = digest.order.iter_mut();
        for (name, value) in headers {
            let Some(field) = Field::named(name.as_str()) else {
                digest.claims_a_verdict |= is_portcullis_header(name);
                continue;
            };
            if digest.present.contains(field) {
                continue;
            }
            digest.present.insert(field);
            if let Some(slot) = digest.values.get_mut(field.place()) {
                *slot = Some(value);
            }
            if let Some(place) = places.next() {
                *place = Some(field);
            }
        }
        digest
    }

    /// The names of the fields that are judged, and that families may therefore speak of.
    pub fn judged() -> impl Iterator<Item = &'static str> {
        Field::ALL.iter().map(|field| field.name())
    }

    pub(crate) const fn present(&self) -> Fields {
        self.present
    }

    /// Whether the client sent a field that only the gateway may write.
    pub(crate) const fn claims_a_verdict(&self) -> bool {
        self.claims_a_verdict
    }

    pub(crate) const fn has(&self, field: Field) -> bool {
        self.present.contains(field)
    }

    /// The first value of a field.
    pub(crate) fn value(&self, field: Field) -> Option<&'a [u8]> {
        self.values.get(field.place()).copied().flatten().map(HeaderValue::as_bytes)
    }

    /// Whether the first value of a field is this.
    pub(crate) fn is(&self, field: Field, value: &[u8]) -> bool {
        self.value(field) == Some(value)
    }

    /// The fields in the order in which they came.
    pub(crate) fn order(&self) -> impl Iterator<Item = Field> + '_ {
        self.order.iter().map_while(|field| *field)
    }
}

/// A relative order of fields: for each its rank from 1 up, or 0 where the order says nothing of it. No field comes
/// twice in a digest, so equal ranks are fields that may change places.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Order {
    ranks: [u8; FIELDS],
    listed: u8,
}

impl Order {
    /// The order of these fields; those of one group come in any order among themselves.
    pub(crate) fn of<'f>(groups: impl IntoIterator<Item = &'f [Field]>) -> Self {
        let mut order = Self::default();
        for (rank, group) in (1..).zip(groups) {
            order.listed = rank;
            for field in group {
                if let Some(slot) = order.ranks.get_mut(field.place()) {
                    *slot = rank;
                }
            }
        }
        order
    }

    /// Whether the fields of a request come in this order.
    pub(crate) fn holds(&self, digest: &HeaderDigest<'_>) -> bool {
        if self.is_empty() {
            return true;
        }
        let mut highest = 0;
        digest.order().all(|field| {
            let rank = self.ranks.get(field.place()).copied().unwrap_or(0);
            let holds = rank == 0 || rank >= highest;
            highest = highest.max(rank);
            holds
        })
    }

    /// Whether it says nothing.
    pub(crate) const fn is_empty(&self) -> bool {
        self.listed == 0
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    fn headers(names: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (at, name) in names.iter().enumerate() {
            headers.append(HeaderName::from_static(name), HeaderValue::from_str(&at.to_string()).unwrap());
        }
        headers
    }

    /// What the order of header fields is judged by: a map gives its names in the order in which they first came,
    /// also after it has grown, and whatever repeats.
    #[test]
    fn a_header_map_gives_names_in_the_order_in_which_they_first_came() {
        let names: Vec<String> = (0..100).map(|at| format!("x-{}", (at * 37) % 101)).collect();
        let mut map = HeaderMap::new();
        for name in &names {
            map.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_static("1"));
            map.append(HeaderName::from_static("x-0"), HeaderValue::from_static("2"));
        }
        let keys: Vec<&str> = map.keys().map(HeaderName::as_str).collect();
        assert_eq!(keys, names);
    }

    #[test]
    fn every_field_is_found_by_its_name() {
        for (place, found) in Field::ALL.iter().enumerate() {
            assert_eq!(Field::named(found.name()), Some(*found));
            assert_eq!(found.place(), place);
        }
        assert_eq!(Field::named("x-other"), None);
    }

    #[test]
    fn a_digest_keeps_the_first_value_and_the_order() {
        let headers = headers(&["accept", "x-a", "cookie", "accept", "host"]);
        let digest = HeaderDigest::of(&headers);
        assert_eq!(digest.order().collect::<Vec<_>>(), [Field::Accept, Field::Cookie, Field::Host]);
        assert!(digest.is(Field::Accept, b"0") && digest.is(Field::Host, b"4") && !digest.has(Field::Origin));
    }

    #[test]
    fn an_order_says_nothing_of_fields_that_it_does_not_list() {
        let order = Order::of([&[Field::UserAgent][..], &[Field::Accept, Field::AcceptLanguage], &[Field::Cookie]]);
        for (names, holds) in [
            (&["user-agent", "accept", "cookie"][..], true),
            (&["host", "user-agent", "origin", "cookie", "te"], true),
            (&["accept", "accept-language", "cookie"], true),
            (&["accept-language", "accept", "cookie"], true),
            (&["accept", "cookie", "accept-language"], false),
            (&["accept", "user-agent"], false),
            (&["user-agent", "cookie", "accept"], false),
            (&[], true),
        ] {
            assert_eq!(order.holds(&HeaderDigest::of(&headers(names))), holds, "{names:?}");
        }
        assert!(!order.is_empty() && Order::default().is_empty());
    }
}
