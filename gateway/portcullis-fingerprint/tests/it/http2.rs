//! The recorder: frames of every kind, in every order, in pieces of every size.

use portcullis_fingerprint::{
    HpackError, Http2GiveUp, Http2Print, Http2Recorder, MAX_RECORDED_BYTES, MAX_RECORDED_FRAMES, MAX_SETTINGS,
    Priority, Pseudo, Recording,
};

use crate::frames::*;

/// What a recorder says that gets `bytes` at once.
fn record(bytes: &[u8]) -> Recording {
    Http2Recorder::new().feed(bytes)
}

#[track_caller]
fn print(bytes: &[u8]) -> Http2Print {
    match record(bytes) {
        Recording::Done(print) => *print,
        other => panic!("no print: {other:?}"),
    }
}

#[track_caller]
fn gives_up(bytes: &[u8], reason: Http2GiveUp) {
    assert_eq!(record(bytes), Recording::GaveUp(reason), "{:02x?}", &bytes[..bytes.len().min(80)]);
}

fn get_request() -> Vec<u8> {
    frame(HEADERS, END_HEADERS, 1, GET)
}

#[test]
fn everything_that_a_client_opens_with_is_in_the_print() {
    let priority = |exclusive: u32, depends_on: u32, weight: u8| {
        [&(exclusive << 31 | depends_on).to_be_bytes()[..], &[weight]].concat()
    };
    let block =
        [b"\x82\x41\x0cshop.example\x87\x84", &literals([("x-b", "1"), ("x-a", "2"), ("x-b", "3")])[..]].concat();
    let print = print(
        &[
            PREFACE,
            &settings(&[(1, 65536), (2, 0), (0x0a0a, u32::MAX)]),
            &frame(WINDOW_UPDATE, 0, 0, &15_663_105_u32.to_be_bytes()),
            &frame(WINDOW_UPDATE, 0, 0, &7_u32.to_be_bytes()),
            &frame(WINDOW_UPDATE, 0, 3, &9_u32.to_be_bytes()),
            &frame(PRIORITY, 0, 3, &priority(0, 0, 200)),
            &frame(PRIORITY, 0, 5, &priority(1, 3, 255)),
            &frame(SETTINGS, ACK, 0, &[]),
            &settings(&[(3, 1)]),
            &frame(HEADERS, END_HEADERS | HAS_PRIORITY, 15, &[priority(1, 13, 0), block].concat()),
        ]
        .concat(),
    );
    assert_eq!(&print.settings[..], [(1, 65536), (2, 0), (0x0a0a, u32::MAX)]);
    assert_eq!(print.window_increment, 15_663_105);
    let expected = [
        Priority { stream: 3, exclusive: false, depends_on: 0, weight: 201 },
        Priority { stream: 5, exclusive: true, depends_on: 3, weight: 256 },
    ];
    assert_eq!(&print.priorities[..], expected);
    let headers_priority = Priority { stream: 15, exclusive: true, depends_on: 13, weight: 1 };
    assert_eq!((print.headers_priority, print.first_stream), (Some(headers_priority), 15));
    assert_eq!(&print.pseudo[..], [Pseudo::Method, Pseudo::Authority, Pseudo::Scheme, Pseudo::Path]);
    assert_eq!(print.to_string(), "1:65536;2:0;2570:4294967295|15663105|3:0:0:201,5:1:3:256|m,a,s,p");
}

#[test]
fn a_header_block_is_read_over_padding_and_continuations() {
    // With one at the end, since fields of other names leave no trace.
    let block = literals([(":method", "GET"), ("accept", "*/*"), ("user-agent", "curl/8.5.0"), (":path", "/")]);
    let whole = print(&connection(&[frame(HEADERS, END_HEADERS, 1, &block)]));
    assert_eq!(whole.to_string(), "|00|0|m,p");
    for pad in [0, 1, 255] {
        let padded = [&[pad][..], &block, &vec![0; pad.into()]].concat();
        assert_eq!(print(&connection(&[frame(HEADERS, END_HEADERS | PADDED, 1, &padded)])), whole, "{pad} of padding");
    }
    for cut in 0..=block.len() {
        let (front, back) = block.split_at(cut);
        let padded = [&[3][..], front, &[0; 3]].concat();
        let frames = [
            frame(HEADERS, PADDED, 1, &padded),
            frame(CONTINUATION, 0, 1, &[]),
            frame(CONTINUATION, END_HEADERS, 1, back),
        ];
        assert_eq!(print(&connection(&frames)), whole, "cut at {cut}");
    }
}

#[test]
fn frames_that_say_nothing_are_passed_over() {
    let long = vec![7; 16_384];
    let frames =
        [frame(PING, 0, 0, &[0; 8]), frame(0x10, 0, 0, b"\0\0\0\x01u=0"), frame(0xbe, 0xff, 9, &long), get_request()];
    assert_eq!(print(&connection(&frames)).to_string(), "|00|0|m,s,p");
}

#[test]
fn the_answer_is_the_same_in_pieces_of_any_size() {
    let bytes = connection(&[
        frame(WINDOW_UPDATE, 0, 0, &[0, 1, 0, 0]),
        frame(PING, 0, 0, &[0; 8]),
        frame(HEADERS, 0, 1, &GET[..1]),
        frame(CONTINUATION, END_HEADERS, 1, &GET[1..]),
    ]);
    let expected = record(&bytes);
    assert!(matches!(expected, Recording::Done(_)));
    for size in 1..bytes.len() {
        let mut recorder = Http2Recorder::new();
        let last = bytes.len().div_ceil(size) - 1;
        for (index, piece) in bytes.chunks(size).enumerate() {
            let answer = recorder.feed(piece);
            assert_eq!(answer, if index == last { expected.clone() } else { Recording::NeedMore }, "pieces of {size}");
        }
        assert_eq!(recorder.feed(b"more"), Recording::GaveUp(Http2GiveUp::AfterEnd));
    }
    for end in 0..bytes.len() {
        assert_eq!(record(&bytes[..end]), Recording::NeedMore, "{end} bytes");
    }
}

#[test]
fn what_is_not_http2_is_given_up_at_the_first_wrong_byte() {
    for (good, bad) in [(&b""[..], b'G'), (b"P", b'O'), (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r", b'\r')] {
        assert_eq!(record(good), Recording::NeedMore);
        gives_up(&[good, &[bad]].concat(), Http2GiveUp::NotHttp2);
    }
    gives_up(&[PREFACE, &get_request()].concat(), Http2GiveUp::NoSettings);
    gives_up(&[PREFACE, &frame(SETTINGS, ACK, 0, &[])].concat(), Http2GiveUp::NoSettings);
    gives_up(&[PREFACE, &frame(0xbe, 0, 0, &[])].concat(), Http2GiveUp::NoSettings);
}

#[test]
fn frames_out_of_place_are_given_up() {
    for frames in [
        vec![frame(DATA, 0, 1, b"body")],
        vec![frame(RST_STREAM, 0, 1, &[0; 4])],
        vec![frame(PUSH_PROMISE, 0, 1, &[0; 4])],
        vec![frame(CONTINUATION, END_HEADERS, 1, GET)],
        vec![frame(HEADERS, 0, 1, &[]), frame(CONTINUATION, END_HEADERS, 3, GET)],
        vec![frame(HEADERS, 0, 1, &[]), frame(HEADERS, END_HEADERS, 1, GET)],
        vec![frame(HEADERS, 0, 1, &[]), frame(PING, 0, 0, &[0; 8])],
        vec![frame(HEADERS, 0, 1, &[]), frame(0xbe, 0, 0, &[])],
    ] {
        gives_up(&connection(&frames), Http2GiveUp::UnexpectedFrame);
    }
}

#[test]
fn frames_that_lie_are_given_up() {
    for frame in [
        frame(SETTINGS, 0, 0, &[0; 5]),
        frame(SETTINGS, 0, 1, &[0; 6]),
        frame(SETTINGS, ACK, 0, &[0; 6]),
        frame(WINDOW_UPDATE, 0, 0, &[0; 3]),
        frame(WINDOW_UPDATE, 0, 0, &[0; 5]),
        frame(PRIORITY, 0, 3, &[0; 4]),
        frame(PRIORITY, 0, 3, &[0; 6]),
        frame(PRIORITY, 0, 0, &[0; 5]),
        frame(HEADERS, END_HEADERS, 0, GET),
        frame(HEADERS, END_HEADERS, 2, GET),
        frame(HEADERS, END_HEADERS | HAS_PRIORITY, 1, &[0; 4]),
        frame(HEADERS, END_HEADERS | PADDED, 1, &[]),
        frame(HEADERS, END_HEADERS | PADDED, 1, &[4, 0x82, 0x87, 0x84]),
        frame(HEADERS, END_HEADERS | PADDED | HAS_PRIORITY, 1, &[1, 0, 0, 0, 0, 0]),
    ] {
        gives_up(&connection(std::slice::from_ref(&frame)), Http2GiveUp::BadFrame);
    }
    for kind in [SETTINGS, HEADERS, PING, 0xbe] {
        gives_up(&connection(&[frame_that_says(16_385, kind, 0, 1, &[])]), Http2GiveUp::FrameTooLong);
    }
    // One that promises more than comes is waited for.
    assert_eq!(record(&connection(&[frame_that_says(16_384, HEADERS, 4, 1, GET)])), Recording::NeedMore);
}

#[test]
fn a_header_block_that_cannot_be_walked_is_given_up_with_its_reason() {
    for (block, error) in [
        (&[0xff, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80][..], HpackError::IntegerTooLarge),
        (&[0x80 | 62], HpackError::NoSuchEntry),
        (&[0x40, 0x84, 0xff, 0xff, 0xff, 0xff, 0x00], HpackError::BadHuffman),
        (&[0x40, 0x7f], HpackError::Truncated),
        (&[0x82; 300], HpackError::TooManyFields),
    ] {
        gives_up(&connection(&[frame(HEADERS, END_HEADERS, 1, block)]), Http2GiveUp::BadHeaderBlock(error));
    }
}

#[test]
fn what_is_kept_is_bounded() {
    let many = |count: usize| vec![(5, 16_384); count];
    assert_eq!(print(&[PREFACE, &settings(&many(MAX_SETTINGS)), &get_request()].concat()).settings.len(), MAX_SETTINGS);
    gives_up(&[PREFACE, &settings(&many(MAX_SETTINGS + 1))].concat(), Http2GiveUp::TooManySettings);

    // The SETTINGS frame and the request count, too.
    let pings = |count: usize| connection(&[frame(PING, 0, 0, &[0; 8]).repeat(count), get_request()]);
    print(&pings(MAX_RECORDED_FRAMES - 2));
    gives_up(&pings(MAX_RECORDED_FRAMES - 1), Http2GiveUp::TooManyFrames);
    let flood = [frame(HEADERS, 0, 1, GET), frame(CONTINUATION, 0, 1, &[]).repeat(MAX_RECORDED_FRAMES)];
    gives_up(&connection(&flood), Http2GiveUp::TooManyFrames);
    let priorities = frame(PRIORITY, 0, 3, &[0; 5]).repeat(MAX_RECORDED_FRAMES);
    gives_up(&connection(&[priorities]), Http2GiveUp::TooManyFrames);

    let front = connection(&[frame(0xbe, 0, 0, &[0; 16_384])]).len();
    let last =
        |len: usize| connection(&[frame(0xbe, 0, 0, &[0; 16_384]), frame(0xbe, 0, 0, &vec![0; len]), get_request()]);
    let room = MAX_RECORDED_BYTES - front - 9 - get_request().len();
    print(&last(room));
    gives_up(&last(room + 1), Http2GiveUp::TooManyBytes);
    let mut recorder = Http2Recorder::new();
    for (index, byte) in last(room + 1).iter().enumerate() {
        let expected = match index + 1 {
            MAX_RECORDED_BYTES => Recording::GaveUp(Http2GiveUp::TooManyBytes),
            count if count < MAX_RECORDED_BYTES => Recording::NeedMore,
            _ => Recording::GaveUp(Http2GiveUp::AfterEnd),
        };
        assert_eq!(recorder.feed(&[*byte]), expected, "byte {index}");
    }
}

#[test]
fn the_names_of_the_reasons_are_these() {
    let reasons = [
        Http2GiveUp::NotHttp2,
        Http2GiveUp::NoSettings,
        Http2GiveUp::UnexpectedFrame,
        Http2GiveUp::FrameTooLong,
        Http2GiveUp::BadFrame,
        Http2GiveUp::TooManySettings,
        Http2GiveUp::TooManyFrames,
        Http2GiveUp::TooManyBytes,
        Http2GiveUp::BadHeaderBlock(HpackError::Truncated),
        Http2GiveUp::AfterEnd,
    ];
    assert_eq!(reasons.map(Http2GiveUp::name), Http2GiveUp::NAMES);
    for reason in reasons {
        assert!(!reason.to_string().is_empty());
    }
}
