//! A [`Snapshot`] as text for a scraper.
//!
//! OpenMetrics 1.0 is what the client library writes; [`prometheus_text`] turns it into the older
//! format of Prometheus, for scrapers that do not ask for the new one. Names and units follow the
//! conventions of Prometheus. The label for an instance is `vrrp_instance`, because `instance` is
//! the scraper's own word for what it scrapes. No label holds text that another machine or a
//! program has chosen, except for the addresses of a bounded number of peers (`peer.rs`).
//!
//! `docs/monitoring/README.md` explains each metric.

mod check;
mod counters;
mod families;
mod instance;
mod node;
mod peer;
mod samples;
mod text;

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

use crate::api::Snapshot;
use families::Families;
pub use text::prometheus_text;

/// What a scraper sees in `Content-Type` with [`openmetrics`].
pub const OPENMETRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What a scraper sees in `Content-Type` with [`prometheus_text`].
pub const PROMETHEUS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All metrics of a daemon as OpenMetrics text. Without a snapshot there is one metric, `vipd_up
/// 0`, and no other: what is not known now is not told.
pub fn openmetrics(snapshot: Option<Arc<Snapshot>>) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Scrape(snapshot)));
    let mut text = String::new();
    match encode(&mut text, &registry) {
        Ok(()) => text,
        // Writing to a string cannot fail; half a text would be taken for the whole.
        Err(fmt::Error) => String::new(),
    }
}

/// One scrape.
#[derive(Debug)]
struct Scrape(Option<Arc<Snapshot>>);

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut families = Families::new(encoder);
        let up = u64::from(self.0.is_some());
        let help = "Whether vipd answers; while it does not, this is the only metric of it.";
        families.gauge("vipd_up", help, [(vec![], up)])?;
        let Some(snapshot) = &self.0 else { return Ok(()) };
        node::write(&mut families, snapshot)?;
        check::write(&mut families, &snapshot.status.tracks)?;
        let instances = instance::distinct(&snapshot.status.instances);
        instance::write(&mut families, snapshot, &instances)?;
        peer::write(&mut families, &instances)
    }
}
