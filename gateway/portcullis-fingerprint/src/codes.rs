//! Numbers of the standards that tell clients apart.

/// Whether `value` is one of the sixteen reserved GREASE values (RFC 8701 §2).
///
/// The two bytes are equal and each ends in the nibble `a`: `0x0a0a`, `0x1a1a`, …, `0xfafa`.
pub const fn is_grease(value: u16) -> bool {
    let [high, low] = value.to_be_bytes();
    high == low && low & 0x0f == 0x0a
}

/// Whether `mode` is one of the eight GREASE values for ways of using a pre-shared key (RFC 8701 §2).
///
/// `0x0b`, and each 31 more than the one before: `0x2a`, `0x49`, …, `0xe4`.
pub const fn is_grease_psk_mode(mode: u8) -> bool {
    mode % 0x1f == 0x0b && mode < 0xe5
}

/// Whether `protocol` is one of the sixteen GREASE names of application protocols (RFC 8701 §2).
///
/// The two bytes of a GREASE value, which no registered protocol has for a name.
pub fn is_grease_protocol(protocol: &[u8]) -> bool {
    matches!(*protocol, [high, low] if is_grease(u16::from_be_bytes([high, low])))
}

/// Types of extensions (IANA, TLS ExtensionType Values) that tell clients apart.
pub mod extension {
    /// The host name that is asked for (RFC 6066 §3).
    pub const SERVER_NAME: u16 = 0;
    /// Groups for key agreement (RFC 8446 §4.2.7).
    pub const SUPPORTED_GROUPS: u16 = 10;
    /// Elliptic curve point formats (RFC 8422 §5.1.2).
    pub const EC_POINT_FORMATS: u16 = 11;
    /// Signature schemes (RFC 8446 §4.2.3).
    pub const SIGNATURE_ALGORITHMS: u16 = 13;
    /// Application protocols (RFC 7301).
    pub const ALPN: u16 = 16;
    /// Zeros that make the hello longer (RFC 7685).
    pub const PADDING: u16 = 21;
    /// Certificate compression (RFC 8879).
    pub const COMPRESS_CERTIFICATE: u16 = 27;
    /// The longest record that the client takes (RFC 8449).
    pub const RECORD_SIZE_LIMIT: u16 = 28;
    /// Delegated credentials (RFC 9345).
    pub const DELEGATED_CREDENTIALS: u16 = 34;
    /// Resumption by ticket before TLS 1.3 (RFC 5077).
    pub const SESSION_TICKET: u16 = 35;
    /// Resumption in TLS 1.3 (RFC 8446 §4.2.11).
    pub const PRE_SHARED_KEY: u16 = 41;
    /// Request bytes along with a resumption (RFC 8446 §4.2.10).
    pub const EARLY_DATA: u16 = 42;
    /// Versions (RFC 8446 §4.2.1).
    pub const SUPPORTED_VERSIONS: u16 = 43;
    /// What a HelloRetryRequest gave to be sent back, so only in a second hello (RFC 8446 §4.2.2).
    pub const COOKIE: u16 = 44;
    /// Ways of using a pre-shared key (RFC 8446 §4.2.9).
    pub const PSK_KEY_EXCHANGE_MODES: u16 = 45;
    /// Signature schemes in certificates, where they differ (RFC 8446 §4.2.3).
    pub const SIGNATURE_ALGORITHMS_CERT: u16 = 50;
    /// Key shares (RFC 8446 §4.2.8).
    pub const KEY_SHARE: u16 = 51;
    /// Application settings (ALPS) at the code point that Chrome used up to 133.
    pub const APPLICATION_SETTINGS_OLD: u16 = 17513;
    /// Application settings (ALPS) at the code point that Chrome uses from 134.
    pub const APPLICATION_SETTINGS: u16 = 17613;
    /// Encrypted ClientHello, real or GREASE (RFC 9849).
    pub const ENCRYPTED_CLIENT_HELLO: u16 = 0xfe0d;
}

/// Groups for key agreement (IANA, TLS Supported Groups) that tell clients apart.
pub mod group {
    /// NIST P-256.
    pub const SECP256R1: u16 = 23;
    /// Curve25519.
    pub const X25519: u16 = 29;
    /// Curve25519 together with ML-KEM-768, which browsers send by default since Chrome 131.
    pub const X25519_MLKEM768: u16 = 4588;

    /// Whether a key agreed in `group` withstands a quantum computer, as far as is known.
    ///
    /// ML-KEM alone (512 to 514) and with an elliptic curve (4587 to 4589), and the drafts with Kyber that
    /// browsers sent before (25497, 25498).
    pub const fn is_post_quantum(group: u16) -> bool {
        matches!(group, 512..=514 | 4587..=4589 | 25497 | 25498)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sixteen_grease_values_and_no_others() {
        let grease: Vec<u16> = (0..=u16::MAX).filter(|value| is_grease(*value)).collect();
        assert_eq!(grease.len(), 16);
        assert!(grease.contains(&0x0a0a) && grease.contains(&0xfafa));
        assert!(!is_grease(0x0a1a) && !is_grease(0x0b0b));
    }

    #[test]
    fn the_eight_grease_psk_modes_and_no_others() {
        let grease: Vec<u8> = (0..=u8::MAX).filter(|mode| is_grease_psk_mode(*mode)).collect();
        assert_eq!(grease, [0x0b, 0x2a, 0x49, 0x68, 0x87, 0xa6, 0xc5, 0xe4]);
    }

    #[test]
    fn a_grease_protocol_is_two_bytes() {
        assert!(is_grease_protocol(&[0x1a, 0x1a]));
        for other in [&b"h2"[..], b"", b"\x0a", b"\x0a\x0a\x0a"] {
            assert!(!is_grease_protocol(other), "{other:02x?}");
        }
    }
}
