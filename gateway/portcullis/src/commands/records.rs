//! The lines of audit records: files that a full disk may have cut, that somebody else may have written, and that have
//! no bound.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

/// Lines, each at most [`MAX_LINE_BYTES`] long; what is no UTF-8 in one is told by `�`, and no longer JSON where it matters.
pub(super) struct Lines(Box<dyn BufRead>);

/// One line.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Line {
    /// Its text, without the line feed.
    Text(String),
    /// It is longer than any audit record.
    TooLong,
}

/// The longest line that is kept. A record holds a path of a request, whose header is bounded, six times as long at most.
const MAX_LINE_BYTES: usize = 1 << 20;

impl Lines {
    /// Those of a file, or of standard input where it is `-`.
    ///
    /// # Errors
    ///
    /// Where the file cannot be opened.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(if path == Path::new("-") {
            Self(Box::new(BufReader::new(io::stdin())))
        } else {
            Self(Box::new(BufReader::new(File::open(path)?)))
        })
    }

    fn read(&mut self) -> io::Result<Option<Line>> {
        let mut line = Vec::new();
        let most = u64::try_from(MAX_LINE_BYTES).unwrap_or(u64::MAX);
        if self.0.by_ref().take(most + 1).read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        if line.pop_if(|last| *last == b'\n').is_none() && line.len() > MAX_LINE_BYTES {
            self.skip()?;
            return Ok(Some(Line::TooLong));
        }
        Ok(Some(Line::Text(String::from_utf8_lossy(&line).into_owned())))
    }

    /// Goes behind the end of the line.
    fn skip(&mut self) -> io::Result<()> {
        loop {
            let held = self.0.fill_buf()?;
            let end = held.iter().position(|byte| *byte == b'\n');
            let (taken, is_over) = (end.map_or(held.len(), |end| end + 1), end.is_some() || held.is_empty());
            self.0.consume(taken);
            if is_over {
                return Ok(());
            }
        }
    }
}

impl Iterator for Lines {
    type Item = io::Result<Line>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

/// A text of a record as it is shown: what would move the cursor of a terminal, or turn the text around, is a `?`.
pub(super) fn plain(text: &str) -> String {
    let turns = |letter| matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().map(|letter| if letter.is_control() || turns(letter) { '?' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_cut_strange_or_endless_keeps_no_other_from_being_read() {
        let mut bytes = b"one\n\xff\xfe\n".to_vec();
        bytes.extend(std::iter::repeat_n(b'x', MAX_LINE_BYTES));
        bytes.push(b'\n');
        bytes.extend(std::iter::repeat_n(b'x', 3 * MAX_LINE_BYTES));
        bytes.extend(b"\n\nlast");
        let lines: Vec<_> = Lines(Box::new(io::Cursor::new(bytes))).map(Result::unwrap).collect();
        let text = |text: &str| Line::Text(text.to_owned());
        let longest = text(&"x".repeat(MAX_LINE_BYTES));
        assert!(lines == [text("one"), text("\u{fffd}\u{fffd}"), longest, Line::TooLong, text(""), text("last")]);
    }

    #[test]
    fn what_a_terminal_would_obey_is_not_shown() {
        assert_eq!(plain("a\x1b[31m\u{9b}31m\n\u{202e}b ü"), "a?[31m?31m??b ü");
    }
}
