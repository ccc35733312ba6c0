//! All that doctor looks at.

use std::collections::BTreeMap;

use super::link::Link;
use super::questions::Questions;
use super::segment::Observation;
use crate::api::Snapshot;
use crate::ctl::wire::OwnAddress;
use crate::model::{Authentication, Config};

/// A running daemon and what surrounds it.
#[derive(Clone, Debug)]
pub(super) struct Look {
    /// How it was before the wire was listened to.
    pub(super) before: Snapshot,
    /// And after that.
    pub(super) now: Snapshot,
    /// What its file says, where it can be read and is valid.
    pub(super) config: Option<Config>,
    /// This machine's addresses that can be used.
    pub(super) addresses: Vec<OwnAddress>,
    /// Those of them that are its own: the virtual ones left out.
    pub(super) own: Vec<OwnAddress>,
    /// This machine's interfaces, by name.
    pub(super) links: BTreeMap<String, Link>,
    /// What was asked on the wires, by interface.
    pub(super) questions: BTreeMap<String, Questions>,
    /// The wires that could be listened to, by interface.
    pub(super) wires: BTreeMap<String, Observation>,
}

impl Look {
    /// Whether an instance signs what it says, with the time.
    pub(super) fn signs(&self) -> bool {
        let mut all = self.config.iter().flat_map(|config| &config.instances);
        all.any(|instance| matches!(instance.authentication, Authentication::Hmac(_)))
    }
}
