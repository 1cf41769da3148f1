//! The name of a request, by which a person finds it in the audit records.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// 32 lower-case hex digits, unique over restarts and machines: 64 random bits of the process, then a count.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct RequestId([u8; 32]);

/// Gives each request its name.
#[derive(Debug)]
pub struct RequestIds {
    process: [u8; 16],
    count: AtomicU64,
}

impl RequestIds {
    /// Names under eight random bytes of this process.
    pub fn new(process: [u8; 8]) -> Self {
        Self { process: hex(process), count: AtomicU64::new(1) }
    }

    /// The next name.
    pub fn next(&self) -> RequestId {
        let count = hex(self.count.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        let mut text = [b'0'; 32];
        for (to, from) in text.iter_mut().zip(self.process.iter().chain(&count)) {
            *to = *from;
        }
        RequestId(text)
    }
}

impl RequestId {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

fn hex(bytes: [u8; 8]) -> [u8; 16] {
    const DIGITS: [u8; 16] = *b"0123456789abcdef";
    let mut text = [b'0'; 16];
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        for (to, nibble) in pair.iter_mut().zip([byte >> 4, byte & 15]) {
            *to = DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_each_other() {
        let ids = RequestIds::new([0xab, 0, 0, 0, 0, 0, 0, 0x01]);
        assert_eq!(ids.next().as_str(), "ab000000000000010000000000000001");
        assert_eq!(ids.next().as_str(), "ab000000000000010000000000000002");
    }
}
