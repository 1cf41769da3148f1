//! `portcullis fingerprint`: ClientHellos to their prints, one JSON object a line.
//!
//! They come in hex, one a line, or in a capture of traffic: the first bytes say which.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::process::ExitCode;

use portcullis_fingerprint::{ClientHello, Grease, HelloError, Prints, is_grease, record::MAX_HELLO_BYTES};
use serde::Serialize;

use super::{tell, tell_error};
use crate::capture::{self, Begins, CaptureError, Found, Summary};
use crate::cli::FingerprintArgs;
use crate::settings::from_hex;

/// The longest line, in bytes: the largest hello in hex, with room for its records. What is longer is read
/// over and reported, so that memory does not grow with it.
const MAX_LINE_BYTES: usize = 2 * (MAX_HELLO_BYTES + 64 * 1024);

/// Reads the file, or standard input, to its end. Fails where any hello did.
pub(crate) fn run(args: &FingerprintArgs) -> ExitCode {
    let output = BufWriter::new(io::stdout().lock());
    let outcome = match args.file.as_deref() {
        Some(path) if path.as_os_str() != "-" => match File::open(path) {
            Ok(file) => convert(BufReader::new(file), output),
            Err(error) => {
                let file = path.display();
                tell_error(format_args!(
                    "cannot open `{file}`: {error}; name a file of hex lines or a capture, or `-`"
                ));
                return ExitCode::FAILURE;
            }
        },
        _ => convert(BufReader::new(io::stdin().lock()), output),
    };
    match outcome {
        Ok(Outcome::AllRead) => ExitCode::SUCCESS,
        Ok(Outcome::SomeFailed) => ExitCode::FAILURE,
        // Whoever read the output has had enough, as `head` does.
        Err(CaptureError::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
        Err(error) => {
            tell_error(error);
            ExitCode::FAILURE
        }
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Outcome {
    AllRead,
    SomeFailed,
}

/// Why a line has no prints.
#[derive(Debug)]
enum LineError {
    TooLong,
    NotHex,
    Hello(HelloError),
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "expected at most {MAX_LINE_BYTES} bytes in a line, but found more"),
            Self::NotHex => f.write_str("expected a ClientHello in hex, two digits a byte, but found something else"),
            Self::Hello(error) => error.fmt(f),
        }
    }
}

fn convert(mut input: impl BufRead, output: impl Write) -> Result<Outcome, CaptureError> {
    // No more is read ahead than it takes to tell: a person may type the lines.
    let mut head = Vec::new();
    while capture::begins_capture(&head) == Begins::MaybeCapture {
        let Some(byte) = input.by_ref().bytes().next().transpose()? else { break };
        head.push(byte);
    }
    let begins = capture::begins_capture(&head);
    if head.first() == Some(&GZIP_MAGIC) {
        return Err(CaptureError::Io(io::Error::other("the input is compressed; unpack it with `gunzip` first")));
    }
    let input = io::Cursor::new(head).chain(input);
    match begins {
        Begins::Capture => convert_capture(input, output),
        Begins::MaybeCapture | Begins::Otherwise => Ok(convert_lines(input, output)?),
    }
}

fn convert_lines(mut input: impl BufRead, mut output: impl Write) -> io::Result<Outcome> {
    let mut outcome = Outcome::AllRead;
    let mut line = Vec::new();
    while let Some(fits) = read_line(&mut input, &mut line)? {
        match fits.and_then(|()| hello(&line)) {
            Ok(hello) => write_line(&mut output, &PrintLine::of(&hello))?,
            Err(error) => {
                outcome = Outcome::SomeFailed;
                write_line(&mut output, &ErrorLine { error: error.to_string() })?;
            }
        }
        // A program at the other end of the pipe may wait for this line before it sends the next.
        output.flush()?;
    }
    Ok(outcome)
}

fn convert_capture(input: impl Read, mut output: impl Write) -> Result<Outcome, CaptureError> {
    let mut outcome = Outcome::AllRead;
    let summary = capture::read(input, |found| {
        if found.hello.is_err() {
            outcome = Outcome::SomeFailed;
        }
        write_line(&mut output, &FoundLine::of(&found))
    });
    output.flush()?;
    let summary = summary?;
    tell_summary(&summary);
    if summary.hellos == 0 { Ok(Outcome::SomeFailed) } else { Ok(outcome) }
}

fn tell_summary(summary: &Summary) {
    let Summary { packets, segments, hellos, let_go, ends_early } = summary;
    if *hellos == 0 {
        tell_error(format_args!(
            "no ClientHello in {packets} packets, {segments} of them TCP; capture from before the connections begin, \
             in the clear and not inside a tunnel"
        ));
    }
    if *let_go > 0 {
        tell(format_args!(
            "warning: {let_go} connections were let go unread, too many were open at once; split the file\n"
        ));
    }
    if *ends_early {
        tell("warning: the capture ends inside a packet; what stands before it was read\n");
    }
}

fn write_line(output: &mut impl Write, line: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *output, line)?;
    output.write_all(b"\n")
}

/// Reads one line without its end. None at the end of the input.
fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<Option<Result<(), LineError>>> {
    line.clear();
    let most = u64::try_from(MAX_LINE_BYTES + 1).unwrap_or(u64::MAX);
    if input.by_ref().take(most).read_until(b'\n', line)? == 0 {
        return Ok(None);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
    } else if line.len() > MAX_LINE_BYTES {
        input.skip_until(b'\n')?;
        return Ok(Some(Err(LineError::TooLong)));
    }
    Ok(Some(Ok(())))
}

fn hello(line: &[u8]) -> Result<ClientHello, LineError> {
    let text = std::str::from_utf8(line).map_err(|_| LineError::NotHex)?;
    let bytes = from_hex(text.trim()).ok_or(LineError::NotHex)?;
    ClientHello::from_any(&bytes).map_err(LineError::Hello)
}

/// The prints of a hello, and what a person asks of it first.
#[derive(Serialize)]
struct PrintLine {
    ja3: String,
    ja3_hash: String,
    ja3n: String,
    ja3n_hash: String,
    ja4: String,
    ja4_r: String,
    ja4_o: String,
    ja4_ro: String,
    stable: String,
    sni: Option<String>,
    alpn: Vec<String>,
    tls_versions: Vec<String>,
    pq: bool,
    ech: bool,
    psk: bool,
    early_data: bool,
    grease: GreaseLine,
}

/// The lists that hold GREASE, and how many values each.
#[derive(Serialize)]
struct GreaseLine {
    #[serde(skip_serializing_if = "is_zero")]
    ciphers: usize,
    #[serde(skip_serializing_if = "is_zero")]
    extensions: usize,
    #[serde(skip_serializing_if = "is_zero")]
    groups: usize,
    #[serde(skip_serializing_if = "is_zero")]
    key_shares: usize,
    #[serde(skip_serializing_if = "is_zero")]
    versions: usize,
    #[serde(skip_serializing_if = "is_zero")]
    signature_algorithms: usize,
    #[serde(skip_serializing_if = "is_zero")]
    psk_modes: usize,
    #[serde(skip_serializing_if = "is_zero")]
    alpn: usize,
}

#[derive(Serialize)]
struct ErrorLine {
    error: String,
}

/// A hello of a capture, and where it was.
#[derive(Serialize)]
struct FoundLine {
    client_addr: String,
    client_port: u16,
    server_addr: String,
    server_port: u16,
    packet: u64,
    hello: u8,
    #[serde(flatten)]
    line: EitherLine,
}

#[derive(Serialize)]
#[serde(untagged)]
enum EitherLine {
    Prints(Box<PrintLine>),
    Error(ErrorLine),
}

impl PrintLine {
    fn of(hello: &ClientHello) -> Self {
        let Prints { ja3, ja3n, ja4, ja4_o, ja4_r, ja4_ro, stable } = Prints::of(hello);
        Self {
            ja3: ja3.text,
            ja3_hash: ja3.hash.to_string(),
            ja3n: ja3n.text,
            ja3n_hash: ja3n.hash.to_string(),
            ja4: ja4.to_string(),
            ja4_r,
            ja4_o: ja4_o.to_string(),
            ja4_ro,
            stable: stable.to_string(),
            sni: hello.server_name.clone(),
            alpn: hello.alpn.iter().map(|name| name.escape_ascii().to_string()).collect(),
            tls_versions: versions(hello),
            pq: hello.offers_post_quantum(),
            ech: hello.offers_ech(),
            psk: hello.offers_psk(),
            early_data: hello.offers_early_data(),
            grease: GreaseLine::of(hello),
        }
    }
}

impl GreaseLine {
    fn of(hello: &ClientHello) -> Self {
        let Grease {
            cipher_suites: ciphers,
            extensions,
            groups,
            key_shares,
            versions,
            signature_algorithms,
            psk_modes,
            alpn,
        } = Grease::of(hello);
        Self { ciphers, extensions, groups, key_shares, versions, signature_algorithms, psk_modes, alpn }
    }
}

impl FoundLine {
    fn of(found: &Found) -> Self {
        let line = match &found.hello {
            Ok(hello) => EitherLine::Prints(Box::new(PrintLine::of(hello))),
            Err(error) => {
                let remedy = match (error, found.is_cut) {
                    (_, true) => "; the capture cut its packets short, capture again with `tcpdump -s 0`",
                    (HelloError::Incomplete, false) => "; packets of it are missing from the capture",
                    _ => "",
                };
                EitherLine::Error(ErrorLine { error: format!("{error}{remedy}") })
            }
        };
        Self {
            client_addr: found.client.ip().to_string(),
            client_port: found.client.port(),
            server_addr: found.server.ip().to_string(),
            server_port: found.server.port(),
            packet: found.packet,
            hello: found.nth,
            line,
        }
    }
}

/// The versions that the client speaks, as it lists them.
fn versions(hello: &ClientHello) -> Vec<String> {
    let listed = hello.supported_versions.iter().copied().filter(|version| !is_grease(*version));
    let mut versions: Vec<String> = listed.map(version_name).collect();
    if versions.is_empty() {
        versions.push(version_name(hello.legacy_version));
    }
    versions
}

fn version_name(version: u16) -> String {
    match version {
        0x0304 => "1.3".to_owned(),
        0x0303 => "1.2".to_owned(),
        0x0302 => "1.1".to_owned(),
        0x0301 => "1.0".to_owned(),
        0x0300 => "ssl3".to_owned(),
        other => format!("0x{other:04x}"),
    }
}

const fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// The first byte of a gzip file, as captures are often kept.
const GZIP_MAGIC: u8 = 0x1f;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &[u8], outcome: Outcome, lines: &[&str]) {
        let mut output = Vec::new();
        assert_eq!(convert(input, &mut output).unwrap(), outcome);
        let output = String::from_utf8(output).unwrap();
        assert_eq!(output.lines().collect::<Vec<_>>().len(), lines.len(), "{output}");
        for (line, start) in output.lines().zip(lines) {
            assert!(line.starts_with(start), "{line} does not begin with {start}");
        }
    }

    #[test]
    fn every_line_has_its_answer() {
        check(b"", Outcome::AllRead, &[]);
        check(
            b"zz\n\n16\n",
            Outcome::SomeFailed,
            &[r#"{"error":"expected a ClientHello in hex"#, r#"{"error":"#, r#"{"error":"#],
        );
        check(b"474554", Outcome::SomeFailed, &[r#"{"error":"#]);
        check(&[0xff, b'\n'], Outcome::SomeFailed, &[r#"{"error":"expected a ClientHello in hex"#]);
        // An empty line first, as a pcapng file begins.
        check(b"\n\r", Outcome::SomeFailed, &[r#"{"error":"#, r#"{"error":"#]);
    }

    #[test]
    fn a_line_that_is_too_long_is_read_over() {
        let mut input = vec![b'a'; MAX_LINE_BYTES * 2];
        input.extend_from_slice(b"\nzz\n");
        check(&input, Outcome::SomeFailed, &[r#"{"error":"expected at most"#, r#"{"error":"expected a ClientHello"#]);
        let just = vec![b'a'; MAX_LINE_BYTES];
        check(&just, Outcome::SomeFailed, &[r#"{"error":"#]);
    }

    #[test]
    fn what_is_compressed_is_to_be_unpacked() {
        let error = convert(&b"\x1f\x8b\x08"[..], Vec::new()).unwrap_err();
        assert_eq!(error.to_string(), "the input is compressed; unpack it with `gunzip` first");
    }
}
