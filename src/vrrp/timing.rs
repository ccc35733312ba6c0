//! The arithmetic of the election, in whole nanoseconds: each function is one rule.

use std::cmp::Ordering;
use std::net::IpAddr;

use crate::model::{Interval, Priority, Version};
use crate::time::Span;

/// How much longer than three intervals a backup waits, less for a higher priority, so that the
/// most preferred backup takes over first.
///
/// v3: `((256 - priority) * Active_Adver_Interval) / 256` (RFC 9568 section 6.1), where
/// `active_interval` is the one learnt from the active router. v2: `(256 - priority) / 256`
/// seconds (RFC 3768 section 6.1).
pub fn skew_time(version: Version, priority: Priority, active_interval: Interval) -> Span {
    let whole = match version {
        Version::V2 => Span::from_secs(1),
        Version::V3 => active_interval.span(),
    };
    whole.times(256 - u64::from(priority.get())).divided_by(256)
}

/// How long a backup waits for an advertisement before it takes over: three intervals and the
/// skew time (RFC 9568 section 6.1, `Active_Down_Interval`; RFC 3768 section 6.1,
/// `Master_Down_Interval`).
pub fn active_down_interval(
    version: Version,
    priority: Priority,
    active_interval: Interval,
) -> Span {
    active_interval.span().times(3) + skew_time(version, priority, active_interval)
}

/// Which of two active routers goes on: the one with the higher priority, of equal ones the one
/// with the numerically higher source address (RFC 9568 section 6.4.3). `Greater`: the first.
pub fn compare_actives(first: (u8, IpAddr), second: (u8, IpAddr)) -> Ordering {
    first.0.cmp(&second.0).then_with(|| first.1.cmp(&second.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn priority(number: u8) -> Priority {
        Priority::try_from(number).unwrap()
    }

    /// Rule: RFC 9568 6.1, without rounding to centiseconds: at 10 ms intervals a rounded skew
    /// time would be 0 for every priority, and all backups would take over at once.
    #[test]
    fn v3_skew_time_is_exact() {
        let shortest = Interval::try_from(1).unwrap();
        assert_eq!(skew_time(Version::V3, priority(100), shortest), Span::from_nanos(6_093_750));
        assert_eq!(skew_time(Version::V3, priority(254), shortest), Span::from_nanos(78_125));
        let skew = skew_time(Version::V3, priority(100), Interval::ONE_SECOND);
        assert_eq!(skew, Span::from_nanos(609_375_000));
    }

    /// Rule: v2's skew time does not depend on the interval (RFC 3768 6.1).
    #[test]
    fn v2_skew_time_is_a_part_of_one_second() {
        let five = Interval::from_seconds(5).unwrap();
        assert_eq!(skew_time(Version::V2, priority(100), five), Span::from_nanos(609_375_000));
        let down = active_down_interval(Version::V2, priority(100), five);
        assert_eq!(down, Span::from_nanos(15_609_375_000));
    }

    /// Rule: a higher priority waits less, at every interval, so that it claims first.
    #[test]
    fn higher_priority_waits_less() {
        for centiseconds in [1, 10, 100, 4095] {
            let interval = Interval::try_from(centiseconds).unwrap();
            for lower in 1..=254 {
                let wait = |p| active_down_interval(Version::V3, priority(p), interval);
                assert!(wait(lower) > wait(lower + 1), "priority {lower} at {interval}");
            }
        }
    }

    /// Rule: priority decides, then the address, as numbers and not as text.
    #[test]
    fn the_higher_priority_then_the_higher_address_wins() {
        let nine: IpAddr = "10.0.0.9".parse().unwrap();
        let ten: IpAddr = "10.0.0.10".parse().unwrap();
        assert_eq!(compare_actives((200, nine), (100, ten)), Ordering::Greater);
        assert_eq!(compare_actives((100, nine), (100, ten)), Ordering::Less);
    }
}
