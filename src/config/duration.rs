//! Durations with their unit, like `1s`, `100ms`, `1.5s`, `2m`, `1h`.

use crate::time::Span;

/// The longest duration that is read: whatever is longer is a slip of the unit.
const LONGEST: Span = Span::from_secs(24 * 60 * 60);

/// Why a text is not a duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Bad {
    /// It is written otherwise, or is not whole nanoseconds.
    #[error("write a number and its unit: ms, s, m or h")]
    Form,
    /// It is longer than any that makes sense.
    #[error("the longest is 24h")]
    TooLong,
}

/// A number with one unit right behind it, from nothing to a day, exactly.
pub(super) fn parse(text: &str) -> Result<Span, Bad> {
    let nanos = nanos(text).ok_or(Bad::Form)?;
    if nanos <= LONGEST.nanos() { Ok(Span::from_nanos(nanos)) } else { Err(Bad::TooLong) }
}

/// The number of nanoseconds, or the largest number where they are more.
fn nanos(text: &str) -> Option<u64> {
    let unit_at = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at_checked(unit_at)?;
    let unit = match unit {
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60 * 1_000_000_000,
        "h" => 3_600 * 1_000_000_000,
        _ => return None,
    };
    let Some((whole, fraction)) = number.split_once('.') else {
        return Some(digits(number)?.saturating_mul(unit));
    };
    Some(digits(whole)?.saturating_mul(unit).saturating_add(part_of(unit, fraction)?))
}

/// What the digits behind the point are of `unit`, where that is exact.
fn part_of(unit: u64, fraction: &str) -> Option<u64> {
    let places = u32::try_from(fraction.len()).ok()?;
    let divisor = 10_u64.checked_pow(places)?;
    let product = digits(fraction)?.checked_mul(unit)?;
    product.is_multiple_of(divisor).then_some(product / divisor)
}

/// The number, or the largest one where it is larger. `u64`'s own parser takes a sign, too.
fn digits(text: &str) -> Option<u64> {
    let only_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    only_digits.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rule: every unit is read exactly.
    #[test]
    fn durations_are_exact() {
        assert_eq!(parse("10ms"), Ok(Span::from_millis(10)));
        assert_eq!(parse("0s"), Ok(Span::ZERO));
        assert_eq!(parse("1s"), Ok(Span::from_secs(1)));
        assert_eq!(parse("1.5s"), Ok(Span::from_millis(1500)));
        assert_eq!(parse("0.25ms"), Ok(Span::from_micros(250)));
        assert_eq!(parse("40.95s"), Ok(Span::from_millis(40_950)));
        assert_eq!(parse("2m"), Ok(Span::from_secs(120)));
        assert_eq!(parse("24h"), Ok(LONGEST));
    }

    /// Rule: nothing is rounded, guessed or cut short.
    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "s",
            "5",
            "1.s",
            ".5s",
            "1..5s",
            "-1s",
            "+1s",
            "1 s",
            " 1s",
            "1s ",
            "1m30s",
            "1S",
            "1sec",
            "1d",
            "0.0000000001s",
            "1e3s",
            "0x1s",
            "½s",
            "1µs",
            "1.00000000000000000000s",
        ] {
            assert_eq!(parse(text), Err(Bad::Form), "{text}");
        }
        for text in ["24.1h", "86401s", "99999999999999999999s", "18446744073709551616ms"] {
            assert_eq!(parse(text), Err(Bad::TooLong), "{text}");
        }
    }
}
