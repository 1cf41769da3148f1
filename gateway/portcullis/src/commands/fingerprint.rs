//! `portcullis fingerprint`: ClientHellos in hex, one a line, to their prints, one JSON object a line.

use std::fmt;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::process::ExitCode;

use portcullis_fingerprint::{HelloError, Prints, read_any, record::MAX_HELLO_BYTES};
use serde::Serialize;

use super::tell_error;
use crate::settings::from_hex;

/// The longest line, in bytes: the largest hello in hex, with room for its records. What is longer is read
/// over and reported, so that memory does not grow with it.
const MAX_LINE_BYTES: usize = 2 * (MAX_HELLO_BYTES + 64 * 1024);

#[derive(Serialize)]
struct PrintLine<'a> {
    ja3: &'a str,
    ja3_hash: String,
    ja4: &'a str,
    ja4_r: &'a str,
}

#[derive(Serialize)]
struct ErrorLine {
    error: String,
}

/// Reads standard input to its end. Fails where any line did.
pub(crate) fn run() -> ExitCode {
    let output = BufWriter::new(io::stdout().lock());
    match convert(BufReader::new(io::stdin().lock()), output) {
        Ok(Outcome::AllRead) => ExitCode::SUCCESS,
        Ok(Outcome::SomeFailed) => ExitCode::FAILURE,
        // Whoever read the output has had enough, as `head` does.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
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

fn convert(mut input: impl BufRead, mut output: impl Write) -> io::Result<Outcome> {
    let mut outcome = Outcome::AllRead;
    let mut line = Vec::new();
    while let Some(fits) = read_line(&mut input, &mut line)? {
        match fits.and_then(|()| prints(&line)) {
            Ok(prints) => serde_json::to_writer(
                &mut output,
                &PrintLine {
                    ja3: &prints.ja3.text,
                    ja3_hash: prints.ja3.hash.to_string(),
                    ja4: prints.ja4.as_str(),
                    ja4_r: &prints.ja4_r,
                },
            )?,
            Err(error) => {
                outcome = Outcome::SomeFailed;
                serde_json::to_writer(&mut output, &ErrorLine { error: error.to_string() })?;
            }
        }
        output.write_all(b"\n")?;
        // A program at the other end of the pipe may wait for this line before it sends the next.
        output.flush()?;
    }
    Ok(outcome)
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

fn prints(line: &[u8]) -> Result<Prints, LineError> {
    let text = std::str::from_utf8(line).map_err(|_| LineError::NotHex)?;
    let bytes = from_hex(text.trim()).ok_or(LineError::NotHex)?;
    read_any(&bytes).map_err(LineError::Hello)
}

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
    }

    #[test]
    fn a_line_that_is_too_long_is_read_over() {
        let mut input = vec![b'a'; MAX_LINE_BYTES * 2];
        input.extend_from_slice(b"\nzz\n");
        check(&input, Outcome::SomeFailed, &[r#"{"error":"expected at most"#, r#"{"error":"expected a ClientHello"#]);
        let just = vec![b'a'; MAX_LINE_BYTES];
        check(&just, Outcome::SomeFailed, &[r#"{"error":"#]);
    }
}
