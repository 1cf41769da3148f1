//! The host that a request is for, in one form.

use std::borrow::Cow;

/// The host of a request: lower case, without port, without a final dot.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Host<'a>(Cow<'a, str>);

/// Why a Host header or authority names no host (RFC 9110 §7.2, RFC 3986 §3.2.2).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HostFault {
    /// There is no Host header, or it is empty.
    Missing,
    /// A character that no host name or address literal holds.
    Character,
    /// The text behind the last colon is no port.
    Port,
    /// Longer than 253 octets (RFC 1035 §2.3.4).
    TooLong,
}

impl<'a> Host<'a> {
    /// Reads the host out of a Host header or an `:authority` pseudo-header.
    pub fn of(authority: &'a str) -> Result<Self, HostFault> {
        let name = without_port(authority)?;
        let name = name.strip_suffix('.').unwrap_or(name);
        if name.is_empty() {
            return Err(HostFault::Missing);
        }
        if name.len() > 253 {
            return Err(HostFault::TooLong);
        }
        let literal = name.starts_with('[') && name.ends_with(']');
        let allowed = |byte: u8| {
            byte.is_ascii_alphanumeric()
                || matches!(byte, b'-' | b'.' | b'_')
                || (literal && matches!(byte, b':' | b'[' | b']'))
        };
        if !name.bytes().all(allowed) {
            return Err(HostFault::Character);
        }
        Ok(Self(if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            Cow::Owned(name.to_ascii_lowercase())
        } else {
            Cow::Borrowed(name)
        }))
    }

    /// The name, or the address literal in its brackets.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn without_port(authority: &str) -> Result<&str, HostFault> {
    let after_literal = authority.rfind(']').map_or(0, |at| at + 1);
    let Some((_, tail)) = authority.split_at_checked(after_literal) else { return Ok(authority) };
    let Some(colon) = tail.find(':') else { return Ok(authority) };
    let (name, port) = authority.split_at_checked(after_literal + colon).unwrap_or((authority, ":"));
    let port = port.strip_prefix(':').unwrap_or(port);
    if port.bytes().all(|byte| byte.is_ascii_digit()) && port.len() <= 5 { Ok(name) } else { Err(HostFault::Port) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_one_form() {
        for (authority, host) in [
            ("shop.example", Ok("shop.example")),
            ("Shop.EXAMPLE:8443", Ok("shop.example")),
            ("shop.example.", Ok("shop.example")),
            ("shop.example.:80", Ok("shop.example")),
            ("192.0.2.1:80", Ok("192.0.2.1")),
            ("[2001:DB8::1]:443", Ok("[2001:db8::1]")),
            ("[2001:db8::1]", Ok("[2001:db8::1]")),
            ("", Err(HostFault::Missing)),
            (":80", Err(HostFault::Missing)),
            ("shop.example:http", Err(HostFault::Port)),
            ("shop.example:80:80", Err(HostFault::Port)),
            ("user@shop.example", Err(HostFault::Character)),
            ("shop example", Err(HostFault::Character)),
            ("shop.example/x", Err(HostFault::Character)),
            ("2001:db8::1", Err(HostFault::Port)),
        ] {
            assert_eq!(Host::of(authority).as_ref().map(Host::as_str), host.as_ref().copied(), "of {authority}");
        }
    }
}
