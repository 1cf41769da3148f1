use std::fmt;
use std::str::FromStr;

use crate::class::NetworkClass::{self, Abuser, Crawler, Datacenter, Mobile, Proxy, Relay, Satellite, Tor, Vpn};
use crate::confidence::Confidence;
use crate::mapping::{ClassRule, FieldPath, FieldTest, Mapping, Measure};

/// The mapping of a maker's known database, by the field names that the maker documents.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Preset {
    /// GeoLite2-ASN.
    MaxmindAsn,
    /// GeoIP2-Country, GeoLite2-Country.
    MaxmindCountry,
    /// GeoIP2-City, GeoLite2-City.
    MaxmindCity,
    /// GeoIP2-Enterprise, GeoIP2-Precision-Enterprise.
    MaxmindEnterprise,
    /// GeoIP2-Anonymous-IP.
    MaxmindAnonymousIp,
    /// GeoIP-Anonymous-Plus.
    MaxmindAnonymousPlus,
    /// GeoIP2-Connection-Type.
    MaxmindConnectionType,
    /// GeoIP2-ISP.
    MaxmindIsp,
    /// GeoIP2-IP-Risk.
    MaxmindIpRisk,
    /// GeoIP-Residential-Proxy: whoever has a record is one.
    MaxmindResidentialProxy,
    /// IPinfo Lite.
    IpinfoLite,
    /// IPinfo Privacy, standard and extended.
    IpinfoPrivacy,
    /// IPinfo Core and Plus.
    IpinfoPlus,
    /// DB-IP, every edition.
    DbIp,
    /// IP2Proxy, PX1 to PX12.
    Ip2proxy,
    /// ipapi.is.
    IpapiIs,
    /// Spur context.
    Spur,
    /// ip-location-db, and what is built like it.
    IpLocationDb,
    /// Every field of every maker: for a database whose type says nothing.
    Any,
}

impl Preset {
    /// Every preset, in the order of declaration.
    pub const ALL: [Preset; 19] = [
        Preset::MaxmindAsn,
        Preset::MaxmindCountry,
        Preset::MaxmindCity,
        Preset::MaxmindEnterprise,
        Preset::MaxmindAnonymousIp,
        Preset::MaxmindAnonymousPlus,
        Preset::MaxmindConnectionType,
        Preset::MaxmindIsp,
        Preset::MaxmindIpRisk,
        Preset::MaxmindResidentialProxy,
        Preset::IpinfoLite,
        Preset::IpinfoPrivacy,
        Preset::IpinfoPlus,
        Preset::DbIp,
        Preset::Ip2proxy,
        Preset::IpapiIs,
        Preset::Spur,
        Preset::IpLocationDb,
        Preset::Any,
    ];

    /// The name in settings: lower case, words joined by `-`.
    pub const fn name(self) -> &'static str {
        match self {
            Preset::MaxmindAsn => "maxmind-asn",
            Preset::MaxmindCountry => "maxmind-country",
            Preset::MaxmindCity => "maxmind-city",
            Preset::MaxmindEnterprise => "maxmind-enterprise",
            Preset::MaxmindAnonymousIp => "maxmind-anonymous-ip",
            Preset::MaxmindAnonymousPlus => "maxmind-anonymous-plus",
            Preset::MaxmindConnectionType => "maxmind-connection-type",
            Preset::MaxmindIsp => "maxmind-isp",
            Preset::MaxmindIpRisk => "maxmind-ip-risk",
            Preset::MaxmindResidentialProxy => "maxmind-residential-proxy",
            Preset::IpinfoLite => "ipinfo-lite",
            Preset::IpinfoPrivacy => "ipinfo-privacy",
            Preset::IpinfoPlus => "ipinfo-plus",
            Preset::DbIp => "db-ip",
            Preset::Ip2proxy => "ip2proxy",
            Preset::IpapiIs => "ipapi-is",
            Preset::Spur => "spur",
            Preset::IpLocationDb => "ip-location-db",
            Preset::Any => "any",
        }
    }

    /// The preset for a database whose metadata say that it is of type `kind`.
    ///
    /// The type is free text. One that no maker is known to write gets [`Preset::Any`].
    pub fn of_database_type(kind: &str) -> Self {
        let kind = kind.to_ascii_lowercase();
        let has = |part: &str| kind.contains(part);
        let begins = |part: &str| kind.starts_with(part);
        if begins("dbip") {
            Preset::DbIp
        } else if begins("ipinfo") {
            match () {
                () if has("privacy") => Preset::IpinfoPrivacy,
                () if has("lite") => Preset::IpinfoLite,
                () => Preset::IpinfoPlus,
            }
        } else if has("ip2proxy") {
            Preset::Ip2proxy
        } else if has("ipapi") {
            Preset::IpapiIs
        } else if begins("spur") {
            Preset::Spur
        } else if begins("geoip") || begins("geolite") {
            match () {
                () if has("anonymous-plus") => Preset::MaxmindAnonymousPlus,
                () if has("anonymous-ip") => Preset::MaxmindAnonymousIp,
                () if has("residential-proxy") => Preset::MaxmindResidentialProxy,
                () if has("ip-risk") => Preset::MaxmindIpRisk,
                () if has("connection-type") => Preset::MaxmindConnectionType,
                () if has("enterprise") => Preset::MaxmindEnterprise,
                () if has("country") => Preset::MaxmindCountry,
                () if has("city") => Preset::MaxmindCity,
                () if has("-isp") => Preset::MaxmindIsp,
                () if has("-asn") => Preset::MaxmindAsn,
                () => Preset::Any,
            }
        } else if has("ip-location-db") || ["asn ipv", "country ipv", "city ipv"].iter().any(|part| begins(part)) {
            Preset::IpLocationDb
        } else {
            Preset::Any
        }
    }

    /// The mapping itself, which may be changed before it is used.
    pub fn mapping(self) -> Mapping {
        let (asn, country) = (&[ASN_FLAT, ASN_TEXT][..], &[COUNTRY_NESTED, COUNTRY_FLAT][..]);
        match self {
            Preset::MaxmindAsn => mapping(asn, &[], &[]),
            Preset::MaxmindCountry => mapping(&[], country, &[]),
            Preset::MaxmindCity => mapping(&[ASN_TRAITS], country, &[TRAITS]),
            Preset::MaxmindEnterprise | Preset::DbIp => mapping(&[ASN_TRAITS, ASN_FLAT], country, &[TRAITS]),
            Preset::MaxmindAnonymousIp | Preset::MaxmindAnonymousPlus => mapping(&[], &[], &[ANONYMOUS]),
            Preset::MaxmindConnectionType => mapping(&[], &[], &[CONNECTION]),
            Preset::MaxmindIsp => mapping(asn, &[], &[CONNECTION]),
            Preset::MaxmindIpRisk => mapping(&[], &[], &[ANONYMOUS, IP_RISK]),
            Preset::MaxmindResidentialProxy => mapping(&[], &[], &[EVERY_RECORD_IS_PROXY]),
            Preset::IpinfoLite => mapping(&[ASN_TEXT], &[COUNTRY_FLAT], &[]),
            Preset::IpinfoPrivacy => mapping(&[], &[], &[IPINFO_PRIVACY]),
            Preset::IpinfoPlus => mapping(&[ASN_AS, ASN_TEXT], &[COUNTRY_GEO, COUNTRY_FLAT], &[IPINFO_PLUS]),
            Preset::Ip2proxy => mapping(&[ASN_TEXT], &[COUNTRY_FLAT], &[IP2PROXY]),
            Preset::IpapiIs => mapping(&[ASN_MAP], &[COUNTRY_LOCATION], &[IPAPI]),
            Preset::Spur => mapping(&[ASN_AS], &[COUNTRY_LOCATION], &[SPUR]),
            Preset::IpLocationDb => mapping(asn, country, &[]),
            Preset::Any => mapping(
                &[ASN_FLAT, ASN_TRAITS, ASN_AS, ASN_MAP, ASN_TEXT],
                &[COUNTRY_NESTED, COUNTRY_FLAT, COUNTRY_GEO, COUNTRY_LOCATION],
                &[ANONYMOUS, IP_RISK, TRAITS, CONNECTION, IPINFO_PRIVACY, IPINFO_PLUS, IP2PROXY, IPAPI, SPUR],
            ),
        }
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Preset {
    type Err = UnknownPreset;

    fn from_str(text: &str) -> Result<Self, UnknownPreset> {
        let known = Preset::ALL.into_iter().find(|preset| preset.name() == text);
        known.ok_or_else(|| UnknownPreset { text: text.to_owned() })
    }
}

/// The text is not the name of a preset.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UnknownPreset {
    text: String,
}

impl fmt::Display for UnknownPreset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no preset is called `{}`; there are", self.text)?;
        for (index, preset) in Preset::ALL.into_iter().enumerate() {
            write!(f, "{} `{preset}`", if index == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl std::error::Error for UnknownPreset {}

impl Mapping {
    /// The AS number and the organisation, wherever a maker writes them.
    pub(crate) fn asn_only() -> Self {
        mapping(&[ASN_FLAT, ASN_TEXT, ASN_TRAITS, ASN_AS, ASN_MAP], &[], &[])
    }

    /// The country, wherever a maker writes it.
    pub(crate) fn country_only() -> Self {
        mapping(&[], &[COUNTRY_NESTED, COUNTRY_FLAT, COUNTRY_GEO, COUNTRY_LOCATION], &[])
    }
}

fn mapping(networks: &[(&str, &str)], countries: &[&str], rules: &[&[Row]]) -> Mapping {
    // Where somebody is comes before where the address is registered, whoever writes it.
    let registered = countries.contains(&COUNTRY_NESTED).then_some(COUNTRY_REGISTERED);
    Mapping {
        asn: networks.iter().filter_map(|(asn, _)| asn.parse().ok()).collect(),
        organisation: networks.iter().filter_map(|(_, name)| name.parse().ok()).collect(),
        country: countries.iter().copied().chain(registered).filter_map(|path| path.parse().ok()).collect(),
        rules: rules.iter().flat_map(|rows| rows.iter()).filter_map(Row::rule).collect(),
    }
}

/// A rule as it stands in the tables below.
struct Row {
    path: &'static str,
    op: &'static str,
    values: &'static [&'static str],
    class: NetworkClass,
    percent: u8,
    measure: Option<(&'static str, f64)>,
}

impl Row {
    const fn new(
        path: &'static str,
        op: &'static str,
        values: &'static [&'static str],
        class: NetworkClass,
        percent: u8,
    ) -> Self {
        Row { path, op, values, class, percent, measure: None }
    }

    const fn flag(path: &'static str, class: NetworkClass) -> Self {
        Row::new(path, "true", &[], class, FLAG)
    }

    const fn measured(self, path: &'static str, full: f64) -> Self {
        Row { measure: Some((path, full)), ..self }
    }

    fn rule(&self) -> Option<ClassRule> {
        let measured = match self.measure {
            Some((path, full)) => Some(Measure { path: path.parse::<FieldPath>().ok()?, full }),
            None => None,
        };
        Some(ClassRule {
            path: self.path.parse().ok()?,
            test: FieldTest::parse(self.op, self.values).ok()?,
            class: self.class,
            confidence: Confidence::percent(self.percent),
            measured,
        })
    }
}

/// How sure a maker's own flag is, where the record does not say so.
const FLAG: u8 = 90;
/// How sure a class is that is read from what the network is used for.
const USAGE: u8 = 80;
/// How sure a class is that is read from a score above our threshold.
const SCORE: u8 = 60;

const ASN_FLAT: (&str, &str) = ("autonomous_system_number", "autonomous_system_organization");
const ASN_TRAITS: (&str, &str) = ("traits.autonomous_system_number", "traits.autonomous_system_organization");
const ASN_TEXT: (&str, &str) = ("asn", "as_name");
const ASN_AS: (&str, &str) = ("as.asn", "as.name");
const ASN_MAP: (&str, &str) = ("asn.asn", "asn.org");

const COUNTRY_NESTED: &str = "country.iso_code";
const COUNTRY_FLAT: &str = "country_code";
const COUNTRY_REGISTERED: &str = "registered_country.iso_code";
const COUNTRY_GEO: &str = "geo.country_code";
const COUNTRY_LOCATION: &str = "location.country_code";

/// MaxMind's flags. `is_anonymous` alone names no class.
const ANONYMOUS: &[Row] = &[
    Row::flag("is_anonymous_vpn", Vpn).measured("anonymizer_confidence", 99.0),
    Row::flag("is_public_proxy", Proxy).measured("anonymizer_confidence", 99.0),
    Row::flag("is_residential_proxy", Proxy).measured("anonymizer_confidence", 99.0),
    Row::flag("is_tor_exit_node", Tor),
    Row::flag("is_hosting_provider", Datacenter),
];

/// 0.01 to 99: MaxMind speaks of high risk from some 75 on.
const IP_RISK: &[Row] = &[Row::new("ip_risk", "gte", &["75"], Abuser, SCORE).measured("ip_risk", 99.0)];

const EVERY_RECORD_IS_PROXY: &[Row] =
    &[Row::new(".", "exists", &[], Proxy, FLAG).measured("anonymizer_confidence", 99.0)];

const CONNECTION: &[Row] = &[
    Row::new("connection_type", "eq", &["Cellular"], Mobile, USAGE),
    Row::new("connection_type", "eq", &["Satellite"], Satellite, USAGE),
    Row::new("mobile_country_code", "exists", &[], Mobile, USAGE),
    Row::new("user_type", "eq", &["cellular"], Mobile, USAGE),
];

/// What GeoIP2 and DB-IP keep under `traits`.
const TRAITS: &[Row] = &[
    Row::new("traits.user_type", "in", &["hosting", "content_delivery_network"], Datacenter, USAGE),
    Row::new("traits.user_type", "eq", &["cellular"], Mobile, USAGE),
    Row::new("traits.user_type", "eq", &["search_engine_spider"], Crawler, USAGE),
    Row::new("traits.user_type", "eq", &["consumer_privacy_network"], Relay, USAGE),
    Row::new("traits.connection_type", "eq", &["Cellular"], Mobile, USAGE),
    Row::new("traits.connection_type", "eq", &["Satellite"], Satellite, USAGE),
    Row::new("traits.mobile_country_code", "exists", &[], Mobile, USAGE),
    Row::flag("traits.is_anonymous_vpn", Vpn),
    Row::flag("traits.is_public_proxy", Proxy),
    Row::flag("traits.is_residential_proxy", Proxy),
    Row::flag("traits.is_tor_exit_node", Tor),
    Row::flag("traits.is_hosting_provider", Datacenter),
];

/// `confidence`, 1 to 3, is in the extended edition only.
const IPINFO_PRIVACY: &[Row] = &[
    Row::flag("vpn", Vpn).measured("confidence", 3.0),
    Row::flag("proxy", Proxy).measured("confidence", 3.0),
    Row::flag("tor", Tor),
    Row::flag("relay", Relay),
    Row::flag("hosting", Datacenter),
];

const IPINFO_PLUS: &[Row] = &[
    Row::flag("anonymous.is_vpn", Vpn),
    Row::flag("anonymous.is_proxy", Proxy),
    Row::flag("anonymous.is_res_proxy", Proxy),
    Row::flag("anonymous.is_tor", Tor),
    Row::flag("anonymous.is_relay", Relay),
    Row::flag("is_hosting", Datacenter),
    Row::new("as.type", "eq", &["hosting"], Datacenter, USAGE),
    Row::new("type", "eq", &["hosting"], Datacenter, USAGE),
    Row::flag("is_mobile", Mobile),
    Row::flag("is_satellite", Satellite),
];

const IP2PROXY: &[Row] = &[
    Row::new("proxy_type", "eq", &["VPN"], Vpn, FLAG),
    Row::new("proxy_type", "in", &["PUB", "WEB", "RES"], Proxy, FLAG),
    Row::new("proxy_type", "eq", &["TOR"], Tor, FLAG),
    Row::new("proxy_type", "eq", &["DCH"], Datacenter, FLAG),
    Row::new("proxy_type", "eq", &["SES"], Crawler, FLAG),
    Row::new("proxy_type", "eq", &["CPN"], Relay, FLAG),
    Row::new("usage_type", "has", &["DCH", "CDN"], Datacenter, USAGE),
    Row::new("usage_type", "has", &["MOB"], Mobile, USAGE),
    Row::new("usage_type", "has", &["SES"], Crawler, USAGE),
    Row::new("threat", "exists", &[], Abuser, USAGE),
    Row::new("fraud_score", "gte", &["75"], Abuser, SCORE).measured("fraud_score", 100.0),
];

/// A score of 0.05 is where ipapi.is begins to call a network's abuse high.
const IPAPI: &[Row] = &[
    Row::flag("is_vpn", Vpn),
    Row::flag("is_proxy", Proxy),
    Row::flag("is_tor", Tor),
    Row::flag("is_relay", Relay),
    Row::flag("is_abuser", Abuser),
    Row::flag("is_datacenter", Datacenter),
    Row::flag("is_mobile", Mobile),
    Row::flag("is_satellite", Satellite),
    Row::flag("is_crawler", Crawler),
    Row::new("asn.type", "eq", &["hosting"], Datacenter, USAGE),
    Row::new("asn.abuser_score", "gte", &["0.05"], Abuser, SCORE),
];

const SPUR: &[Row] = &[
    Row::new("tunnels[].type", "any", &["VPN"], Vpn, FLAG),
    Row::new("tunnels[].type", "any", &["PROXY"], Proxy, FLAG),
    Row::new("tunnels[].type", "any", &["TOR"], Tor, FLAG),
    Row::new("infrastructure", "eq", &["DATACENTER"], Datacenter, USAGE),
    Row::new("infrastructure", "eq", &["MOBILE"], Mobile, USAGE),
    Row::new("infrastructure", "eq", &["SATELLITE"], Satellite, USAGE),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_every_table_is_a_rule() {
        for rows in [
            ANONYMOUS,
            IP_RISK,
            EVERY_RECORD_IS_PROXY,
            CONNECTION,
            TRAITS,
            IPINFO_PRIVACY,
            IPINFO_PLUS,
            IP2PROXY,
            IPAPI,
            SPUR,
        ] {
            for row in rows {
                assert!(row.rule().is_some(), "{} {} {:?}", row.path, row.op, row.values);
            }
        }
        for pair in [ASN_FLAT, ASN_TRAITS, ASN_TEXT, ASN_AS, ASN_MAP] {
            assert!(pair.0.parse::<FieldPath>().is_ok() && pair.1.parse::<FieldPath>().is_ok(), "{pair:?}");
        }
    }

    #[test]
    fn every_preset_is_read_by_its_own_name() {
        for preset in Preset::ALL {
            assert_eq!(preset.name().parse(), Ok(preset));
            assert_ne!(preset.mapping(), Mapping::default(), "{preset}");
        }
        let error = "maxmind".parse::<Preset>().unwrap_err().to_string();
        assert!(error.starts_with("no preset is called `maxmind`; there are `maxmind-asn`, "), "{error}");
    }

    #[test]
    fn the_database_type_picks_the_preset() {
        for (kind, preset) in [
            ("GeoLite2-ASN", Preset::MaxmindAsn),
            ("GeoLite2-ASN-compatible: ip-location-db asn", Preset::MaxmindAsn),
            ("GeoLite2-Country", Preset::MaxmindCountry),
            ("GeoIP2-City-Europe", Preset::MaxmindCity),
            ("GeoIP2-Precision-Enterprise", Preset::MaxmindEnterprise),
            ("GeoIP2-Anonymous-IP", Preset::MaxmindAnonymousIp),
            ("GeoIP-Anonymous-Plus", Preset::MaxmindAnonymousPlus),
            ("GeoIP2-Connection-Type", Preset::MaxmindConnectionType),
            ("GeoIP2-ISP", Preset::MaxmindIsp),
            ("GeoIP2-IP-Risk", Preset::MaxmindIpRisk),
            ("GeoIP-Residential-Proxy", Preset::MaxmindResidentialProxy),
            ("DBIP-ISP (compat=ISP)", Preset::DbIp),
            ("ipinfo generic_lite_free.mmdb", Preset::IpinfoLite),
            ("ipinfo privacy_extended.mmdb", Preset::IpinfoPrivacy),
            ("ipinfo ip_plus.mmdb", Preset::IpinfoPlus),
            ("IP2PROXY-PX12", Preset::Ip2proxy),
            ("ipapi.is style flags", Preset::IpapiIs),
            ("Spur-style context", Preset::Spur),
            ("country ipvAll", Preset::IpLocationDb),
            ("asn ipv4", Preset::IpLocationDb),
            ("Our own", Preset::Any),
            ("", Preset::Any),
        ] {
            assert_eq!(Preset::of_database_type(kind), preset, "{kind}");
        }
    }
}
