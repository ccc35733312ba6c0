//! The secrets. They are wiped from memory when they are dropped, and have no form in which they
//! could be shown, logged or written down.

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// The shortest key: as long as the hash. An HMAC takes shorter ones, but they can be guessed from
/// one recorded advertisement.
const SHORTEST: usize = 32;

/// The longest key: a block of the hash. A longer one would only be hashed to 32 bytes.
const LONGEST: usize = 64;

/// What a key in hexadecimal digits starts with.
const HEX: &[u8] = b"hex:";

/// Why a text is no secret. It doesn't quote the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSecret {
    /// A key of another length.
    #[error("a key has {SHORTEST} to {LONGEST} bytes, this one has {0}")]
    KeyLength(usize),
    /// After `hex:` there is something else than digits.
    #[error("after 'hex:' a key has pairs of hexadecimal digits only")]
    NotHex,
    /// Bytes that are no printable ASCII.
    #[error("it has to be printable ASCII, or 'hex:' and hexadecimal digits")]
    NotPrintable,
    /// A password that does not fit.
    #[error("a password has 1 to 8 bytes, as version 2 can carry them, this one has {0}")]
    PasswordLength(usize),
}

/// A key of HMAC-SHA-256: 32 to 64 bytes.
pub struct Key(Zeroizing<Vec<u8>>);

impl Key {
    /// Reads a key as keepalived writes it: `hex:` and digits, or the bytes themselves as printable
    /// ASCII. One newline at the end is no part of it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &[u8]) -> Result<Self, BadSecret> {
        let text = without_newline(text);
        let bytes = match text.strip_prefix(HEX) {
            Some(digits) => from_hex(digits).ok_or(BadSecret::NotHex)?,
            None if !is_printable(text) => return Err(BadSecret::NotPrintable),
            None => Zeroizing::new(text.to_vec()),
        };
        match bytes.len() {
            SHORTEST..=LONGEST => Ok(Self(bytes)),
            other => Err(BadSecret::KeyLength(other)),
        }
    }

    /// Its bytes, for the computation alone.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// In constant time, as all that compares secrets.
impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_slice().ct_eq(other.0.as_slice()).into()
    }
}

/// Without the key: this ends in logs.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// A password of version 2, as it is on the wire: eight bytes, zeros behind it (RFC 2338 section
/// 5.3.10).
pub struct Password(Zeroizing<[u8; 8]>);

impl Password {
    /// Reads a password: 1 to 8 printable bytes of ASCII. One newline at the end is no part of it.
    ///
    /// # Errors
    /// What is wrong with it. keepalived cuts what is longer; here it is refused, because somebody
    /// who writes a long one believes in it.
    pub fn parse(text: &[u8]) -> Result<Self, BadSecret> {
        let text = without_newline(text);
        let mut field = Zeroizing::new([0; 8]);
        match field.get_mut(..text.len()) {
            Some(start) if !text.is_empty() => start.copy_from_slice(text),
            _ => return Err(BadSecret::PasswordLength(text.len())),
        }
        if is_printable(text) { Ok(Self(field)) } else { Err(BadSecret::NotPrintable) }
    }

    /// Whether this is what stands in the field of an advertisement, compared in constant time.
    pub fn is(&self, field: &[u8; 8]) -> bool {
        self.0.ct_eq(field).into()
    }

    /// What stands in the field of an advertisement.
    pub fn field(&self) -> &[u8; 8] {
        &self.0
    }
}

/// In constant time, as all that compares secrets.
impl PartialEq for Password {
    fn eq(&self, other: &Self) -> bool {
        self.is(&other.0)
    }
}

/// Without the password: this ends in logs.
impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

fn without_newline(text: &[u8]) -> &[u8] {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    text.strip_suffix(b"\r").unwrap_or(text)
}

fn is_printable(text: &[u8]) -> bool {
    text.iter().all(|byte| matches!(byte, b' '..=b'~'))
}

fn from_hex(digits: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    // Grown step by step it would leave copies of the key behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(digits.len() / 2));
    let (pairs, rest) = digits.as_chunks::<2>();
    for &[high, low] in pairs {
        bytes.push(
            u8::try_from(char::from(high).to_digit(16)? << 4 | char::from(low).to_digit(16)?)
                .ok()?,
        );
    }
    rest.is_empty().then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rule: keepalived's two forms of a key are read, with or without a newline at the end, and of
    /// 32 to 64 bytes only.
    #[test]
    fn keys() {
        let hex = |count: usize| format!("hex:{}", "0A".repeat(count));
        let parsed = |text: &str| Key::parse(text.as_bytes());
        assert_eq!(parsed(&hex(32)).unwrap().bytes(), [10; 32]);
        assert_eq!(parsed(&(hex(64) + "\n")).unwrap().bytes(), [10; 64]);
        assert_eq!(parsed(&"k".repeat(32)).unwrap().bytes(), [b'k'; 32]);
        assert_eq!(parsed(&hex(31)), Err(BadSecret::KeyLength(31)));
        assert_eq!(parsed(&hex(65)), Err(BadSecret::KeyLength(65)));
        assert_eq!(parsed(&"k".repeat(65)), Err(BadSecret::KeyLength(65)));
        assert_eq!(parsed(""), Err(BadSecret::KeyLength(0)));
        assert_eq!(parsed("\n"), Err(BadSecret::KeyLength(0)));
        assert_eq!(parsed(&(hex(32) + "0")), Err(BadSecret::NotHex));
        assert_eq!(parsed(&hex(32).replace('A', "G")), Err(BadSecret::NotHex));
        assert_eq!(parsed(&(hex(32) + "\n\n")), Err(BadSecret::NotHex));
        assert_eq!(parsed(&"schlüssel".repeat(4)), Err(BadSecret::NotPrintable));
    }

    /// Rule: a password that is too long is refused, and not cut as keepalived does.
    #[test]
    fn passwords() {
        assert_eq!(Password::parse(b"secret\n").unwrap().field(), b"secret\0\0");
        assert_eq!(Password::parse(b"hunter22").unwrap().field(), b"hunter22");
        assert_eq!(Password::parse(b"hunter222"), Err(BadSecret::PasswordLength(9)));
        assert_eq!(Password::parse(b""), Err(BadSecret::PasswordLength(0)));
        assert_eq!(Password::parse(b"a\0b"), Err(BadSecret::NotPrintable));
        let password = Password::parse(b"secret").unwrap();
        assert!(password.is(b"secret\0\0"));
        assert!(!password.is(b"secret\0\x01") && !password.is(&[0; 8]));
    }

    /// Rule: a secret shows nothing of itself, not even in a debug text or an error.
    #[test]
    fn secrets_show_nothing() {
        let key = Key::parse("k".repeat(32).as_bytes()).unwrap();
        assert_eq!(format!("{key:?}"), "Key(..)");
        assert_eq!(format!("{:?}", Password::parse(b"secret").unwrap()), "Password(..)");
        for text in ["hunter2hunter2", "hex:hunter2", "hunter2\u{7}"] {
            let error = Key::parse(text.as_bytes()).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"));
        }
    }
}
