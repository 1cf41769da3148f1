use super::*;
use crate::model::{Bound, Cost, Count, Level, Over, Place};
use crate::testing::Asks;
use portcullis_signals::{Fields, Strength};
use proptest::prelude::*;

fn limit(key: Vec<KeyPart>, on_missing: OnMissing) -> Limit {
    let over = Over::Score(Strength::FULL);
    Limit {
        name: "limit".into(),
        counter: 1,
        key,
        on_missing,
        count: Count::Requests,
        cost: Cost::Units(1),
        levels: vec![Level { name: "limit".into(), counter: 1, bound: Bound::Concurrent { limit: 1 }, over }],
        mode: crate::model::Mode::Enforce,
    }
}

#[test]
fn a_name_is_counted_without_what_cannot_be_seen_around_it() {
    for name in [
        "ann@shop.example",
        " Ann@Shop.example\t",
        "\u{1c}\u{1f}ann@shop.example\u{1}",
        "\u{feff}ann@shop.example\u{200b}",
        "\u{85}\u{2060}\u{ad}ann@shop.example\u{3000}",
    ] {
        assert_eq!(folded(name), "ann@shop.example", "{name:?}");
    }
    assert_eq!(folded("an\u{200b}n"), "an\u{200b}n", "what stands within a name is part of it");
}

/// The parts of the key of a request, one after the other, each with its length before it.
fn key(limit: &Limit, asks: &Asks, fields: &Fields) -> Keyed<Vec<u8>> {
    let route = Route::bare("login");
    asks.facts(|facts| {
        let facts = Facts { fields, ..*facts };
        limit.key_of(&route, &facts, |parts| {
            parts
                .iter()
                .flat_map(|part| std::iter::once(u8::try_from(part.len()).unwrap_or(255)).chain(part.iter().copied()))
                .collect()
        })
    })
}

fn parts() -> Vec<KeyPart> {
    vec![
        KeyPart::Ip,
        KeyPart::IpPrefix,
        KeyPart::Prefix(PrefixLengths { v4: 16, v6: 32 }),
        KeyPart::Asn,
        KeyPart::Country,
        KeyPart::Ja3,
        KeyPart::Ja4,
        KeyPart::Http2,
        KeyPart::UserAgent,
        KeyPart::Client,
        KeyPart::HeaderOrder,
        KeyPart::User,
        KeyPart::Account,
        KeyPart::ApiKey,
        KeyPart::Session,
        KeyPart::Device,
        KeyPart::Token,
        KeyPart::Route,
        KeyPart::Host,
        KeyPart::Method,
        KeyPart::Path,
        KeyPart::At(Place::Header(http::HeaderName::from_static("x-tenant"))),
        KeyPart::At(Place::Cookie("sid".into())),
        KeyPart::At(Place::Field(0)),
    ]
}

#[test]
fn a_part_is_what_the_request_has() {
    let asks = Asks { ip: "192.0.2.77".parse().unwrap(), path: "/a//b".into(), ..Asks::default() };
    let asks = asks.with_header("x-tenant", "acme").with_header("cookie", "sid=s1");
    let fields: Fields = [Some("ann".into())].into_iter().collect();
    for (part, bytes) in [
        (KeyPart::Ip, &[4, 192, 0, 2, 77][..]),
        (KeyPart::IpPrefix, &[4, 192, 0, 2, 0]),
        (KeyPart::Prefix(PrefixLengths { v4: 16, v6: 32 }), &[4, 192, 0, 0, 0]),
        (KeyPart::UserAgent, b"\x08Shop/1.0"),
        (KeyPart::Client, b"\x05other"),
        (KeyPart::Route, b"\x05login"),
        (KeyPart::Host, b"\x0cshop.example"),
        (KeyPart::Method, b"\x03GET"),
        (KeyPart::Path, b"\x04/a/b"),
        (KeyPart::At(Place::Header(http::HeaderName::from_static("x-tenant"))), b"\x04acme"),
        (KeyPart::At(Place::Cookie("sid".into())), b"\x02s1"),
        (KeyPart::At(Place::Field(0)), b"\x03ann"),
    ] {
        assert_eq!(
            key(&limit(vec![part.clone()], OnMissing::Prefix), &asks, &fields),
            Keyed::Under(bytes.to_vec()),
            "{part:?}"
        );
    }
}

#[test]
fn of_ipv6_a_client_is_its_64() {
    let of = |ip: &str, part: KeyPart| {
        key(&limit(vec![part], OnMissing::Prefix), &Asks { ip: ip.parse().unwrap(), ..Asks::default() }, Fields::NONE)
    };
    assert_eq!(of("2001:db8::1", KeyPart::Ip), of("2001:db8::ffff:2", KeyPart::Ip));
    assert_ne!(of("2001:db8::1", KeyPart::Ip), of("2001:db8:0:1::1", KeyPart::Ip));
    assert_eq!(of("2001:db8:0:1::1", KeyPart::IpPrefix), of("2001:db8:0:ff::1", KeyPart::IpPrefix));
    let whole = KeyPart::Prefix(PrefixLengths { v4: 32, v6: 128 });
    assert_ne!(of("2001:db8::1", whole.clone()), of("2001:db8::2", whole));
}

#[test]
fn a_part_that_is_missing_is_the_prefix_or_what_the_limit_says() {
    let asks = |ip: &str| Asks { ip: ip.parse().unwrap(), ..Asks::default() };
    for part in [
        KeyPart::User,
        KeyPart::Ja4,
        KeyPart::Http2,
        KeyPart::Asn,
        KeyPart::Country,
        KeyPart::At(Place::Field(0)),
        KeyPart::At(Place::Field(9)),
    ] {
        let under = |ip: &str| key(&limit(vec![part.clone()], OnMissing::Prefix), &asks(ip), Fields::NONE);
        assert_eq!(under("192.0.2.1"), under("192.0.2.200"), "{part:?}");
        assert_ne!(under("192.0.2.1"), under("198.51.100.1"), "{part:?}");
        for (on_missing, keyed) in [(OnMissing::Skip, Keyed::Skip), (OnMissing::Refuse, Keyed::Refuse)] {
            assert_eq!(
                key(&limit(vec![KeyPart::Ip, part.clone()], on_missing), &asks("192.0.2.1"), Fields::NONE),
                keyed
            );
        }
    }
}

#[test]
fn what_stands_twice_is_missing() {
    let tenant = limit(vec![KeyPart::At(Place::Header(http::HeaderName::from_static("x-tag")))], OnMissing::Refuse);
    let one = Asks::default().with_header("x-tag", "a");
    assert_ne!(key(&tenant, &one, Fields::NONE), Keyed::Refuse);
    assert_eq!(key(&tenant, &one.with_header("x-tag", "b"), Fields::NONE), Keyed::Refuse);
    let session = limit(vec![KeyPart::At(Place::Cookie("sid".into()))], OnMissing::Refuse);
    assert_eq!(key(&session, &Asks::default().with_header("cookie", "sid=a; sid=b"), Fields::NONE), Keyed::Refuse);
    assert_eq!(key(&session, &Asks::default().with_header("cookie", "sid="), Fields::NONE), Keyed::Refuse);
}

#[test]
fn a_key_of_six_parts_takes_no_memory() {
    let counted = limit(
        vec![
            KeyPart::Prefix(PrefixLengths { v4: 24, v6: 48 }),
            KeyPart::Client,
            KeyPart::Host,
            KeyPart::Method,
            KeyPart::Path,
            KeyPart::At(Place::Cookie("sid".into())),
        ],
        OnMissing::Prefix,
    );
    let route = Route::bare("login");
    Asks::default().with_header("cookie", "sid=s1").facts(|facts| {
        let seen = allocation_counter::measure(|| {
            let keyed = counted.key_of(&route, facts, |parts| parts.iter().map(|part| part.len()).sum::<usize>());
            assert!(matches!(keyed, Keyed::Under(length) if length > 0));
        });
        assert_eq!(seen.count_total, 0);
    });
}

proptest! {
    /// A missing key is never unlimited: with the fallback there is always a key, and clients of one prefix who leave
    /// parts out share it.
    #[test]
    fn there_is_always_a_key(
        chosen in proptest::sample::subsequence(parts(), 1..6), ip in any::<[u8; 4]>(), other in any::<u8>(),
        value in "[ -~]{0,12}",
    ) {
        let asks = |ip: [u8; 4]| Asks { ip: ip.into(), ..Asks::default() }.with_header("cookie", &value);
        let counted = limit(chosen.clone(), OnMissing::Prefix);
        let keyed = key(&counted, &asks(ip), Fields::NONE);
        prop_assert!(matches!(keyed, Keyed::Under(ref bytes) if !bytes.is_empty()));
        let without_address = chosen.iter().all(|part| !matches!(part, KeyPart::Ip));
        if without_address {
            prop_assert_eq!(keyed, key(&counted, &asks([ip[0], ip[1], ip[2], other]), Fields::NONE));
        }
    }
}
