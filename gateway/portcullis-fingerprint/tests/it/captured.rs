//! Captured hellos: whole, cut short, in crumbs, and in other records than they came in.

use std::borrow::Cow;

use portcullis_fingerprint::record::scan;
use portcullis_fingerprint::{
    ClientHello, HelloError, HelloLimits, Ja3Hash, Ja4, Prints, Scan, StablePrint, extension, is_grease, read_any,
};

use crate::vectors;

#[test]
fn every_vector_gives_the_prints_that_the_reference_tools_give() {
    let mut wrong = Vec::new();
    for vector in vectors::all() {
        let name = &vector.name;
        let prints = read_any(&vector.bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        let ja4 = prints.ja4.to_string();
        for (print, found, expected) in [
            ("ja3", &prints.ja3.text, std::slice::from_ref(&vector.ja3)),
            ("ja3_hash", &prints.ja3.hash.to_string(), std::slice::from_ref(&vector.ja3_hash)),
            ("ja4", &ja4, &vector.ja4),
        ] {
            if !expected.contains(found) {
                wrong.push(format!("{name} {print}: {found}, expected {expected:?}"));
            }
        }
        // Where the tools differ, the raw form begins with the tools' own first part.
        let hashed_part = |raw: &str| raw.split_once('_').map(|(_, rest)| rest.to_owned());
        let raw_holds = match vector.ja4.len() {
            1 => prints.ja4_r == vector.ja4_r,
            _ => hashed_part(&prints.ja4_r) == hashed_part(&vector.ja4_r),
        };
        if !raw_holds {
            wrong.push(format!("{name} ja4_r: {}, expected {}", prints.ja4_r, vector.ja4_r));
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_print_is_the_same_however_it_is_made_and_is_read_back() {
    for vector in vectors::all() {
        let hello = ClientHello::from_records(&vector.bytes).unwrap();
        let prints = Prints::of(&hello);
        assert_eq!(prints.ja3.hash, Ja3Hash::of(&hello), "{}", vector.name);
        assert_eq!(prints.ja3.hash.to_string().parse(), Ok(prints.ja3.hash), "{}", vector.name);
        for ja4 in [prints.ja4, prints.ja4_o] {
            assert_eq!(ja4.as_str().parse(), Ok(ja4), "{}", vector.name);
            assert_eq!(format!("{}_{}_{}", ja4.a(), ja4.b(), ja4.c()), ja4.as_str());
        }
    }
}

#[test]
fn the_facts_of_a_hello_agree_with_its_tags() {
    for vector in vectors::all() {
        let hello = ClientHello::from_records(&vector.bytes).unwrap();
        let name = &vector.name;
        let tagged = |tag: &str| vector.tags.iter().any(|known| known == tag);
        // The tag is about ciphers and extensions; one client has GREASE in its versions and key shares alone.
        let plain_lists = [&hello.cipher_suites[..], &hello.extensions];
        let greased = plain_lists.into_iter().flatten().any(|value| is_grease(*value));
        assert_eq!(greased, tagged("grease"), "{name}: grease");
        assert!(hello.has_grease() >= greased, "{name}: grease anywhere");
        assert_eq!(hello.has_extension(extension::SERVER_NAME), !tagged("no_sni"), "{name}: server name");
        assert_eq!(hello.offers_psk(), tagged("psk"), "{name}: pre-shared key");
        assert_eq!(hello.offers_early_data(), tagged("early_data"), "{name}: early data");
        assert_eq!(hello.has_extension(extension::ENCRYPTED_CLIENT_HELLO), tagged("ech"), "{name}: ech");
        assert_eq!(hello.has_extension(extension::PADDING), tagged("padding"), "{name}: padding");
        assert_eq!(hello.extensions.is_empty(), tagged("no_extensions"), "{name}: extensions");
    }
}

#[test]
fn one_client_keeps_its_stable_print_when_it_resumes() {
    let mut resumed = 0;
    let vectors = vectors::all();
    for pair in vectors.windows(2) {
        let [first, second] = pair else { continue };
        let was_resumed = |tags: &[String]| tags.iter().any(|tag| tag == "psk");
        if first.name != second.name || was_resumed(&first.tags) || !was_resumed(&second.tags) {
            continue;
        }
        let of = |bytes: &[u8]| ClientHello::from_records(bytes).unwrap();
        let (first_hello, second_hello) = (of(&first.bytes), of(&second.bytes));
        assert_ne!(Ja4::of(&first_hello), Ja4::of(&second_hello), "{}", first.name);
        assert_eq!(StablePrint::of(&first_hello), StablePrint::of(&second_hello), "{}", first.name);
        resumed += 1;
    }
    assert!(vectors.is_empty() || resumed > 0, "no client resumes in the vectors");
}

#[test]
fn a_second_hello_after_a_retry_request_has_the_stable_print_of_the_first() {
    let vectors = vectors::all();
    let mut seconds = 0;
    for vector in vectors.iter().filter(|vector| vector.tags.iter().any(|tag| tag == "second_hello_after_hrr")) {
        let second = ClientHello::from_records(&vector.bytes).unwrap();
        assert_eq!(second.key_share_groups.len(), 1, "{}: only the group that was asked for", vector.name);
        // The two hellos of a connection have one number; some first ones are not in the set.
        let first = vector.name.strip_suffix(".1").unwrap();
        let Some(first) = vectors.iter().find(|other| other.name == first) else { continue };
        let first = ClientHello::from_records(&first.bytes).unwrap();
        assert_ne!(Ja4::of(&first), Ja4::of(&second), "{}", vector.name);
        assert_eq!(StablePrint::of(&first), StablePrint::of(&second), "{}", vector.name);
        seconds += 1;
    }
    assert!(vectors.is_empty() || seconds > 0, "no second hello in the vectors");
}

#[test]
fn every_prefix_of_a_hello_waits_for_more_and_never_answers() {
    for vector in vectors::all() {
        for end in 0..vector.bytes.len() {
            let prefix = &vector.bytes[..end];
            let answer = scan(prefix, HelloLimits::default());
            assert_eq!(answer, Ok(Scan::NeedMore), "{} cut to {end} bytes", vector.name);
            if end % 97 == 0 {
                let whole = ClientHello::from_records(prefix);
                assert_eq!(whole, Err(HelloError::Incomplete), "{} cut to {end} bytes", vector.name);
            }
        }
    }
}

#[test]
fn every_prefix_of_a_handshake_message_is_an_error() {
    for vector in vectors::all() {
        let handshake = handshake(&vector.bytes);
        for end in 0..handshake.len().min(4096) {
            let error = ClientHello::parse(&handshake[..end]).expect_err("a hello cut short is no hello");
            assert!(matches!(error, HelloError::Read(_)), "{} cut to {end} bytes: {error}", vector.name);
        }
    }
}

#[test]
fn a_hello_is_the_same_in_whatever_records_it_comes() {
    for vector in vectors::all() {
        let handshake = handshake(&vector.bytes);
        let expected = ClientHello::parse(&handshake).unwrap();
        for records in [1, 2, 3, 7, 64] {
            let size = handshake.len().div_ceil(records).clamp(1, 1 << 14);
            let mut bytes = in_records(&handshake, size);
            let consumed = bytes.len();
            bytes.extend_from_slice(b"\x17\x03\x03\0\x05early");
            let Ok(Scan::Complete { consumed: told, handshake: joined }) = scan(&bytes, HelloLimits::default()) else {
                panic!("{} in {records} records: {:?}", vector.name, scan(&bytes, HelloLimits::default()));
            };
            assert_eq!(told, consumed, "{} in {records} records", vector.name);
            assert_eq!(ClientHello::parse(&joined), Ok(expected.clone()), "{} in {records} records", vector.name);
        }
    }
}

#[test]
fn a_record_of_another_kind_inside_the_hello_is_refused() {
    for vector in vectors::all() {
        let handshake = handshake(&vector.bytes);
        let (head, tail) = handshake.split_at(50);
        let alert = b"\x15\x03\x03\0\x02\x01\0";
        let bytes = [&in_records(head, 50), &alert[..], &in_records(tail, 1 << 14)].concat();
        let answer = scan(&bytes, HelloLimits::default());
        assert_eq!(answer, Err(HelloError::UnexpectedRecord { content_type: 0x15 }), "{}", vector.name);
    }
}

#[test]
fn a_tighter_limit_refuses_the_longest_vector_before_its_bytes_come() {
    let limits = HelloLimits { max_hello_bytes: 4096, ..HelloLimits::default() };
    for vector in vectors::all().iter().filter(|vector| vector.bytes.len() > 5000) {
        let error = scan(&vector.bytes[..9], limits).expect_err("its length is stated in the first bytes");
        assert!(matches!(error, HelloError::TooLong { limit: 4096, .. }), "{}: {error}", vector.name);
    }
}

fn handshake(bytes: &[u8]) -> Cow<'_, [u8]> {
    match scan(bytes, HelloLimits::default()) {
        Ok(Scan::Complete { handshake, consumed }) => {
            assert_eq!(consumed, bytes.len(), "a vector ends with its hello");
            handshake
        }
        other => panic!("a vector is whole: {other:?}"),
    }
}

fn in_records(handshake: &[u8], size: usize) -> Vec<u8> {
    let record = |fragment: &[u8]| {
        let len = u16::try_from(fragment.len()).unwrap().to_be_bytes();
        [&[0x16, 3, 1], &len[..], fragment].concat()
    };
    handshake.chunks(size).flat_map(record).collect()
}
