//! The order in which actions are carried out.
//!
//! The actions of one answer of the engine go out in their order. Changes of addresses take the
//! kernel's time; meanwhile only that waits which must not overtake them: the rest of the same
//! answer, and whatever concerns the same virtual router, socket, device or address, or writes down
//! what is held. A message is the exception: of its own answer it waits for nothing but its own
//! instance's changes. So an advertisement is never late because of another virtual router's
//! addresses, also where both are due in the same turn.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;

use super::owners::Owners;
use crate::engine::Action;
use crate::model::{Config, Family, InstanceName, InterfaceName, Routing};

/// Something that may be done now.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// Change addresses, routes, rules and devices, in this order; then call [`Outbox::addresses_done`].
    Addresses(Vec<Action>),
    /// Send messages, in this order.
    Messages(Vec<Action>),
    /// Anything else.
    One(Action),
}

/// Actions that are not carried out yet.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    owners: Owners,
    answers: u64,
    /// What need not wait.
    ready: VecDeque<Action>,
    /// The address changes that the kernel gets next, all at once.
    batch: Vec<Action>,
    /// Whether the kernel is carrying out the batch before.
    under_way: bool,
    waiting: Vec<Waiting>,
    held: Held,
}

#[derive(Debug)]
struct Waiting {
    /// Which of the engine's answers it belongs to.
    answer: u64,
    action: Action,
}

impl Outbox {
    /// Learns from another configuration which instance has what.
    pub(crate) fn reconfigure(&mut self, config: &Config) {
        self.owners.reconfigure(config);
    }

    /// Takes one answer of the engine.
    pub(crate) fn push(&mut self, actions: Vec<Action>) {
        self.answers += 1;
        let answer = self.answers;
        for action in actions {
            self.sort_in(Waiting { answer, action });
        }
    }

    /// The next thing to do, if there is something that need not wait.
    pub(crate) fn next(&mut self) -> Option<Work> {
        let Some(action) = self.ready.pop_front() else {
            if self.under_way || self.batch.is_empty() {
                return None;
            }
            self.under_way = true;
            return Some(Work::Addresses(std::mem::take(&mut self.batch)));
        };
        if !matches!(action, Action::Send { .. }) {
            return Some(Work::One(action));
        }
        let mut messages = vec![action];
        while let Some(Action::Send { .. }) = self.ready.front() {
            messages.extend(self.ready.pop_front());
        }
        Some(Work::Messages(messages))
    }

    /// The kernel has answered for the address changes that were taken last.
    pub(crate) fn addresses_done(&mut self) {
        self.under_way = false;
        self.held = Held::default();
        for waiting in std::mem::take(&mut self.waiting) {
            self.sort_in(waiting);
        }
    }

    fn sort_in(&mut self, waiting: Waiting) {
        let kind = kind(&waiting.action);
        let of = Of { answer: waiting.answer, owner: self.owners.of(&waiting.action).cloned() };
        let waits = self.held.keeps(&of, &kind, self.under_way);
        let takes_time = matches!(kind, Kind::Change(_) | Kind::Device(_));
        if waits || takes_time {
            self.held.hold(of, kind);
        }
        match (waits, takes_time) {
            (true, _) => self.waiting.push(waiting),
            (false, true) => self.batch.push(waiting.action),
            (false, false) => self.ready.push_back(waiting.action),
        }
    }
}

/// An interface and family: where there is a socket.
type Place = (InterfaceName, Family);

/// The answer that an action stands in, and the instance that it is for, where that is known.
struct Of {
    answer: u64,
    owner: Option<InstanceName>,
}

/// What takes the kernel's time to change.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Changed {
    Address(InterfaceName, IpAddr),
    Routing(Routing),
}

impl Changed {
    /// The interface that it is on, as far as that is named.
    fn interface(&self) -> Option<&InterfaceName> {
        match self {
            Self::Address(interface, _) => Some(interface),
            Self::Routing(routing) => routing.dev(),
        }
    }
}

/// What of the system an action concerns.
enum Kind {
    Change(Changed),
    /// A device, and so all on it.
    Device(InterfaceName),
    /// A message of a virtual router, and the device by which it leaves.
    Message(Place, Option<u8>, Option<InterfaceName>),
    Socket(Place),
    /// Which addresses are watched there: the last list counts.
    Watch(InterfaceName),
    /// What is written down: each note replaces the one before, so they stay in order.
    Note,
    /// An answer to the operator, and the state that is kept with it: the last answer counts.
    Answer,
    /// Nothing that others concern too.
    Free,
    Exit,
}

fn kind(action: &Action) -> Kind {
    match action {
        Action::AddAddress { interface, address, .. }
        | Action::RemoveAddress { interface, address } => {
            Kind::Change(Changed::Address(interface.clone(), address.address))
        }
        Action::AddRouting { routing, .. } | Action::RemoveRouting { routing } => {
            Kind::Change(Changed::Routing(routing.clone()))
        }
        Action::AddDevice { device } | Action::RemoveDevice { device } => {
            Kind::Device(device.name())
        }
        Action::SetDevice { device, .. } => Kind::Device(device.clone()),
        Action::Send { interface, source, message, through, .. } => {
            // The second byte is the VRID (RFC 9568 section 5.1).
            let place = (interface.clone(), Family::of(*source));
            Kind::Message(place, message.get(1).copied(), through.clone())
        }
        Action::Listen { interface, family, .. } | Action::StopListening { interface, family } => {
            Kind::Socket((interface.clone(), *family))
        }
        Action::Watch { interface, .. } => Kind::Watch(interface.clone()),
        Action::Answer { .. } => Kind::Answer,
        Action::Announce { .. }
        | Action::Probe { .. }
        | Action::CancelProbe { .. }
        | Action::Hook { .. }
        | Action::CancelHook { .. }
        | Action::Report(_) => Kind::Free,
        Action::WriteDown { .. } => Kind::Note,
        Action::Exit => Kind::Exit,
    }
}

/// What those concern that wait or are under way, so that others must not overtake them.
#[derive(Debug, Default)]
struct Held {
    /// Answers of which something is not done.
    answers: BTreeSet<u64>,
    /// The answers with unfinished changes, and whose these are; `None`: not known.
    owners: BTreeSet<(u64, Option<InstanceName>)>,
    /// Answers of which more than address changes is not done: a batch must not take from behind.
    mixed: BTreeSet<u64>,
    /// The last of the answers that change this.
    changes: BTreeMap<Changed, u64>,
    /// The last of the answers that change this device.
    devices: BTreeMap<InterfaceName, u64>,
    messages: BTreeSet<(Place, Option<u8>)>,
    sockets: BTreeSet<Place>,
    watched: BTreeSet<InterfaceName>,
    /// Whether a note waits.
    note: bool,
    /// True if an answer to the operator waits.
    answer: bool,
}

impl Held {
    fn keeps(&self, Of { answer, owner }: &Of, kind: &Kind, under_way: bool) -> bool {
        if let Kind::Change(changed) = kind {
            let last = self.changes.get(changed);
            let device = changed.interface().and_then(|on| self.devices.get(on));
            return under_way
                || self.mixed.contains(answer)
                || last.into_iter().chain(device).any(|last| last != answer);
        }
        if let Kind::Device(device) = kind {
            let is_on_it = |changed: &Changed| changed.interface() == Some(device);
            let on_it = self.changes.iter().filter(|(changed, _)| is_on_it(changed));
            let last = self.devices.get(device).into_iter().chain(on_it.map(|(_, last)| last));
            return under_way || self.mixed.contains(answer) || { last }.any(|last| last != answer);
        }
        if let Kind::Message(place, router, through) = kind {
            let own_changes = match owner {
                Some(_) => [owner, &None]
                    .into_iter()
                    .any(|owner| self.owners.contains(&(*answer, owner.clone()))),
                None => self.answers.contains(answer),
            };
            return own_changes
                || self.sockets.contains(place)
                || through.as_ref().is_some_and(|by| self.devices.contains_key(by))
                || self.messages.contains(&(place.clone(), *router));
        }
        self.answers.contains(answer)
            || match kind {
                Kind::Socket(place) => {
                    self.sockets.contains(place)
                        || self.messages.iter().any(|(other, _)| other == place)
                }
                Kind::Watch(interface) => self.watched.contains(interface),
                Kind::Note => self.note,
                Kind::Answer => self.answer,
                Kind::Exit => !self.answers.is_empty(),
                Kind::Change(_) | Kind::Device(_) | Kind::Message(..) | Kind::Free => false,
            }
    }

    fn hold(&mut self, Of { answer, owner }: Of, kind: Kind) {
        self.answers.insert(answer);
        if matches!(kind, Kind::Change(_) | Kind::Device(_)) {
            self.owners.insert((answer, owner));
        } else {
            self.mixed.insert(answer);
        }
        match kind {
            Kind::Change(changed) => {
                self.changes.insert(changed, answer);
            }
            Kind::Device(device) => {
                self.devices.insert(device, answer);
            }
            Kind::Message(place, router, _) => {
                self.messages.insert((place, router));
            }
            Kind::Socket(place) => {
                self.sockets.insert(place);
            }
            Kind::Watch(interface) => {
                self.watched.insert(interface);
            }
            Kind::Note => self.note = true,
            Kind::Answer => self.answer = true,
            Kind::Free | Kind::Exit => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Answer, HandoverAnswer, HandoverRefusal, HeldAddress, HeldRouter};
    use crate::model::{
        Authentication, ChecksumStyle, IfAllFail, InstanceConfig, Interval, Notify, Preempt,
        Priority, Scope, Transport, Version, VirtualAddress, Vrid,
    };
    use crate::time::{Mono, Span};

    fn interface(name: &str) -> InterfaceName {
        name.try_into().unwrap()
    }

    fn address(last: u8) -> VirtualAddress {
        VirtualAddress {
            address: [10, 0, 0, last].into(),
            prefix: 32,
            dev: None,
            label: None,
            scope: Scope::Global,
        }
    }

    fn add(last: u8) -> Action {
        let (interface, address) = (interface("eth0"), address(last));
        Action::AddAddress { interface, address, lease: None, not_after: Mono(u64::MAX) }
    }

    fn remove(last: u8) -> Action {
        Action::RemoveAddress { interface: interface("eth0"), address: address(last) }
    }

    fn announce(last: u8) -> Action {
        Action::Announce { interface: interface("eth0"), frame: vec![last] }
    }

    fn send(router: u8, priority: u8) -> Action {
        Action::Send {
            interface: interface("eth0"),
            through: None,
            source: [10, 0, 0, 11].into(),
            destination: [224, 0, 0, 18].into(),
            message: vec![0x31, router, priority],
        }
    }

    /// A list of one router for each of these addresses.
    fn write_down(last: &[u8]) -> Action {
        let router = |last: &u8| HeldRouter {
            instance: "web".try_into().unwrap(),
            addresses: vec![HeldAddress { interface: interface("eth0"), address: address(*last) }],
            routing: Vec::new(),
            farewells: Vec::new(),
            devices: Vec::new(),
        };
        Action::WriteDown { routers: last.iter().map(router).collect() }
    }

    fn messages(sends: Vec<Action>) -> Work {
        Work::Messages(sends)
    }

    /// All that can be done now.
    fn done(outbox: &mut Outbox) -> Vec<Work> {
        std::iter::from_fn(|| outbox.next()).collect()
    }

    /// Rule (invariant 5, make before break): a preempting router's first advertisement goes out
    /// after its addresses are there and announced.
    #[test]
    fn an_answer_keeps_its_order() {
        let mut outbox = Outbox::default();
        outbox.push(vec![add(1), add(2), announce(1), send(51, 200), send(52, 200)]);
        assert_eq!(done(&mut outbox), [Work::Addresses(vec![add(1), add(2)])]);
        outbox.addresses_done();
        let both = messages(vec![send(51, 200), send(52, 200)]);
        assert_eq!(done(&mut outbox), [Work::One(announce(1)), both]);
    }

    /// Rule: the farewell of a router that does not go on answering is said when the kernel has
    /// taken its addresses off.
    #[test]
    fn a_farewell_follows_the_removals() {
        let mut outbox = Outbox::default();
        outbox.push(vec![remove(1), remove(2), send(51, 0)]);
        assert_eq!(done(&mut outbox), [Work::Addresses(vec![remove(1), remove(2)])]);
        outbox.addresses_done();
        assert_eq!(done(&mut outbox), [messages(vec![send(51, 0)])]);
    }

    /// Bug guarded: a kernel that is slow to change an address must not silence the virtual
    /// routers whose addresses stay.
    #[test]
    fn advertisements_do_not_wait_for_the_addresses_of_others() {
        let mut outbox = Outbox::default();
        outbox.push(vec![send(51, 100), add(1), announce(1)]);
        let first = [messages(vec![send(51, 100)]), Work::Addresses(vec![add(1)])];
        assert_eq!(done(&mut outbox), first);
        outbox.push(vec![add(2), announce(2), send(52, 200)]);
        outbox.push(vec![send(51, 101)]);
        outbox.push(vec![send(53, 100), send(52, 201)]);
        // 52 has a message that waits, which the next one must not overtake.
        assert_eq!(done(&mut outbox), [messages(vec![send(51, 101), send(53, 100)])]);
        outbox.addresses_done();
        assert_eq!(done(&mut outbox), [Work::One(announce(1)), Work::Addresses(vec![add(2)])]);
        outbox.addresses_done();
        let last = messages(vec![send(52, 200), send(52, 201)]);
        assert_eq!(done(&mut outbox), [Work::One(announce(2)), last]);
    }

    /// Rule: one virtual router's messages and one address's changes stay in order, whatever
    /// answers they belong to; the end comes last.
    #[test]
    fn later_answers_do_not_overtake_on_the_same_ground() {
        let mut outbox = Outbox::default();
        outbox.push(vec![add(1), announce(1), send(51, 200)]);
        assert_eq!(done(&mut outbox), [Work::Addresses(vec![add(1)])]);
        outbox.push(vec![send(51, 0)]);
        outbox.push(vec![remove(1), Action::Exit]);
        assert_eq!(done(&mut outbox), []);
        outbox.addresses_done();
        let sends = messages(vec![send(51, 200), send(51, 0)]);
        let rest = [Work::One(announce(1)), sends, Work::Addresses(vec![remove(1)])];
        assert_eq!(done(&mut outbox), rest);
        outbox.addresses_done();
        assert_eq!(done(&mut outbox), [Work::One(Action::Exit)]);
    }

    /// Bug guarded: an address that is added and removed while the kernel is busy must not be
    /// announced after it has been removed.
    #[test]
    fn an_address_is_not_announced_after_its_removal() {
        let mut outbox = Outbox::default();
        outbox.push(vec![add(9)]);
        assert_eq!(done(&mut outbox), [Work::Addresses(vec![add(9)])]);
        outbox.push(vec![add(1), announce(1)]);
        outbox.push(vec![remove(1)]);
        outbox.addresses_done();
        assert_eq!(done(&mut outbox), [Work::Addresses(vec![add(1)])]);
        outbox.addresses_done();
        assert_eq!(done(&mut outbox), [Work::One(announce(1)), Work::Addresses(vec![remove(1)])]);
    }

    /// Bug guarded: a list of addresses to watch that had to wait must not replace a later one.
    #[test]
    fn the_last_list_of_watched_addresses_counts() {
        let watch = |interface: &str, last: &[u8]| Action::Watch {
            interface: self::interface(interface),
            addresses: last.iter().map(|last| address(*last).address).collect(),
        };
        let mut outbox = Outbox::default();
        outbox.push(vec![add(1), watch("eth0", &[1])]);
        assert_eq!(done(&mut outbox), [Work::Addresses(vec![add(1)])]);
        outbox.push(vec![watch("eth0", &[]), watch("eth1", &[2])]);
        assert_eq!(done(&mut outbox), []);
        outbox.push(vec![watch("eth1", &[3])]);
        outbox.push(vec![watch("eth2", &[4])]);
        assert_eq!(done(&mut outbox), [Work::One(watch("eth2", &[4]))]);
        outbox.addresses_done();
        let rest = [("eth0", &[1][..]), ("eth0", &[]), ("eth1", &[2]), ("eth1", &[3])];
        assert_eq!(done(&mut outbox), rest.map(|(name, last)| Work::One(watch(name, last))));
    }

    /// Rule (invariant 4, write down, then touch): an address is added after what stands before it
    /// has been written down, also where the kernel is busy with others.
    #[test]
    fn nothing_is_added_before_it_is_written_down() {
        let mut outbox = Outbox::default();
        outbox.push(vec![write_down(&[1]), add(1)]);
        assert_eq!(done(&mut outbox), [Work::One(write_down(&[1])), Work::Addresses(vec![add(1)])]);
        outbox.push(vec![write_down(&[1, 2]), add(2)]);
        assert_eq!(done(&mut outbox), [Work::One(write_down(&[1, 2]))]);
        outbox.addresses_done();
        assert_eq!(done(&mut outbox), [Work::Addresses(vec![add(2)])]);
    }

    /// Bug guarded: an address that is held must not be missing in the file because an older list,
    /// which waited for a removal, is written after a newer one.
    #[test]
    fn an_older_note_is_never_written_after_a_newer_one() {
        let mut outbox = Outbox::default();
        outbox.push(vec![remove(1), write_down(&[])]);
        assert_eq!(done(&mut outbox), [Work::Addresses(vec![remove(1)])]);
        // Of what follows a note that waits nothing overtakes it, but others' messages do.
        outbox.push(vec![send(52, 100), write_down(&[2]), add(2), announce(2), send(52, 200)]);
        outbox.push(vec![send(53, 100)]);
        assert_eq!(done(&mut outbox), [messages(vec![send(52, 100), send(53, 100)])]);
        outbox.addresses_done();
        let notes = [Work::One(write_down(&[])), Work::One(write_down(&[2]))];
        assert_eq!(done(&mut outbox)[..2], notes);
        outbox.addresses_done();
        let last = messages(vec![send(52, 200)]);
        assert_eq!(done(&mut outbox), [Work::One(announce(2)), last]);
    }

    /// Bug guarded: the kernel took its time to remove the addresses of a standby. The standby was
    /// then answered, and kept on the disk, after the `vipctl online` that had followed it: the
    /// node was out again at its next start.
    #[test]
    fn an_older_answer_is_never_given_after_a_newer_one() {
        let answer = |request| Action::Answer {
            request,
            answer: Answer::Handover(HandoverAnswer::Refused(HandoverRefusal::CalledOff)),
        };
        let mut outbox = Outbox::default();
        outbox.push(vec![remove(1), answer(1)]);
        assert_eq!(done(&mut outbox), [Work::Addresses(vec![remove(1)])]);
        outbox.push(vec![answer(2)]);
        assert_eq!(done(&mut outbox), []);
        outbox.addresses_done();
        assert_eq!(done(&mut outbox), [Work::One(answer(1)), Work::One(answer(2))]);
    }

    /// Bug guarded: with hundreds of virtual routers that take over together, each answer of the
    /// kernel must be followed by all the changes that wait, not by those of one router.
    #[test]
    fn waiting_changes_go_to_the_kernel_together() {
        let mut outbox = Outbox::default();
        for router in 1..=200 {
            outbox.push(vec![send(router, 200), add(router), announce(router)]);
            done(&mut outbox);
        }
        outbox.addresses_done();
        let batches: Vec<_> = done(&mut outbox)
            .into_iter()
            .filter_map(|work| match work {
                Work::Addresses(batch) => Some(batch.len()),
                _ => None,
            })
            .collect();
        assert_eq!(batches, [199]);
    }

    /// A configuration with an instance for each of these virtual routers: router 51 has the
    /// addresses 1 and 2, router 52 the addresses 3 and 4, and so on.
    fn config(routers: &[u8]) -> Config {
        let instance = |router: &u8| {
            let first = (router - 51) * 2 + 1;
            InstanceConfig {
                name: format!("i{router}").as_str().try_into().unwrap(),
                virtual_router_id: Vrid::try_from(*router).unwrap(),
                addresses: vec![address(first)],
                extra_addresses: vec![address(first + 1)],
                ..instance()
            }
        };
        Config { instances: routers.iter().map(instance).collect(), ..Config::default() }
    }

    fn instance() -> InstanceConfig {
        InstanceConfig {
            notify: Notify::default(),
            name: "web".try_into().unwrap(),
            interface: interface("eth0"),
            further_interfaces: Vec::new(),
            transport: Transport::STANDARD,
            virtual_router_id: Vrid::try_from(51).unwrap(),
            version: Version::V3,
            priority: Priority::try_from(100).unwrap(),
            advertisement_interval: Interval::ONE_SECOND,
            maximum_interval: Interval::LONGEST_V3,
            addresses: Vec::new(),
            extra_addresses: Vec::new(),
            routes: Vec::new(),
            rules: Vec::new(),
            preempt: Preempt::Always,
            hold_down: Span::ZERO,
            link_down_delay: Span::ZERO,
            link_up_delay: Span::ZERO,
            lease: None,
            announce_refresh: Span::ZERO,
            checksum: ChecksumStyle::Auto,
            tracks: Vec::new(),
            if_all_fail: IfAllFail::Release,
            authentication: Authentication::None,
            virtual_mac: false,
        }
    }

    /// Bug guarded: of the instances that are due in one turn, one whose advertisement needs
    /// nothing of the kernel must not wait for another one's addresses. Its own it must not
    /// overtake: it preempts another router, or says that it has let go.
    #[test]
    fn an_advertisement_waits_for_its_own_addresses_only() {
        let mut outbox = Outbox::default();
        outbox.reconfigure(&config(&[51, 52, 53]));
        let first = vec![write_down(&[1, 2]), add(1), add(2), announce(1), send(51, 200)];
        let second = vec![send(52, 100), add(3), announce(3), send(52, 101)];
        let third = vec![remove(5), send(53, 0)];
        outbox.push([first, second, third].concat());
        let expected = [
            Work::One(write_down(&[1, 2])),
            messages(vec![send(52, 100)]),
            Work::Addresses(vec![add(1), add(2)]),
        ];
        assert_eq!(done(&mut outbox), expected);
        outbox.push(vec![send(52, 102)]);
        assert_eq!(done(&mut outbox), [], "it must not overtake an older one of the same router");
        outbox.addresses_done();
        let first = [Work::One(announce(1)), messages(vec![send(51, 200)])];
        let all = done(&mut outbox);
        assert_eq!(
            all,
            first.into_iter().chain([Work::Addresses(vec![add(3)])]).collect::<Vec<_>>()
        );
    }

    /// Rule: the same after a reload, also for an instance that it has taken out.
    #[test]
    fn who_has_what_is_known_over_a_reload() {
        let mut outbox = Outbox::default();
        outbox.reconfigure(&config(&[51, 52]));
        outbox.reconfigure(&config(&[52]));
        outbox.push(vec![remove(1), send(51, 0), send(52, 100)]);
        let expected = [messages(vec![send(52, 100)]), Work::Addresses(vec![remove(1)])];
        assert_eq!(done(&mut outbox), expected);
        outbox.addresses_done();
        assert_eq!(done(&mut outbox), [messages(vec![send(51, 0)])]);
    }

    /// Rule: what leaves by a device, and what is put on it, waits until it is up, also where another
    /// answer has taken it up; another router's message does not.
    #[test]
    fn what_goes_by_a_device_waits_for_it() {
        let device = interface("vipd4-51-eth0");
        let up = Action::SetDevice { device: device.clone(), up: true };
        let through = |router: u8| {
            let Action::Send { interface, source, destination, message, .. } = send(router, 100)
            else {
                unreachable!()
            };
            let through = Some(device.clone());
            Action::Send { interface, through, source, destination, message }
        };
        let on_it = || {
            let Action::AddAddress { address, lease, not_after, .. } = add(1) else {
                unreachable!()
            };
            Action::AddAddress { interface: device.clone(), address, lease, not_after }
        };
        let mut outbox = Outbox::default();
        outbox.push(vec![up.clone()]);
        assert_eq!(outbox.next(), Some(Work::Addresses(vec![up])));
        outbox.push(vec![through(51)]);
        outbox.push(vec![on_it()]);
        outbox.push(vec![send(52, 100)]);
        assert_eq!(outbox.next(), Some(Work::Messages(vec![send(52, 100)])));
        assert_eq!(outbox.next(), None);
        outbox.addresses_done();
        assert_eq!(outbox.next(), Some(Work::Messages(vec![through(51)])));
        assert_eq!(outbox.next(), Some(Work::Addresses(vec![on_it()])));
    }
}
