//! Writing metric families: name, help, unit, then the samples with their labels.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

use crate::histogram::Histogram;
use crate::time::{Span, Wall};

/// The labels of a sample, in the order in which they are written.
pub(super) type Labels = Vec<(&'static str, String)>;

/// Where families are written to.
pub(super) struct Families<'a>(DescriptorEncoder<'a>);

impl<'a> Families<'a> {
    pub(super) fn new(encoder: DescriptorEncoder<'a>) -> Self {
        Self(encoder)
    }

    /// A value that goes up and down.
    pub(super) fn gauge(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels, u64)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in samples {
            sample(&mut family, &labels, |metric| metric.encode_gauge(&value))?;
        }
        Ok(())
    }

    /// A length or a point of time, which goes up and down. The name gets `_seconds` at its end.
    pub(super) fn seconds(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels, Span)>,
    ) -> fmt::Result {
        let unit = Some(&Unit::Seconds);
        let mut family = self.0.encode_descriptor(name, help, unit, MetricType::Gauge)?;
        for (labels, value) in samples {
            sample(&mut family, &labels, |metric| metric.encode_gauge(&in_seconds(value)))?;
        }
        Ok(())
    }

    /// A count since the daemon started. The name gets `_total` at its end.
    pub(super) fn counter(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels, u64)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, value) in samples {
            sample(&mut family, &labels, |metric| {
                metric.encode_counter::<[(&str, &str); 0], _, u64>(&value, None)
            })?;
        }
        Ok(())
    }

    /// How lengths of time are spread. The name gets `_seconds` at its end.
    pub(super) fn histogram<'h>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels, &'h Histogram)>,
    ) -> fmt::Result {
        let unit = Some(&Unit::Seconds);
        let mut family = self.0.encode_descriptor(name, help, unit, MetricType::Histogram)?;
        for (labels, histogram) in samples {
            let buckets: Vec<(f64, u64)> = histogram
                .buckets()
                .map(|(upper, count)| (upper.map_or(f64::INFINITY, in_seconds), count))
                .collect();
            let (sum, count) = (in_seconds(histogram.sum()), histogram.count());
            sample(&mut family, &labels, |metric| {
                metric.encode_histogram::<[(&str, &str); 0]>(sum, count, &buckets, None)
            })?;
        }
        Ok(())
    }
}

fn sample(
    family: &mut MetricEncoder<'_>,
    labels: &Labels,
    write: impl FnOnce(&mut MetricEncoder<'_>) -> fmt::Result,
) -> fmt::Result {
    if labels.is_empty() { write(family) } else { write(&mut family.encode_family(labels)?) }
}

/// A point in time, in the unit that scrapers expect: since 1970-01-01 UTC.
pub(super) fn timestamp(at: Wall) -> Span {
    Span::from_nanos(at.0)
}

/// To the microsecond, which is exact for lengths up to centuries.
#[expect(clippy::cast_precision_loss, reason = "a sample is a floating-point number")]
fn in_seconds(span: Span) -> f64 {
    (span.nanos() / 1_000) as f64 / 1e6
}
