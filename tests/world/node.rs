//! A node: its machine, its interfaces, its clocks and its daemon, and since when what is so.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;

use fastrand::Rng;
use vipd::engine::story::StateName;
use vipd::engine::{Engine, Input, Status};
use vipd::model::{Config, InstanceConfig, InstanceName};
use vipd::time::{Mono, Span};

use super::checks::Truth;
use super::kernel::Shell;
use super::machine::{Machine, Place};
use super::{Setup, WALL, World};

pub(crate) struct Node {
    pub(crate) engine: Option<Engine>,
    pub(super) shell: Shell,
    pub(crate) machine: Machine,
    /// By segment.
    pub(crate) ports: Vec<Port>,
    /// The content of its file.
    pub(crate) config: Config,
    /// The lease before the last reload, and when that was.
    pub(crate) lease_before: Option<(Option<Span>, Mono)>,
    /// When it got another virtual router: another ID, or another interface.
    pub(crate) reidentified: Option<Mono>,
    /// When it got another file.
    pub(crate) reconfigured: Mono,
    /// When something last happened to it.
    pub(crate) steady_since: Mono,
    /// When its engine last heard an advertisement of a virtual router that it is a part of.
    pub(crate) heard: Mono,
    /// When it last heard a farewell of that.
    pub(crate) relieved: Mono,
    /// The instances that say that they are active, and since when.
    pub(crate) active: BTreeMap<InstanceName, Mono>,
    /// When its daemon was started last.
    pub(super) started: Mono,
    /// Since when its daemon runs without interruption.
    pub(super) runs_since: Mono,
    /// When its wall clock was set, or its daemon started.
    pub(crate) clock_set: Mono,
    /// When its interface went and came back.
    pub(crate) recreated: Option<Mono>,
    pub(crate) paused_until: Option<Mono>,
    /// Since when its daemon does not run, by death or pause.
    pub(crate) idle_since: Option<Mono>,
    /// The note on its disk: the operator has taken it out of the election.
    pub(crate) standby: bool,
    /// True if its engine has said last that the node is out.
    pub(crate) out: bool,
    /// The machine's uptime when the simulation began; reset by a power cut.
    pub(super) booted: Boot,
    pub(crate) wall: u64,
    pub(super) inbox: VecDeque<Arrived>,
    /// The contents of its netlink socket and its signals while it is paused.
    pub(super) pending: VecDeque<Input>,
    /// The machine sleeps: nothing arrives, and the kernel's own timers stand still.
    pub(crate) suspended: bool,
    /// The daemon dies when it has carried out so many more actions.
    pub(crate) dies_after: Option<u8>,
    pub(crate) stopping: bool,
    pub(crate) refusals: u8,
    /// So many of its next messages the kernel does not send, and when the last one was refused.
    pub(crate) mute: u8,
    pub(crate) muted: Option<Mono>,
    /// The same for its VRRP sockets, which cannot be opened.
    pub(crate) deaf: u8,
    pub(crate) deafened: Option<Mono>,
    /// When an address was last refused.
    pub(crate) refused: Option<Mono>,
    pub(super) sleep: u64,
    /// The number of starts of its daemon.
    pub(crate) life: u64,
    /// The truth about the subject of each check.
    pub(crate) truths: Vec<Truth>,
    /// Its daemon has got another file since it started.
    pub(crate) reloaded: bool,
    /// Hooks that began under another configuration are under way.
    pub(crate) mixed: bool,
    /// The last state that each sync group was told; `None`: a reload may have brought hooks that
    /// were not told.
    pub(crate) told: BTreeMap<String, Option<StateName>>,
}

/// An interface of a node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Port {
    pub(crate) carrier: bool,
    /// It is administratively up.
    pub(crate) up: bool,
    /// It has addresses of its own.
    pub(crate) numbered: bool,
    pub(crate) exists: bool,
    pub(super) index: u32,
    /// The one that its netlink socket has told the daemon about: names in actions mean this one.
    pub(super) told: Option<u32>,
}

impl Port {
    /// True if the interface that the daemon means is there.
    pub(super) fn is_there(self) -> bool {
        self.exists && self.told == Some(self.index)
    }

    /// True if frames get through it.
    pub(crate) fn works(self) -> bool {
        self.exists && self.up && self.carrier
    }
}

#[derive(Clone, Copy)]
pub(super) struct Boot {
    pub(super) at: Mono,
    pub(super) uptime: Span,
}

/// A packet in a socket.
#[derive(Clone)]
pub(super) struct Arrived {
    pub(super) at: Mono,
    pub(super) segment: usize,
    pub(super) packet: Vec<u8>,
    /// It must be refused.
    pub(super) is_rubbish: bool,
}

impl Node {
    pub(super) fn new(rng: &mut Rng, setup: &Setup, node: usize) -> Self {
        // Some have just booted, some run for long.
        let uptime = Span::from_secs(rng.u64(10..1_000));
        let links = setup.links[node].iter();
        let port = |index| Port {
            carrier: true,
            up: true,
            numbered: true,
            exists: true,
            index,
            told: None,
        };
        Self {
            engine: None,
            shell: Shell::default(),
            machine: Machine::default(),
            ports: links.map(|link| port(link.index)).collect(),
            config: setup.configs[node].clone(),
            lease_before: None,
            reidentified: None,
            reconfigured: Mono(0),
            steady_since: Mono(0),
            heard: Mono(0),
            relieved: Mono(0),
            active: BTreeMap::new(),
            started: Mono(0),
            runs_since: Mono(0),
            clock_set: Mono(0),
            recreated: None,
            paused_until: None,
            idle_since: None,
            standby: false,
            out: false,
            booted: Boot { at: Mono(0), uptime },
            wall: WALL,
            inbox: VecDeque::new(),
            pending: VecDeque::new(),
            suspended: false,
            dies_after: None,
            stopping: false,
            refusals: 0,
            mute: 0,
            muted: None,
            deaf: 0,
            deafened: None,
            refused: None,
            sleep: 0,
            life: 0,
            truths: vec![Truth::Well; setup.tracks.len()],
            reloaded: false,
            mixed: false,
            told: BTreeMap::new(),
        }
    }

    /// True if it has an address.
    pub(crate) fn holds(&self) -> bool {
        !self.machine.held.is_empty()
    }

    /// The addresses that it has.
    pub(crate) fn held(&self) -> impl Iterator<Item = IpAddr> {
        self.machine.held.keys().map(|(_, address)| *address)
    }

    /// Its first instance, as its file has it.
    pub(crate) fn instance(&self) -> &InstanceConfig {
        &self.config.instances[0]
    }

    /// True if its daemon runs.
    pub(crate) fn runs(&self) -> bool {
        self.engine.is_some() && self.paused_until.is_none()
    }

    /// Since when all that it says to be active is so.
    pub(crate) fn active_since(&self) -> Option<Mono> {
        self.active.values().max().copied()
    }

    pub(crate) fn is_unanswered(&self) -> bool {
        !self.machine.process.unanswered.is_empty()
    }
}

impl World {
    pub(crate) fn status(&self, node: usize) -> Option<Status> {
        let now = self.local(node);
        self.nodes[node].engine.as_ref().map(|engine| engine.status(now))
    }

    /// True for a daemon that has stood still, and is being told of what happened meanwhile: the
    /// kernel may have removed an address whose lease had ended, and hooks may have ended. It takes
    /// all of this in one turn, of which the engine sees one input after the other.
    pub(crate) fn has_just_gone_on(&self, node: usize) -> bool {
        self.nodes[node].runs_since == self.now
    }

    /// True if a node has told the others that it stops being active.
    pub(crate) fn leaves(&self, node: usize) -> bool {
        let status = self.status(node);
        status.is_some_and(|status| status.instances.iter().any(|instance| instance.leaving))
    }

    /// True if a virtual router of this node still leaves that a reload has replaced.
    pub(super) fn has_namesakes(&self, node: usize) -> bool {
        let status = self.status(node);
        let names = status.iter().flat_map(|status| &status.instances).map(|one| &one.name);
        let mut seen = BTreeSet::new();
        names.into_iter().any(|name| !seen.insert(name))
    }

    /// True if a node has each address, route and rule of its first instance.
    pub(crate) fn has_all(&self, node: usize) -> bool {
        let state = &self.nodes[node];
        let instance = state.instance();
        instance.moving_addresses().all(|address| {
            let place = (instance.interface_of(address).clone(), address.address);
            state.machine.held.contains_key(&place)
        }) && instance.routing().all(|routing| state.machine.routings.contains(&routing))
    }
}

/// The instance of a configuration that has this address.
pub(super) fn owner_of<'c>(config: &'c Config, place: &Place) -> Option<&'c InstanceConfig> {
    let (interface, address) = place;
    config.instances.iter().find(|instance| {
        let mut all = instance.moving_addresses();
        all.any(|one| one.address == *address && instance.interface_of(one) == interface)
    })
}
