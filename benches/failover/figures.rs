//! What a trial gives, and what is made of several.

use std::time::Duration;

/// A time that was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Measure {
    /// How long it was when the observation ended.
    pub(crate) span: Duration,
    /// Whether it still went on then.
    pub(crate) goes_on: bool,
}

impl Measure {
    /// For people: milliseconds up to a second.
    fn text(self) -> String {
        let Self { span, goes_on } = self;
        if goes_on {
            format!("> {} s", span.as_secs())
        } else if span < Duration::from_secs(1) {
            format!("{} ms", span.as_millis())
        } else {
            format!("{:.2} s", span.as_secs_f64())
        }
    }
}

/// The two figures of a trial.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    /// The longest time without an answer that the client saw.
    pub(crate) gap: Measure,
    /// How long both nodes had the address, all in all; `None` where that says nothing.
    pub(crate) together: Option<Measure>,
}

/// A trial's figures, or why it has none.
pub(crate) type Trial = Result<Figures, String>;

/// Median and worst of one of the figures over all trials. None is left out: failed ones are
/// counted beside.
pub(crate) fn cell(trials: &[Trial], figure: impl Fn(&Figures) -> Option<Measure>) -> String {
    let good: Vec<&Figures> = trials.iter().flatten().collect();
    let failed = trials.len() - good.len();
    let mut measures: Vec<Measure> = good.into_iter().filter_map(figure).collect();
    measures.sort_unstable();
    let figures = match (measures.get(measures.len() / 2), measures.last()) {
        (Some(median), Some(worst)) => format!("{} / {}", median.text(), worst.text()),
        _ => "—".to_owned(),
    };
    match failed {
        0 => figures,
        _ if failed == trials.len() => "failed".to_owned(),
        _ => format!("{figures}; {failed} of {} failed", trials.len()),
    }
}
