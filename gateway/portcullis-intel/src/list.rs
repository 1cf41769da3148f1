use std::fmt;

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
