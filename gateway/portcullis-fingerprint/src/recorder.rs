//! A recorder on the plaintext of a connection: the first bytes of HTTP/2 to an [`Http2Print`].

use std::fmt;

use crate::hpack::{HpackError, walk_header_block};
use crate::http2::{Http2Print, Priority, Pseudo};
use crate::reader::{ReadError, Reader, u24};

/// The most bytes of a connection that are recorded before its first request is whole: 32 KiB.
///
/// Browsers' first requests end within 2 KB, and one with 8 KB of cookies within 10. Past it,
/// [`Http2GiveUp::TooManyBytes`]. It bounds the memory of a recorder, too.
pub const MAX_RECORDED_BYTES: usize = 32 * 1024;

/// The most frames that are recorded before the first request is whole: 64.
///
/// Chromium sends 3, older browsers with a tree of priorities 9. Past it, [`Http2GiveUp::TooManyFrames`].
pub const MAX_RECORDED_FRAMES: usize = 64;

/// The most settings in the first SETTINGS frame: 64.
///
/// Seven are defined in the standard and clients send at most ten. Past it, [`Http2GiveUp::TooManySettings`].
pub const MAX_SETTINGS: usize = 64;

/// Records what an HTTP/2 client shows from its first byte up to its first request.
///
/// Feed it all that is read from the connection after TLS, in pieces of any size, until it answers; then drop it.
/// The answer does not depend on the pieces. It judges no more than it must to read on: that a connection follows
/// the standard is for the server behind to say.
///
/// ```
/// use portcullis_fingerprint::{Http2Recorder, Recording};
///
/// let mut recorder = Http2Recorder::default();
/// assert_eq!(recorder.feed(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), Recording::NeedMore);
/// recorder.feed(b"\0\0\x06\x04\0\0\0\0\0\0\x02\0\0\0\0"); // SETTINGS, ENABLE_PUSH = 0
/// let Recording::Done(print) = recorder.feed(b"\0\0\x03\x01\x05\0\0\0\x01\x82\x84\x87") else { panic!() };
/// assert_eq!(print.to_string(), "2:0|00|0|m,p,s");
/// ```
#[derive(Clone, Debug, Default)]
pub struct Http2Recorder {
    print: Http2Print,
    /// What was fed and belongs to a frame that is not whole, or to the preface.
    pending: Vec<u8>,
    /// The front of a header block whose CONTINUATION has not come, and its stream.
    block: Option<(u32, Vec<u8>)>,
    /// How many bytes are still to come of a frame that is passed over.
    passing: usize,
    bytes: usize,
    frames: usize,
    stage: Stage,
}

/// What an [`Http2Recorder`] says to some bytes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Recording {
    /// All well so far, but the first request has not ended. Feed it what is read next.
    NeedMore,
    /// The first request is there. Nothing more is recorded; drop the recorder.
    Done(Box<Http2Print>),
    /// There will be no print. Drop the recorder.
    GaveUp(Http2GiveUp),
}

/// Why there is no print of a connection. The set is closed and the names are stable.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Http2GiveUp {
    /// It does not begin with the client connection preface (RFC 9113 §3.4).
    NotHttp2,
    /// The first frame is not SETTINGS, or only acknowledges them (RFC 9113 §3.4).
    NoSettings,
    /// A frame cannot stand where it stands: not before the first request, or not inside its header block.
    UnexpectedFrame,
    /// A frame is longer than the 16,384 bytes that hold until a server allows more (RFC 9113 §4.2).
    FrameTooLong,
    /// A frame has a length, padding or stream that its type cannot have.
    BadFrame,
    /// More than [`MAX_SETTINGS`] settings.
    TooManySettings,
    /// More than [`MAX_RECORDED_FRAMES`] frames before the first request was whole.
    TooManyFrames,
    /// More than [`MAX_RECORDED_BYTES`] before the first request was whole.
    TooManyBytes,
    /// The first header block could not be walked.
    BadHeaderBlock(HpackError),
    /// The recorder had answered before.
    AfterEnd,
}

impl Http2GiveUp {
    /// Every name that [`Http2GiveUp::name`] gives.
    pub const NAMES: [&str; 10] = [
        "not_http2",
        "no_settings",
        "unexpected_frame",
        "frame_too_long",
        "bad_frame",
        "too_many_settings",
        "too_many_frames",
        "too_many_bytes",
        "bad_header_block",
        "after_end",
    ];

    /// The reason's name, for a metric's label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotHttp2 => "not_http2",
            Self::NoSettings => "no_settings",
            Self::UnexpectedFrame => "unexpected_frame",
            Self::FrameTooLong => "frame_too_long",
            Self::BadFrame => "bad_frame",
            Self::TooManySettings => "too_many_settings",
            Self::TooManyFrames => "too_many_frames",
            Self::TooManyBytes => "too_many_bytes",
            Self::BadHeaderBlock(_) => "bad_header_block",
            Self::AfterEnd => "after_end",
        }
    }
}

impl fmt::Display for Http2GiveUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotHttp2 => f.write_str("expected the HTTP/2 connection preface, but found something else"),
            Self::NoSettings => f.write_str("expected the first frame to be SETTINGS, but found another"),
            Self::UnexpectedFrame => f.write_str("expected the first request, but found a frame that cannot come yet"),
            Self::FrameTooLong => write!(f, "expected at most {MAX_FRAME_BYTES} bytes in a frame, but found more"),
            Self::BadFrame => f.write_str("expected a frame of a form that its type can have, but found another"),
            Self::TooManySettings => write!(f, "expected at most {MAX_SETTINGS} settings, but found more"),
            Self::TooManyFrames => {
                write!(f, "expected the first request within {MAX_RECORDED_FRAMES} frames, but found more")
            }
            Self::TooManyBytes => {
                write!(f, "expected the first request within {MAX_RECORDED_BYTES} bytes, but found more")
            }
            Self::BadHeaderBlock(error) => error.fmt(f),
            Self::AfterEnd => f.write_str("the recorder had answered before"),
        }
    }
}

impl std::error::Error for Http2GiveUp {}

impl From<HpackError> for Http2GiveUp {
    fn from(error: HpackError) -> Self {
        Self::BadHeaderBlock(error)
    }
}

impl From<ReadError> for Http2GiveUp {
    fn from(_: ReadError) -> Self {
        Self::BadFrame
    }
}

impl Http2Recorder {
    /// A recorder of a connection of which nothing was read yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes what was read next.
    ///
    /// Once it has answered, it says [`Http2GiveUp::AfterEnd`] to everything.
    pub fn feed(&mut self, bytes: &[u8]) -> Recording {
        if self.stage == Stage::Ended {
            return Recording::GaveUp(Http2GiveUp::AfterEnd);
        }
        // What goes past the bound is not looked at, so that the answer does not depend on the pieces.
        let room = MAX_RECORDED_BYTES - self.bytes;
        let bytes = bytes.get(..room).unwrap_or(bytes);
        self.bytes += bytes.len();
        let answer = match self.take_in(bytes) {
            Ok(Progress::Whole) => Recording::Done(Box::new(std::mem::take(&mut self.print))),
            Ok(Progress::Waiting) if self.bytes < MAX_RECORDED_BYTES => return Recording::NeedMore,
            Ok(Progress::Waiting) => Recording::GaveUp(Http2GiveUp::TooManyBytes),
            Err(reason) => Recording::GaveUp(reason),
        };
        *self = Self { stage: Stage::Ended, ..Self::default() };
        answer
    }

    /// Reads what is whole of the pending bytes and `bytes`, and keeps the rest.
    fn take_in(&mut self, bytes: &[u8]) -> Result<Progress, Http2GiveUp> {
        if self.pending.is_empty() {
            let mut rest = bytes;
            let progress = self.read(&mut rest)?;
            self.pending.extend_from_slice(rest);
            return Ok(progress);
        }
        let mut pending = std::mem::take(&mut self.pending);
        pending.extend_from_slice(bytes);
        let mut rest = &pending[..];
        let progress = self.read(&mut rest)?;
        let taken = pending.len() - rest.len();
        pending.drain(..taken);
        self.pending = pending;
        Ok(progress)
    }

    /// Reads frame after frame from the front of `rest`, and leaves there what is not whole.
    fn read(&mut self, rest: &mut &[u8]) -> Result<Progress, Http2GiveUp> {
        if self.stage == Stage::Preface {
            let common = PREFACE.len().min(rest.len());
            if rest.get(..common) != PREFACE.get(..common) {
                return Err(Http2GiveUp::NotHttp2);
            }
            let Some((_, after)) = rest.split_at_checked(PREFACE.len()) else { return Ok(Progress::Waiting) };
            *rest = after;
            self.stage = Stage::FirstFrame;
        }
        loop {
            let passed = self.passing.min(rest.len());
            *rest = rest.get(passed..).unwrap_or_default();
            self.passing -= passed;
            let Some((header, after)) = rest.split_first_chunk() else { return Ok(Progress::Waiting) };
            let frame = Frame::read(*header);
            self.admit(&frame)?;
            if frame.is_passed_over() {
                self.passing = frame.len;
                *rest = after;
            } else {
                let Some((payload, after)) = after.split_at_checked(frame.len) else { return Ok(Progress::Waiting) };
                *rest = after;
                if let Progress::Whole = self.frame(&frame, Reader::new(payload))? {
                    return Ok(Progress::Whole);
                }
            }
            self.frames += 1;
            self.stage = Stage::Frames;
        }
    }

    /// Asks whether a frame of this header may come now. Asked again while its payload is awaited.
    fn admit(&self, frame: &Frame) -> Result<(), Http2GiveUp> {
        if frame.len > MAX_FRAME_BYTES {
            return Err(Http2GiveUp::FrameTooLong);
        }
        if self.frames == MAX_RECORDED_FRAMES {
            return Err(Http2GiveUp::TooManyFrames);
        }
        if self.stage == Stage::FirstFrame && (frame.kind != SETTINGS || frame.has(ACK)) {
            return Err(Http2GiveUp::NoSettings);
        }
        // Nothing may stand between a header block's frames (RFC 9113 §6.10).
        let continues = frame.kind == CONTINUATION;
        let fits = match &self.block {
            Some((stream, _)) => continues && frame.stream == *stream,
            None => !continues && !matches!(frame.kind, DATA | RST_STREAM | PUSH_PROMISE),
        };
        if fits { Ok(()) } else { Err(Http2GiveUp::UnexpectedFrame) }
    }

    fn frame(&mut self, frame: &Frame, mut payload: Reader<'_>) -> Result<Progress, Http2GiveUp> {
        match frame.kind {
            SETTINGS => self.settings(frame, payload)?,
            WINDOW_UPDATE => {
                let increment = u32_of(&mut payload)? & !HIGH_BIT;
                payload.finish("WINDOW_UPDATE")?;
                if frame.stream == 0 && self.print.window_increment == 0 {
                    self.print.window_increment = increment;
                }
            }
            PRIORITY => {
                let priority = priority(frame.stream, &mut payload)?;
                payload.finish("PRIORITY")?;
                self.print.priorities.push(priority);
            }
            HEADERS => return self.headers(frame, payload),
            _ => return self.block_fragment(frame, payload.remaining()),
        }
        Ok(Progress::Waiting)
    }

    fn settings(&mut self, frame: &Frame, mut payload: Reader<'_>) -> Result<(), Http2GiveUp> {
        if frame.stream != 0 || frame.has(ACK) && frame.len > 0 || !frame.len.is_multiple_of(SETTING_BYTES) {
            return Err(Http2GiveUp::BadFrame);
        }
        // Only the first frame's settings are the client's opening.
        if self.stage != Stage::FirstFrame {
            return Ok(());
        }
        if frame.len / SETTING_BYTES > MAX_SETTINGS {
            return Err(Http2GiveUp::TooManySettings);
        }
        while !payload.is_empty() {
            let id = payload.u16("Identifier")?;
            let value = u32_of(&mut payload)?;
            self.print.settings.push((id, value));
        }
        Ok(())
    }

    fn headers(&mut self, frame: &Frame, mut payload: Reader<'_>) -> Result<Progress, Http2GiveUp> {
        // A client's streams have odd numbers (RFC 9113 §5.1.1).
        if frame.stream.is_multiple_of(2) {
            return Err(Http2GiveUp::BadFrame);
        }
        let padding = if frame.has(PADDED) { usize::from(payload.u8("Pad Length")?) } else { 0 };
        if frame.has(HAS_PRIORITY) {
            self.print.headers_priority = Some(priority(frame.stream, &mut payload)?);
        }
        self.print.first_stream = frame.stream;
        let fragment_bytes = payload.remaining().len().checked_sub(padding).ok_or(Http2GiveUp::BadFrame)?;
        self.block_fragment(frame, payload.take("Field Block Fragment", fragment_bytes)?)
    }

    fn block_fragment(&mut self, frame: &Frame, fragment: &[u8]) -> Result<Progress, Http2GiveUp> {
        match (&mut self.block, frame.has(END_HEADERS)) {
            (None, true) => self.walk(fragment)?,
            (None, false) => {
                self.block = Some((frame.stream, fragment.to_vec()));
                return Ok(Progress::Waiting);
            }
            (Some((_, block)), false) => {
                block.extend_from_slice(fragment);
                return Ok(Progress::Waiting);
            }
            (Some((_, block)), true) => {
                block.extend_from_slice(fragment);
                let block = std::mem::take(block);
                self.walk(&block)?;
            }
        }
        Ok(Progress::Whole)
    }

    fn walk(&mut self, block: &[u8]) -> Result<(), HpackError> {
        // The names of the other fields are not kept: whoever asks for their order has the request itself.
        walk_header_block(block, |name| self.print.pseudo.extend(Pseudo::from_name(name)))
    }
}

/// How far a recorder is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Stage {
    #[default]
    Preface,
    FirstFrame,
    Frames,
    Ended,
}

/// Whether the first request is there.
enum Progress {
    Waiting,
    Whole,
}

/// The header of a frame (RFC 9113 §4.1).
struct Frame {
    len: usize,
    kind: u8,
    flags: u8,
    stream: u32,
}

impl Frame {
    fn read([l0, l1, l2, kind, flags, s0, s1, s2, s3]: [u8; 9]) -> Self {
        let stream = u32::from_be_bytes([s0, s1, s2, s3]) & !HIGH_BIT;
        Self { len: u24([l0, l1, l2]), kind, flags, stream }
    }

    const fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Whether nothing in the frame is recorded: PING, GOAWAY, and types that are not known (RFC 9113 §5.5).
    const fn is_passed_over(&self) -> bool {
        !matches!(self.kind, HEADERS | PRIORITY | SETTINGS | WINDOW_UPDATE | CONTINUATION)
    }
}

/// The five bytes of a priority (RFC 7540 §6.3).
fn priority(stream: u32, payload: &mut Reader<'_>) -> Result<Priority, Http2GiveUp> {
    if stream == 0 {
        return Err(Http2GiveUp::BadFrame);
    }
    let dependency = u32_of(payload)?;
    let weight = u16::from(payload.u8("Weight")?) + 1;
    Ok(Priority { stream, exclusive: dependency & HIGH_BIT != 0, depends_on: dependency & !HIGH_BIT, weight })
}

fn u32_of(payload: &mut Reader<'_>) -> Result<u32, ReadError> {
    let high = payload.u16("value")?;
    let low = payload.u16("value")?;
    Ok(u32::from(high) << 16 | u32::from(low))
}

/// What every HTTP/2 client sends first (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The longest frame until a server allows longer ones (RFC 9113 §6.5.2).
const MAX_FRAME_BYTES: usize = 1 << 14;
/// Identifier and value (RFC 9113 §6.5.1).
const SETTING_BYTES: usize = 6;
/// Reserved, or the mark of an exclusive dependency.
const HIGH_BIT: u32 = 1 << 31;

// Types of frames (RFC 9113 §6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

// Their flags.
const ACK: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const HAS_PRIORITY: u8 = 0x20;
