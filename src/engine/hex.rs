//! Bytes as one hexadecimal string: a trace stays readable and greppable.

use serde::{Deserialize, Deserializer, Serializer, de::Error};

pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&format_args!("{}", Digits(bytes)))
}

struct Digits<'a>(&'a [u8]);

impl std::fmt::Display for Digits<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
    let text = std::borrow::Cow::<'_, str>::deserialize(from)?;
    let digit = |c: u8| char::from(c).to_digit(16).ok_or_else(|| D::Error::custom("not hex"));
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return Err(D::Error::custom("an odd number of hexadecimal digits"));
    }
    pairs
        .iter()
        .map(|&[high, low]| {
            let byte = digit(high)? * 16 + digit(low)?;
            u8::try_from(byte).map_err(D::Error::custom)
        })
        .collect()
}
