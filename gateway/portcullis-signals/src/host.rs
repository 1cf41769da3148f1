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
        let (name, _) = split(authority)?;
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

    /// What is forwarded in place of a Host header or an `:authority`: the host in its one form, with the port that was
    /// sent. None where that is what was sent, or where it names no host.
    pub fn forwarded(authority: &'a str) -> Option<String> {
        let (name, port) = split(authority).ok()?;
        if !name.ends_with('.') && !name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return None;
        }
        Some(format!("{}{port}", Self::of(authority).ok()?.0))
    }

    /// The name, or the address literal in its brackets.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The host of an authority, and the port with its colon; a port may be empty (RFC 3986 §3.2.3).
fn split(authority: &str) -> Result<(&str, &str), HostFault> {
    let after_literal = authority.rfind(']').map_or(0, |at| at + 1);
    let tail = authority.get(after_literal..).unwrap_or_default();
    let Some(colon) = tail.find(':') else { return Ok((authority, "")) };
    let (name, port) = authority.split_at_checked(after_literal + colon).ok_or(HostFault::Port)?;
    let digits = port.strip_prefix(':').unwrap_or(port);
    let is_port =
        digits.bytes().all(|byte| byte.is_ascii_digit()) && (digits.is_empty() || digits.parse::<u16>().is_ok());
    if is_port { Ok((name, port)) } else { Err(HostFault::Port) }
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
            ("shop.example:", Ok("shop.example")),
            ("shop.example:65535", Ok("shop.example")),
            ("shop.example:65536", Err(HostFault::Port)),
            ("shop.example:+80", Err(HostFault::Port)),
            ("user@shop.example", Err(HostFault::Character)),
            ("shop example", Err(HostFault::Character)),
            ("shop.example/x", Err(HostFault::Character)),
            ("2001:db8::1", Err(HostFault::Port)),
        ] {
            assert_eq!(Host::of(authority).as_ref().map(Host::as_str), host.as_ref().copied(), "of {authority}");
        }
    }

    #[test]
    fn a_host_is_forwarded_in_its_one_form() {
        for (authority, forwarded) in [
            ("shop.example", None),
            ("shop.example:8443", None),
            ("[2001:db8::1]:443", None),
            ("Shop.EXAMPLE:8443", Some("shop.example:8443")),
            ("shop.example.", Some("shop.example")),
            ("shop.example.:80", Some("shop.example:80")),
            ("[2001:DB8::1]", Some("[2001:db8::1]")),
            ("shop.example..", Some("shop.example.")),
            ("A b", None),
            (".", None),
        ] {
            assert_eq!(Host::forwarded(authority).as_deref(), forwarded, "of {authority}");
        }
    }
}
