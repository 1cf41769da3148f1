//! Bytes that may be anything.

use portcullis_fingerprint::record::scan;
use portcullis_fingerprint::{
    ClientHello, HelloLimits, Http1Print, Http2Recorder, Ja3, Ja3Hash, Ja4, ListedPrints, MAX_FIELDS, MAX_NAME_BYTES,
    Prints, Recording, Scan, StablePrint, ja4_r, ja4_ro, read_any, walk_header_block,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::frames::{PREFACE, connection, frame};

/// A vector with a true length in front, of `width` bytes.
fn with_len(width: usize, contents: &[u8]) -> Vec<u8> {
    let len = contents.len().to_be_bytes();
    [&len[len.len() - width..], contents].concat()
}

/// A handshake message that reads: any suites, any extensions of kinds that have no inner form here.
fn hello() -> impl Strategy<Value = Vec<u8>> {
    let kinds = prop_oneof![Just(0x0a0a_u16), Just(21), Just(23), Just(41), Just(42), Just(0xff01), 1000..1010_u16];
    let extension = (kinds, vec(any::<u8>(), 0..40));
    (any::<[u8; 2]>(), vec(any::<u16>(), 0..150), vec(extension, 0..130)).prop_map(|(version, suites, extensions)| {
        let suites: Vec<u8> = suites.into_iter().flat_map(u16::to_be_bytes).collect();
        let extensions: Vec<u8> = extensions
            .into_iter()
            .flat_map(|(kind, data)| [kind.to_be_bytes().to_vec(), with_len(2, &data)].concat())
            .collect();
        let body = [
            &version[..],
            &[0; 32],
            &with_len(1, &[]),
            &with_len(2, &suites),
            &with_len(1, &[0]),
            &with_len(2, &extensions),
        ];
        [vec![1], with_len(3, &body.concat())].concat()
    })
}

/// `message` in records, cut where `cuts` say.
fn in_records(message: &[u8], cuts: &[usize]) -> Vec<u8> {
    let mut rest = message;
    let mut bytes = Vec::new();
    for cut in cuts.iter().chain(std::iter::repeat(&(1 << 14))) {
        let (fragment, after) = rest.split_at((*cut).min(rest.len()));
        bytes.extend_from_slice(&[0x16, 3, 1]);
        bytes.extend_from_slice(&with_len(2, fragment));
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    bytes
}

/// Frames that mostly have a form that their kind can have, and header blocks of any bytes.
fn http2_bytes() -> impl Strategy<Value = Vec<u8>> {
    let kind = prop_oneof![0..11_u8, Just(1), Just(1), Just(4), Just(9), any::<u8>()];
    let payload = prop_oneof![vec(any::<u8>(), 0..40), vec(any::<u8>(), 4..6), Just(b"\x82\x87\x84".to_vec())];
    let frames = vec((kind, any::<u8>(), 0..4_u32, payload), 0..12);
    frames.prop_map(|frames| {
        let frames: Vec<_> =
            frames.iter().map(|(kind, flags, stream, payload)| frame(*kind, *flags, *stream, payload)).collect();
        connection(&frames)
    })
}

/// The first answer that is not to wait, of a recorder that gets `bytes` in pieces cut where `cuts` say.
fn in_pieces(bytes: &[u8], cuts: &[usize]) -> Recording {
    let mut recorder = Http2Recorder::new();
    let mut rest = bytes;
    for cut in cuts.iter().chain(std::iter::repeat(&usize::MAX)) {
        let (piece, after) = rest.split_at((*cut).min(rest.len()));
        let answer = recorder.feed(piece);
        if answer != Recording::NeedMore || after.is_empty() {
            return answer;
        }
        rest = after;
    }
    Recording::NeedMore
}

proptest! {
    #[test]
    fn any_bytes_are_recorded_or_given_up(bytes in vec(any::<u8>(), 0..300)) {
        let _ = Http2Recorder::new().feed(&bytes);
        let _ = Http2Recorder::new().feed(&[PREFACE, &bytes].concat());
        let _ = Http1Print::of(&bytes).map(|print| (print.to_string(), print.repeated_names(), print.header_order()));
    }

    #[test]
    fn pieces_change_no_answer(bytes in http2_bytes(), cuts in vec(0..40_usize, 0..60)) {
        let whole = Http2Recorder::new().feed(&bytes);
        prop_assert_eq!(&in_pieces(&bytes, &cuts), &whole);
        prop_assert_eq!(&in_pieces(&bytes, &vec![1; bytes.len()]), &whole);
        // An answer is never taken back, either.
        let more = [&bytes[..], b"\0\0\0\xbe\0\0\0\0\0 and more"].concat();
        if whole != Recording::NeedMore {
            prop_assert_eq!(Http2Recorder::new().feed(&more), whole);
        }
    }

    #[test]
    fn any_header_block_is_walked_within_its_bounds(block in vec(any::<u8>(), 0..600)) {
        let (mut fields, mut bytes) = (0, 0);
        let _ = walk_header_block(&block, |name| {
            fields += 1;
            bytes += name.len();
        });
        prop_assert!(fields <= MAX_FIELDS && bytes <= MAX_NAME_BYTES);
    }

    #[test]
    fn any_head_has_one_case_a_name(names in vec("[!-9;-~]{1,12}", 0..20)) {
        let fields: String = names.iter().map(|name| format!("{name}: x\r\n")).collect();
        let head = format!("GET / HTTP/1.1\r\n{fields}\r\n");
        let print = Http1Print::of(head.as_bytes()).expect("made to be read");
        prop_assert!(print.header_names.iter().copied().eq(names.iter().map(String::as_bytes)));
        prop_assert_eq!(print.cases().count(), names.len());
        prop_assert!(print.to_string().is_ascii());
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..600)) {
        let _ = read_any(&bytes);
        let _ = ClientHello::parse(&bytes);
    }

    #[test]
    fn any_bytes_after_a_good_header_are_read_or_refused(body in vec(any::<u8>(), 0..600)) {
        let _ = ClientHello::parse(&[vec![1], with_len(3, &body)].concat());
    }

    #[test]
    fn any_extension_of_a_known_kind_is_read_or_refused(kind in 0..52_u16, data in vec(any::<u8>(), 0..60)) {
        let extensions = [&kind.to_be_bytes()[..], &with_len(2, &data)].concat();
        let body = [&[3, 3][..], &[0; 32], &[0, 0, 2, 0, 47, 1, 0], &with_len(2, &extensions)].concat();
        if let Ok(hello) = ClientHello::parse(&[vec![1], with_len(3, &body)].concat()) {
            let prints = Prints::of(&hello);
            prop_assert_eq!(prints.ja4.as_str().parse(), Ok(prints.ja4));
            prop_assert!(prints.ja4_r.is_ascii() && !prints.ja3.text.is_empty());
        }
    }

    #[test]
    fn records_and_crumbs_change_nothing(message in hello(), cuts in vec(1..200_usize, 0..50)) {
        let expected = ClientHello::parse(&message).expect("made to be read");
        let bytes = in_records(&message, &cuts);
        for end in 0..bytes.len() {
            prop_assert_eq!(scan(&bytes[..end], HelloLimits::default()), Ok(Scan::NeedMore), "{} bytes", end);
        }
        prop_assert_eq!(ClientHello::from_records(&bytes), Ok(expected));
    }

    #[test]
    fn a_verdict_is_never_taken_back(bytes in vec(any::<u8>(), 0..80), more in vec(any::<u8>(), 0..80)) {
        let bytes = [&[0x16, 3, 1, 0][..], &bytes].concat();
        let first = scan(&bytes, HelloLimits::default());
        if first != Ok(Scan::NeedMore) {
            let all = [bytes.clone(), more].concat();
            let second = scan(&all, HelloLimits::default());
            prop_assert_eq!(first, second);
        }
    }

    #[test]
    fn a_print_has_its_form_and_streams_to_the_same_hash(message in hello()) {
        let hello = ClientHello::parse(&message).expect("made to be read");
        let prints = Prints::of(&hello);
        prop_assert_eq!(prints.ja3.hash, Ja3Hash::of(&hello));
        prop_assert_eq!(&prints.ja3, &Ja3::of(&hello));
        prop_assert_eq!(prints.ja4, Ja4::of(&hello));
        prop_assert_eq!(ListedPrints { ja3: prints.ja3.hash, ja4: prints.ja4 }, ListedPrints::of(&hello));
        prop_assert_eq!(prints.ja4_o, Ja4::original(&hello));
        prop_assert_eq!((&prints.ja4_r, &prints.ja4_ro), (&ja4_r(&hello), &ja4_ro(&hello)));
        prop_assert_eq!(prints.stable, StablePrint::of(&hello));
        prop_assert_eq!(prints.ja4_o.as_str().parse::<Ja4>(), Ok(prints.ja4_o));
        prop_assert_eq!(prints.stable.as_str().parse::<StablePrint>(), Ok(prints.stable));
        let mut shuffled = hello;
        shuffled.extensions.reverse();
        prop_assert_eq!(Ja3::normalized(&shuffled), prints.ja3n);
        prop_assert_eq!(StablePrint::of(&shuffled), prints.stable);
        prop_assert_eq!(prints.ja4.as_str().parse::<Ja4>(), Ok(prints.ja4));
    }
}
