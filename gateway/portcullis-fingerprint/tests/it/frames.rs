//! HTTP/2 frames and header blocks, made by hand.

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PUSH_PROMISE: u8 = 5;
pub(crate) const PING: u8 = 6;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const ACK: u8 = 0x1;
pub(crate) const END_HEADERS: u8 = 0x4;
pub(crate) const PADDED: u8 = 0x8;
pub(crate) const HAS_PRIORITY: u8 = 0x20;

/// `GET https://` with a path of `/`: three indexed fields.
pub(crate) const GET: &[u8] = b"\x82\x87\x84";

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    frame_that_says(payload.len(), kind, flags, stream, payload)
}

/// A frame whose header states another length than its payload has.
pub(crate) fn frame_that_says(len: usize, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [.., l0, l1, l2] = len.to_be_bytes();
    [&[l0, l1, l2, kind, flags], &stream.to_be_bytes()[..], payload].concat()
}

pub(crate) fn settings(settings: &[(u16, u32)]) -> Vec<u8> {
    let payload: Vec<u8> =
        settings.iter().flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()).collect();
    frame(SETTINGS, 0, 0, &payload)
}

/// A connection that begins as it must, with empty settings, and goes on with `frames`.
pub(crate) fn connection(frames: &[Vec<u8>]) -> Vec<u8> {
    [PREFACE, &settings(&[]), &frames.concat()].concat()
}

/// Fields as literals that no table keeps, in plain letters.
pub(crate) fn literals<'a>(fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            match u8::try_from(text.len()) {
                Ok(len @ 0..127) => block.push(len),
                _ => {
                    let mut rest = text.len() - 127;
                    block.push(127);
                    while rest > 127 {
                        block.push(u8::try_from(rest % 128).unwrap() | 0x80);
                        rest /= 128;
                    }
                    block.push(u8::try_from(rest).unwrap());
                }
            }
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}
