//! The pace at which packets are read while many of them come.

use crate::time::{Mono, Span};

/// The longest time for which packets may gather. A router of the shortest interval, 10 ms, has 3
/// intervals until it is missed; what arrives is judged by the kernel's time of arrival.
const LONGEST: Span = Span::from_millis(5);

/// A shorter time is not worth it.
const SHORTEST: Span = Span::from_millis(1);

/// Until when packets may gather after some were read, given the nearest deadline: a part of the
/// time until then, so that the loop has heard of nearly all of them when it comes. `None`: they
/// may not.
pub(crate) fn rest(now: Mono, deadline: Option<Mono>) -> Option<Mono> {
    let until_then = deadline.map_or(LONGEST, |deadline| deadline.since(now).divided_by(4));
    let rest = until_then.min(LONGEST);
    (rest >= SHORTEST).then(|| now + rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Mono = Mono(1_000_000_000);

    /// Rule: packets gather for at most 5 ms, and for no more than a quarter of the time to the
    /// next deadline; shortly before one, and once it has come, they wake the loop at once.
    #[test]
    fn a_deadline_shortens_the_rest() {
        let rest = |millis| super::rest(NOW, Some(NOW + Span::from_millis(millis)));
        let after = |millis| Some(NOW + Span::from_millis(millis));
        assert_eq!(super::rest(NOW, None), after(5));
        assert_eq!(
            [1000, 20, 12, 4, 3, 0].map(rest),
            [after(5), after(5), after(3), after(1), None, None]
        );
        assert_eq!(super::rest(NOW, Some(Mono(1))), None);
    }
}
