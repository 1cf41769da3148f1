use std::fmt;

use crate::prefix::Prefix;

/// What was read from a list of one entry a line: the good lines, and what is wrong with the others.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ParsedList<T> {
    /// The entries, in the order of the text.
    pub entries: Vec<T>,
    /// The lines that are no entry.
    pub faults: Vec<LineFault>,
}

impl<T> ParsedList<T> {
    /// Reads every line of `text` that is neither empty nor only a comment, which `#` begins.
    pub(crate) fn read<E: fmt::Display>(text: &str, mut entry: impl FnMut(&str) -> Result<T, E>) -> Self {
        let mut list = ParsedList { entries: Vec::new(), faults: Vec::new() };
        for (number, line) in (1..).zip(text.lines()) {
            let content = line.split('#').next().unwrap_or_default().trim();
            if content.is_empty() {
                continue;
            }
            match entry(content) {
                Ok(entry) => list.entries.push(entry),
                Err(error) => list.faults.push(LineFault { line: number, message: error.to_string() }),
            }
        }
        list
    }
}

/// What is wrong with one line of a list.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LineFault {
    /// The number of the line; the first is 1.
    pub line: usize,
    /// What was expected and what was found.
    pub message: String,
}

impl fmt::Display for LineFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

/// Reads a list of networks: an address or a prefix a line, `#` begins a comment.
pub fn parse_prefix_list(text: &str) -> ParsedList<Prefix> {
    ParsedList::read(text, str::parse::<Prefix>)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_line_is_reported_by_its_number_and_the_others_are_read() {
        let list = parse_prefix_list("# head\r\n192.0.2.0/24 # one\r\n\r\n192.0.2.0/33\nx\n2001:db8::1");
        let entries: Vec<_> = list.entries.iter().map(Prefix::to_string).collect();
        assert_eq!(entries, ["192.0.2.0/24", "2001:db8::1/128"]);
        let faults: Vec<_> = list.faults.iter().map(LineFault::to_string).collect();
        assert_eq!(
            faults,
            [
                "line 4: expected a length of at most `/32`, but found `/33`",
                "line 5: expected an address or a network such as `192.0.2.0/24` or \
                 `2001:db8::/32`, but found `x`",
            ]
        );
    }
}
