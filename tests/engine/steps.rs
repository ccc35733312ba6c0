//! Tries a reload of every kind at every step of a takeover, a handover and a standby: a small
//! setup, but every combination. A reload may take away whatever a pending election or a departure
//! waits for.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use vipd::engine::story::StateName;
use vipd::engine::{Action, Change, Event, HookOwner, Input, Link, ProbeResult};
use vipd::model::{
    Config, InstanceConfig, InterfaceName, Notify, Phase, SyncGroup, VirtualAddress,
};
use vipd::vrrp::packet::{Advertisement, ChecksumForm};

use crate::groups::{config as pair, hear_on_lan, lan_link};
use crate::hooks::notify;
use crate::node::{Node, PEER, advertisement, eth0, instance, link, packet, virtual_address};
use crate::tracks::{name as track_name, track};

/// The time, in milliseconds, by which everything has come to rest after the last input, even with
/// hooks that never end.
const REST: u64 = 60_000;

/// Stands for a change that is not taken back.
const NEVER: usize = usize::MAX / 2;

/// An engine and the part of the system around it that matters here.
struct World {
    node: Node,
    /// The hooks that run.
    running: BTreeMap<(HookOwner, u64), Phase>,
    present: BTreeSet<(InterfaceName, IpAddr)>,
    unanswered: BTreeSet<u64>,
    /// The reported events, which explain a failure.
    story: Vec<(u64, Event)>,
}

/// One thing that happens.
#[derive(Clone, Debug)]
enum Step {
    Tell(Box<Input>),
    /// A router of this priority is heard on both segments, by all virtual routers.
    Hear(u8),
    /// Time passes until something is due.
    Next,
    /// The hook that has run the longest ends.
    EndHook,
}

/// True for each owner that has hooks.
#[derive(Clone, Copy, Debug)]
struct Gates {
    group: bool,
    web: bool,
    lan: bool,
}

impl World {
    fn new(config: Config) -> Self {
        let mut world = Self {
            node: Node::unlinked(config),
            running: BTreeMap::new(),
            present: BTreeSet::new(),
            unanswered: BTreeSet::new(),
            story: Vec::new(),
        };
        world.tell(Input::Link { interface: eth0(), link: Some(link()) });
        world.tell(lan_link(true));
        world
    }

    fn tell(&mut self, input: Input) {
        let devices = match &input {
            Input::Reload { config } => {
                let devices = config.instances.iter().flat_map(InstanceConfig::virtual_devices);
                devices.map(|device| device.name()).collect()
            }
            _ => Vec::new(),
        };
        if let Input::Standby { request, .. } | Input::Handover { request, .. } = &input {
            self.unanswered.insert(*request);
        }
        let actions = self.node.tell(input);
        self.carry_out(actions);
        // As the shell does, tell of each interface that a configuration names.
        for interface in devices {
            self.tell(Input::Link { interface, link: None });
        }
    }

    fn carry_out(&mut self, actions: Vec<Action>) {
        let mut news = Vec::new();
        // Nothing can follow from the actions that an engine repeats all the time.
        let is_routine = |action: &Action| {
            matches!(action, Action::Send { .. } | Action::Change(Change::AddAddress { .. }))
        };
        let is_news = !actions.iter().all(is_routine);
        for action in actions {
            match action {
                Action::Hook { owner, number, call } => {
                    self.running.insert((owner, number), call.event.phase());
                }
                Action::CancelHook { owner, number } => {
                    self.running.remove(&(owner, number));
                }
                Action::Change(Change::AddAddress { interface, address, .. }) => {
                    self.present.insert((interface, address.address));
                }
                Action::Change(Change::RemoveAddress { interface, address }) => {
                    self.present.remove(&(interface, address.address));
                }
                Action::Change(Change::AddDevice { device }) => {
                    let link = Link {
                        index: 9,
                        mac: Some(device.mac()),
                        up: false,
                        addresses: Vec::new(),
                        ..link()
                    };
                    news.push(Input::Link { interface: device.name(), link: Some(link) });
                }
                Action::Change(Change::RemoveDevice { device }) => {
                    self.present.retain(|(interface, _)| *interface != device.name());
                    news.push(Input::Link { interface: device.name(), link: None });
                }
                Action::Probe { track, number } => {
                    let result = ProbeResult::Passed(String::new());
                    news.push(Input::Probed { track, number, result });
                }
                Action::Answer { request, .. } => {
                    self.unanswered.remove(&request);
                }
                Action::Report(event) => self.story.push((self.node.millis, event)),
                _ => {}
            }
        }
        for input in news {
            self.tell(input);
        }
        if is_news {
            self.judge();
        }
    }

    /// Checks the invariant: an instance that is active to the election has its addresses, or waits
    /// for a hook that really runs.
    fn judge(&self) {
        let runs = || self.running.values().any(|phase| phase.is_waited_for());
        for one in self.node.status().instances {
            if one.state != StateName::Active {
                continue;
            }
            if let Some(phase) = one.waits_for {
                assert!(runs(), "{} waits for {phase}: {self}", one.name);
            } else {
                let all = one.addresses.iter().all(|address| one.held.contains(address));
                assert!(all, "{} has {:?}: {self}", one.name, one.held);
            }
            for address in &one.held {
                let is_there = self.present.iter().any(|(_, there)| *there == address.address);
                assert!(is_there, "{} lacks {address}: {self}", one.name);
            }
        }
    }

    fn play(&mut self, step: &Step) {
        match step {
            Step::Tell(input) => self.tell((**input).clone()),
            Step::Hear(priority) => {
                for number in [51, 53] {
                    let other = Advertisement {
                        virtual_router_id: number.try_into().unwrap(),
                        ..advertisement(*priority)
                    };
                    let bytes = packet(&other, PEER, ChecksumForm::WithPseudoHeader);
                    let actions = self.node.hear(bytes);
                    self.carry_out(actions);
                }
                let actions = hear_on_lan(&mut self.node, *priority);
                self.carry_out(actions);
            }
            Step::Next => self.next(),
            Step::EndHook => {
                self.end_hook();
            }
        }
    }

    fn next(&mut self) {
        if self.node.engine.next_deadline().is_some() {
            let actions = self.node.next();
            self.carry_out(actions);
        }
    }

    fn end_hook(&mut self) -> bool {
        let Some(((owner, number), _)) = self.running.pop_first() else { return false };
        self.tell(Input::Hooked { owner, number, result: ProbeResult::Passed(String::new()) });
        true
    }

    /// Lets time pass until everything is at rest. Nobody else is heard any more, so that all
    /// addresses are here in the end.
    fn rest(&mut self, hooks_end: bool) {
        let end = self.node.millis + REST;
        while self.node.millis < end {
            if hooks_end && self.end_hook() {
                continue;
            }
            let before = self.story.len();
            self.next();
            if self.story.len() == before && self.is_at_rest() {
                break;
            }
        }
        assert!(self.is_at_rest(), "no rest: {self}");
        assert_eq!(self.unanswered, BTreeSet::new(), "{self}");
    }

    fn is_at_rest(&self) -> bool {
        let status = self.node.status();
        let serves = |name| {
            let mut all = status.instances.iter();
            all.any(|one| one.name == name && one.state == StateName::Active && !one.leaving)
        };
        let configured = self.node.engine.config().instances;
        let waits = status.instances.iter().any(|one| one.waits_for.is_some());
        let held: usize = status.instances.iter().map(|one| one.held.len()).sum();
        configured.iter().all(|one| serves(one.name.clone()))
            && status.instances.len() == configured.len()
            && !waits
            && held == self.present.len()
    }
}

impl std::fmt::Display for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (millis, event) in &self.story {
            writeln!(f, "{millis} {}", event.line())?;
        }
        write!(f, "running {:?}\n{}", self.running, self.node.status())
    }
}

fn gates(phases: &[Phase], wanted: bool) -> Notify {
    if wanted { notify(phases) } else { notify(&[Phase::Script]) }
}

/// Three members on two segments.
fn base(wanted: Gates) -> Config {
    let own = [Phase::BeforeClaim, Phase::BeforeRelease];
    let mut config = pair();
    config.instances.push(InstanceConfig {
        name: "dmz".try_into().unwrap(),
        virtual_router_id: 53.try_into().unwrap(),
        addresses: vec![VirtualAddress { address: [10, 0, 0, 103].into(), ..virtual_address() }],
        ..instance(100)
    });
    // Without leases nothing is renewed meanwhile.
    config.instances.iter_mut().for_each(|one| one.lease = None);
    config.instances[0].notify = gates(&own, wanted.web);
    config.instances[1].notify = gates(&own, wanted.lan);
    let group = &mut config.sync_groups[0];
    group.members.push("dmz".try_into().unwrap());
    group.notify = gates(&[Phase::BeforeClaim, Phase::Script], wanted.group);
    config
}

fn member(config: &mut Config, place: usize) -> &mut InstanceConfig {
    &mut config.instances[place]
}

fn rename(config: &mut Config, place: usize, name: &str) {
    let old = std::mem::replace(&mut config.instances[place].name, name.try_into().unwrap());
    for group in &mut config.sync_groups {
        for member in group.members.iter_mut().filter(|member| **member == old) {
            *member = name.try_into().unwrap();
        }
    }
}

fn remove(config: &mut Config, place: usize) {
    let gone = config.instances.remove(place).name;
    config.sync_groups[0].members.retain(|member| *member != gone);
}

/// A change of the configuration, with its name.
type Edit = (&'static str, fn(&mut Config));

/// Every kind of change.
fn changes() -> Vec<Edit> {
    vec![
        ("nothing", |_| {}),
        ("no group", |c| c.sync_groups.clear()),
        ("another group", |c| c.sync_groups[0].name = "other".try_into().unwrap()),
        ("two groups", |c| {
            let lan = "lan".try_into().unwrap();
            c.sync_groups[0].members.retain(|member| *member != lan);
            let members = vec![lan];
            let name = "second".try_into().unwrap();
            let notify = notify(&[Phase::BeforeClaim]);
            c.sync_groups.push(SyncGroup { name, members, notify });
        }),
        ("no web in the group", |c| drop(c.sync_groups[0].members.remove(0))),
        ("no lan in the group", |c| drop(c.sync_groups[0].members.remove(1))),
        ("no hook of the group", |c| c.sync_groups[0].notify = Notify::default()),
        ("a hook of the group", |c| {
            c.sync_groups[0].notify = notify(&[Phase::BeforeClaim]);
        }),
        ("no hook of the members", |c| {
            c.instances.iter_mut().for_each(|one| one.notify = Notify::default());
        }),
        ("a hook of each member", |c| {
            let phases = [Phase::BeforeClaim, Phase::BeforeRelease, Phase::AfterClaim];
            c.instances.iter_mut().for_each(|one| one.notify = notify(&phases));
        }),
        ("another hook of each member", |c| {
            for one in &mut c.instances {
                one.notify.programs.values_mut().for_each(|words| words.push("-v".to_owned()));
            }
        }),
        ("no lan", |c| remove(c, 1)),
        ("no web", |c| remove(c, 0)),
        ("another name of web", |c| rename(c, 0, "www")),
        ("another name of lan", |c| rename(c, 1, "net")),
        ("names change places", |c| {
            rename(c, 0, "between");
            rename(c, 1, "web");
            rename(c, 0, "lan");
        }),
        ("another virtual router ID of web", |c| {
            member(c, 0).virtual_router_id = 61.try_into().unwrap();
        }),
        ("another virtual router ID of lan", |c| {
            member(c, 1).virtual_router_id = 62.try_into().unwrap();
        }),
        ("another interface of web", |c| member(c, 0).interface = member(c, 1).interface.clone()),
        ("another interface of lan", |c| member(c, 1).interface = eth0()),
        ("another address and priority", |c| {
            let other = VirtualAddress { address: [10, 0, 0, 99].into(), ..virtual_address() };
            member(c, 0).addresses.push(other);
            c.instances.iter_mut().for_each(|one| one.priority = 150.try_into().unwrap());
        }),
        ("a virtual MAC", |c| member(c, 0).virtual_mac = true),
        ("a check", |c| {
            c.tracks.push(track("ready"));
            let names = vec![track_name("ready")];
            c.instances.iter_mut().for_each(|one| one.tracks.clone_from(&names));
        }),
        ("nothing at all", |c| {
            c.instances.clear();
            c.sync_groups.clear();
        }),
    ]
}

/// The stories. Every change is tried between any two steps of each.
fn stories() -> Vec<(&'static str, Vec<Step>)> {
    let tell = |input| Step::Tell(Box::new(input));
    let web = || "web".try_into().unwrap();
    let hooks = || std::iter::repeat_n(Step::EndHook, 4);
    let silence = || std::iter::once(Step::Next).chain(hooks());
    let preemption = [Step::Hear(50), Step::Next, Step::Hear(50), Step::Next];
    let handover = tell(Input::Handover { request: 7, instance: web(), to: None });
    let standby = tell(Input::Standby { request: 8, instance: Some(web()), force: true });
    let leaves = |first: Step| {
        let then = [Step::Hear(50), Step::EndHook, Step::Next, Step::Next];
        silence().chain([first]).chain(hooks()).chain(then).collect()
    };
    let online = tell(Input::Online { request: 9, instance: None });
    let back = silence().chain([standby.clone(), Step::EndHook, online]);
    vec![
        ("after silence", silence().collect()),
        ("by preemption", preemption.into_iter().chain(hooks()).collect()),
        ("with a handover", leaves(handover)),
        ("with a standby", leaves(standby)),
        ("with a standby that is called off", back.collect()),
    ]
}

fn reload(config: &Config) -> Input {
    Input::Reload { config: Box::new(config.clone()) }
}

/// Plays a story. Makes a change before the step number `at`, and takes it back before the step
/// number `back`.
fn play(wanted: Gates, steps: &[Step], change: fn(&mut Config), at: usize, back: usize) -> World {
    let config = base(wanted);
    let mut changed = config.clone();
    change(&mut changed);
    let mut world = World::new(config.clone());
    for (place, step) in steps.iter().enumerate() {
        if place == at {
            world.tell(reload(&changed));
        }
        if place == back {
            world.tell(reload(&config));
        }
        world.play(step);
    }
    if at == steps.len() {
        world.tell(reload(&changed));
    }
    world
}

const OF_ONE: Gates = Gates { group: false, web: false, lan: true };
const OF_BOTH: Gates = Gates { group: true, web: true, lan: false };

fn each_change_at_each_step(hooks_end: bool, all: &[Gates], back: usize) {
    for wanted in all.iter().copied() {
        for (story, steps) in stories() {
            for (name, change) in changes() {
                for at in 0..=steps.len() {
                    let context = format!("{wanted:?}, {story}, {name} at {at}, back {back}");
                    let end = std::panic::catch_unwind(|| {
                        let mut world = play(wanted, &steps, change, at, at + back);
                        // Instances that the operator has taken out come back.
                        world.tell(Input::Online { request: 10, instance: None });
                        world.rest(hooks_end);
                    });
                    assert!(end.is_ok(), "{context}");
                }
            }
        }
    }
}

/// Bug guarded: a reload that dissolved a sync group while a member's `before_claim` ran left its
/// other instances active without addresses forever. They advertised, so nobody else took over.
/// Here each change comes at each step, and everything has its addresses in the end.
#[test]
fn a_reload_at_each_step_leaves_nobody_waiting() {
    each_change_at_each_step(true, &[OF_ONE, OF_BOTH], NEVER);
}

/// Rule: the same holds if the change is taken back a moment later.
#[test]
fn a_reload_and_back_leaves_nobody_waiting() {
    each_change_at_each_step(true, &[OF_BOTH], 2);
}

/// Rule: the same holds if no hook ever ends by itself.
#[test]
fn hooks_that_never_end_leave_nobody_waiting() {
    each_change_at_each_step(false, &[OF_BOTH], NEVER);
}
