//! One look: which kind it is, and what a check keeps from one look to the next.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex, PoisonError};

use super::aside::Aside;
use super::{
    arp, dns, file, http, interface, mysql, ping, postgres, process, redis, script, systemd_unit,
    tcp,
};
use crate::engine::ProbeResult;
use crate::model::{Probe, TrackConfig, TrackName};

/// What a check has to itself.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    /// Where its calls that may block are made.
    pub(super) aside: Aside,
    /// What the look that is under way waits for.
    pub(super) doing: Doing,
    /// The process that a `process` check has found; zero: none.
    pub(super) process: AtomicU32,
}

/// What a look waits for, in a few words: a look that has no answer in time says so.
#[derive(Debug, Default)]
pub(crate) struct Doing(Mutex<String>);

/// The desks of all checks.
#[derive(Debug, Default)]
pub(super) struct Desks(Mutex<BTreeMap<TrackName, Arc<Desk>>>);

/// Looks once. The caller bounds how long that may take.
pub(super) async fn look(config: &TrackConfig, desk: &Desk) -> ProbeResult {
    match &config.probe {
        Probe::Tcp(probe) => tcp::look(probe, desk).await,
        Probe::Process(probe) => process::look(probe, desk).await,
        Probe::SystemdUnit(probe) => systemd_unit::look(probe, desk).await,
        Probe::Interface(probe) => interface::look(probe).await,
        Probe::Ping(probe) => ping::look(probe, desk).await,
        Probe::Arp(probe) => arp::look(probe, desk).await,
        Probe::File(probe) => file::look(probe, desk).await,
        Probe::Script(probe) => script::look(probe, &config.name, desk).await,
        Probe::Http(probe) => http::look(probe).await,
        Probe::Dns(probe) => dns::look(probe).await,
        Probe::Redis(probe) => redis::look(probe).await,
        Probe::Postgres(probe) => postgres::look(probe).await,
        Probe::Mysql(probe) => mysql::look(probe).await,
    }
}

impl Doing {
    /// From now on the look waits for this.
    pub(crate) fn set(&self, what: impl Into<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = what.into();
    }

    /// What it was last; then nothing.
    pub(super) fn take(&self) -> String {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Desks {
    /// The desk of a check; a new one where it has none yet.
    pub(super) fn of(&self, track: &TrackName) -> Arc<Desk> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(track.clone()).or_default())
    }

    /// Forgets the desks of the checks that do not exist any more.
    pub(super) fn retain(&self, exists: impl Fn(&TrackName) -> bool) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|track, _| exists(track));
    }
}
