//! The password of version 2 in a message that is written already.
//!
//! Whatever is recorded and shown must not hold it. It is in the last eight bytes of the message, which
//! the checksum covers, so the checksum changes with it: right stays right and wrong stays wrong
//! (RFC 1624).

use super::{ADVERTISEMENT, SIMPLE_PASSWORD};

/// Where the checksum stands.
const CHECKSUM: usize = 6;

/// How long the fixed part is.
const FIXED_PART: usize = 8;

/// Takes the password out of a message of version 2 that has one; anything else stays as it is. Where
/// bytes follow the message (an HMAC trailer, or what makes it invalid), they are not looked at.
pub fn blank_password(message: &mut [u8]) {
    let _ = fill_in_password(message, &[0; 8]);
}

/// Puts the password into a message of version 2 that has room for one. `None` where it has not.
pub fn fill_in_password(message: &mut [u8], password: &[u8; 8]) -> Option<()> {
    let &[version_and_type, _, _, count, kind, _, first, second] = message.first_chunk()?;
    if (version_and_type, kind) != (2 << 4 | ADVERTISEMENT, SIMPLE_PASSWORD) {
        return None;
    }
    let start = FIXED_PART + usize::from(count) * 4;
    let field = message.get_mut(start..)?.first_chunk_mut::<8>()?;
    let mut sum = u32::from(!u16::from_be_bytes([first, second]));
    let (old, new) = (field.as_chunks().0, password.as_chunks().0);
    for (old, new) in old.iter().zip(new) {
        sum += u32::from(!u16::from_be_bytes(*old)) + u32::from(u16::from_be_bytes(*new));
    }
    *field = *password;
    let checksum = !folded(folded(sum));
    let [.., high, low] = checksum.to_be_bytes();
    message.get_mut(CHECKSUM..FIXED_PART)?.copy_from_slice(&[high, low]);
    Some(())
}

/// The carries of a one's complement sum added to it (RFC 1071 section 1).
fn folded(sum: u32) -> u32 {
    (sum & 0xffff) + (sum >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vrrp::packet::checksum::ChecksumForm;

    fn message(password: [u8; 8], checksum_error: u16) -> Vec<u8> {
        let mut message = vec![0x21, 51, 100, 1, SIMPLE_PASSWORD, 1, 0, 0, 192, 0, 2, 100];
        message.extend(password);
        let sum = ChecksumForm::Message.compute(ends(), &message).unwrap() ^ checksum_error;
        message[6..8].copy_from_slice(&sum.to_be_bytes());
        message
    }

    fn ends() -> (std::net::IpAddr, std::net::IpAddr) {
        ([192, 0, 2, 11].into(), [224, 0, 0, 18].into())
    }

    /// Rule: filled in and taken out, a message is the same as one that was written so, to the last
    /// bit, and what was wrong before is wrong afterwards.
    #[test]
    fn the_checksum_follows() {
        for password in [*b"secret\0\0", *b"hunter22", [0xff; 8], [0; 8]] {
            for error in [0, 1, 0xffff] {
                let (blank, full) = (message([0; 8], error), message(password, error));
                let mut changed = blank.clone();
                fill_in_password(&mut changed, &password).unwrap();
                let is_valid = ChecksumForm::Message.is_valid(ends(), &changed);
                assert_eq!(is_valid, ChecksumForm::Message.is_valid(ends(), &full));
                assert!(error != 0 || changed == full, "{password:?}");
                blank_password(&mut changed);
                assert_eq!(changed[12..], [0; 8]);
                assert!(error != 0 || changed == blank, "{password:?}");
            }
        }
    }

    /// Rule: only messages of version 2 with a password are touched, and none that is cut short.
    #[test]
    fn others_are_left_alone() {
        let whole = message(*b"hunter22", 0);
        for (place, value) in [(0, 0x31), (0, 0x22), (4, 0), (4, 2), (3, 2)] {
            let mut other = whole.clone();
            other[place] = value;
            let before = other.clone();
            blank_password(&mut other);
            assert_eq!(other, before);
        }
        for length in 0..whole.len() {
            let mut cut = whole[..length].to_vec();
            blank_password(&mut cut);
            assert_eq!(cut, whole[..length]);
        }
    }
}
