//! Secrets in files: 32 bytes or more, as hex, base64 or as they are.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};

/// The fewest bytes of a secret: as many as the output of the hash that is keyed with it.
pub const MIN_SECRET_BYTES: usize = 32;

/// The longest file that is read as a secret.
const MAX_FILE_BYTES: usize = 4096;

/// A secret; printing it shows nothing.
#[derive(Clone)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Why a file holds no secret.
#[derive(Debug)]
pub struct SecretError {
    path: PathBuf,
    fault: SecretFault,
}

#[derive(Debug)]
enum SecretFault {
    Unreadable(io::Error),
    TooLong,
    TooShort(usize),
    Unclear,
}

impl fmt::Display for SecretError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.fault {
            SecretFault::Unreadable(error) => write!(f, "cannot read the secret in `{path}`: {error}"),
            SecretFault::TooLong => {
                write!(f, "expected a secret of at most {MAX_FILE_BYTES} bytes in `{path}`, but it is longer")
            }
            SecretFault::TooShort(found) => write!(
                f,
                "expected a secret of at least {MIN_SECRET_BYTES} bytes in `{path}`, but found {found}; make one with `openssl rand -hex 32`"
            ),
            SecretFault::Unclear => {
                write!(
                    f,
                    "expected a secret as hex or base64 in `{path}`, but found neither; make one with `openssl rand -hex 32`"
                )
            }
        }
    }
}

impl std::error::Error for SecretError {}

/// Reads a secret from a file.
///
/// # Errors
///
/// Where the file cannot be read, or does not hold at least [`MIN_SECRET_BYTES`] as hex or base64.
pub fn read_secret(path: &Path) -> Result<Secret, SecretError> {
    let fail = |fault| SecretError { path: path.to_owned(), fault };
    let bytes = std::fs::read(path).map_err(|error| fail(SecretFault::Unreadable(error)))?;
    decode(&bytes).map_err(fail)
}

/// Reads a file of secrets, one a line; empty lines and those that begin with `#` are left out.
///
/// # Errors
///
/// As [`read_secret`], for the first line that holds none, and where there is no line.
pub fn read_secrets(path: &Path) -> Result<Vec<Secret>, SecretError> {
    let fail = |fault| SecretError { path: path.to_owned(), fault };
    let bytes = std::fs::read(path).map_err(|error| fail(SecretFault::Unreadable(error)))?;
    decode_lines(&bytes).map_err(fail)
}

fn decode_lines(bytes: &[u8]) -> Result<Vec<Secret>, SecretFault> {
    if bytes.len() > MAX_FILE_BYTES {
        return Err(SecretFault::TooLong);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| SecretFault::Unclear)?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let secrets: Vec<_> = lines.map(|line| decode(line.as_bytes())).collect::<Result<_, _>>()?;
    if secrets.is_empty() { Err(SecretFault::TooShort(0)) } else { Ok(secrets) }
}

fn decode(bytes: &[u8]) -> Result<Secret, SecretFault> {
    if bytes.len() > MAX_FILE_BYTES {
        return Err(SecretFault::TooLong);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| SecretFault::Unclear)?.trim();
    let secret = from_hex(text).or_else(|| from_base64(text)).ok_or(SecretFault::Unclear)?;
    match secret.len() {
        MIN_SECRET_BYTES.. => Ok(Secret(secret)),
        short => Err(SecretFault::TooShort(short)),
    }
}

/// The bytes of hex digits, two a byte; upper or lower case.
pub(crate) fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

fn from_base64(text: &str) -> Option<Vec<u8>> {
    [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD].iter().find_map(|engine| engine.decode(text).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_as_hex_or_base64() {
        let hex = "00ff".repeat(16);
        for text in [
            hex.clone(),
            format!("{}\n", hex.to_uppercase()),
            STANDARD.encode([7; 32]),
            URL_SAFE_NO_PAD.encode([0xff; 33]),
        ] {
            let secret = decode(text.as_bytes()).unwrap();
            assert!(secret.bytes().len() >= MIN_SECRET_BYTES, "{text}");
        }
        assert_eq!(decode(hex.as_bytes()).unwrap().bytes(), [0, 0xff].repeat(16));
    }

    #[test]
    fn a_short_or_strange_secret_is_refused() {
        for (text, words) in [
            ("00ff", "but found 2;"),
            ("", "but found 0;"),
            ("not a secret!", "found neither"),
            (&"a".repeat(5000), "longer"),
        ] {
            let fault = decode(text.as_bytes()).unwrap_err();
            let message = SecretError { path: "key".into(), fault }.to_string();
            assert!(message.contains(words), "{message}");
        }
    }

    #[test]
    fn a_file_of_secrets_has_one_a_line() {
        let [new, old] = ["ab", "cd"].map(|byte| byte.repeat(32));
        for (text, count) in [
            (new.clone(), 1),
            (format!("{new}\n{old}\n"), 2),
            (format!("# since March\r\n{new}\r\n\n  {old}  \n# gone\n"), 2),
        ] {
            let secrets = decode_lines(text.as_bytes()).unwrap();
            assert_eq!((secrets.len(), secrets[0].bytes()), (count, &[0xab; 32][..]), "{text}");
        }
        for (text, words) in [
            (String::new(), "but found 0;"),
            ("# nothing\n".to_owned(), "but found 0;"),
            (format!("{new}\nabcd\n"), "but found 2;"),
            (format!("{new}\nnot a secret!\n"), "found neither"),
            ("#\n".repeat(5000), "longer"),
        ] {
            let fault = decode_lines(text.as_bytes()).unwrap_err();
            let message = SecretError { path: "key".into(), fault }.to_string();
            assert!(message.contains(words), "{message}");
        }
    }

    #[test]
    fn a_secret_is_not_printed() {
        let secret = decode("ab".repeat(32).as_bytes()).unwrap();
        assert_eq!(format!("{secret:?}"), "Secret(..)");
    }
}
