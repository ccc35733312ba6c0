//! Two machines with the package, the client of their address, and what has to hold whatever
//! happens to them.

use std::time::{Duration, Instant};

use super::client::{Answer, Client};
use super::debian;
use super::lab::{Holders, Host, Lab, Segment, VIP, within};
use super::machine::Machine;

/// Far longer than the two may take until one of them serves alone.
const PATIENCE: Duration = Duration::from_secs(60);

/// One machine serves once it has answered everything for this long.
const STEADILY: Duration = Duration::from_millis(500);

/// The pair, switched on, with the package in `/root` and not installed yet.
pub(crate) struct Pair<'a> {
    pub(crate) lab: &'a Lab,
    pub(crate) segment: Segment,
    pub(crate) machines: [Machine; 2],
    /// Whether the first one takes the address back when it can.
    pub(crate) preempts: bool,
    holders: Holders,
    watcher: Host,
    client: Option<Client>,
}

/// The longest time that both may have the address in a move on a busy machine.
const MOVE: Duration = Duration::from_millis(500);

/// What a client may notice of one move.
#[derive(Clone, Copy)]
pub(crate) struct Bound {
    pub(crate) gap: Duration,
    pub(crate) failures: usize,
    /// How long both may have the address.
    pub(crate) together: Duration,
    /// The longest time that none may have it.
    pub(crate) nobody: Duration,
}

/// The kernels' messages, read one after the other, may make so much of no time at all.
pub(crate) const NO_TIME: Duration = Duration::from_millis(100);

impl Bound {
    /// Nothing but a connection of the old machine's, which the new one does not know.
    pub(crate) const PLANNED: Self =
        Self { gap: Duration::from_secs(1), failures: 1, together: MOVE, nobody: NO_TIME };

    /// A takeover after silence.
    pub(crate) const FAILOVER: Self = Self {
        gap: Duration::from_secs(8),
        failures: 200,
        together: MOVE,
        nobody: Duration::from_secs(8),
    };
}

impl<'a> Pair<'a> {
    /// Boots two machines with these names.
    pub(crate) fn boot(lab: &'a Lab, names: [&'static str; 2], preempts: bool) -> Self {
        let segment = Segment::new(lab);
        let mut machines =
            [Machine::new(lab, &segment, names[0], 11), Machine::new(lab, &segment, names[1], 12)];
        let package = debian::package();
        let name = package.file_name().and_then(|name| name.to_str()).expect("a file's name");
        for machine in &mut machines {
            machine.boot();
            machine.bring(&package, name);
        }
        let holders = Holders::watch(&[machines[0].host(), machines[1].host()], VIP);
        let watcher = segment.host(1);
        Self { lab, segment, machines, preempts, holders, watcher, client: None }
    }

    /// Puts the client to work, and waits until the first machine serves it.
    pub(crate) fn serve(&mut self, ask: impl FnMut() -> Answer + Send + 'static) {
        self.client = Some(Client::start(&self.watcher, ask));
        self.is_served_by(0);
    }

    /// Which machine has the address.
    pub(crate) fn active(&self) -> usize {
        let numbers = self.holders.now();
        let holder = |machine: &Machine| numbers == [machine.host().number()];
        self.machines.iter().position(holder).expect("exactly one machine has the address")
    }

    /// Waits until this machine alone has the address and answers.
    #[track_caller]
    pub(crate) fn is_served_by(&self, place: usize) {
        let machine = &self.machines[place];
        let client = self.client.as_ref().expect("the client is at work");
        within(PATIENCE, &format!("{} alone serves", machine.name()), || {
            client.served_by(STEADILY).as_deref() == Some(machine.name())
                && self.holders.now() == [machine.host().number()]
        });
    }

    /// Waits until one machine, whichever it is, serves alone.
    #[track_caller]
    pub(crate) fn serves_again(&self) {
        let client = self.client.as_ref().expect("the client is at work");
        within(PATIENCE, "one machine serves alone", || {
            client.served_by(STEADILY).is_some() && self.holders.now().len() == 1
        });
    }

    /// Whether this machine has the address, and the other one does not.
    pub(crate) fn holds_alone(&self, place: usize) -> bool {
        self.holders.now() == [self.machines[place].host().number()]
    }

    /// The client's machine.
    pub(crate) fn watcher(&self) -> &Host {
        &self.watcher
    }

    /// Waits until the client reaches this machine, whoever else has the address.
    #[track_caller]
    pub(crate) fn is_answered_by(&self, place: usize) {
        let machine = &self.machines[place];
        let client = self.client.as_ref().expect("the client is at work");
        within(PATIENCE, &format!("{} answers", machine.name()), || {
            client.served_by(STEADILY).as_deref() == Some(machine.name())
        });
    }

    /// Something happens to the active machine, `act`, and makes the other one serve; then it is
    /// mended, `mend`, and the address is where the preemption rule says. The figures are those of
    /// the whole time.
    pub(crate) fn goes_through(
        &mut self,
        what: &str,
        bound: Bound,
        act: impl FnOnce(&mut Self, usize),
        mend: impl FnOnce(&mut Self, usize),
    ) {
        let (start, active) = (Instant::now(), self.active());
        let owners = self.lab.owners();
        if bound.together > MOVE {
            owners.overlap(bound.together, "a daemon that stands still cannot remove it");
        }
        act(self, active);
        self.is_served_by(1 - active);
        mend(self, active);
        let moves = if self.is_in_order(active) { 2 } else { 1 };
        let bound = Bound { failures: bound.failures * moves, ..bound };
        self.judge(what, bound, start);
        owners.as_usual();
    }

    /// What happens to the active machine disturbs nobody.
    pub(crate) fn stays(&mut self, what: &str, act: impl FnOnce(&mut Self, usize)) {
        let (start, active) = (Instant::now(), self.active());
        act(self, active);
        self.is_served_by(active);
        let (none, nobody) = (Duration::ZERO, NO_TIME);
        let bound = Bound { gap: none, failures: 0, together: none, nobody };
        self.judge(what, bound, start);
    }

    /// The machine that was mended is a backup, or has taken the address back where it preempts:
    /// whether it has.
    #[track_caller]
    fn is_in_order(&self, mended: usize) -> bool {
        let takes_back = self.preempts && mended == 0;
        let state = if takes_back { ": active (" } else { ": backup (" };
        self.machines[mended].reports(&[state]);
        let machine = &self.machines[mended];
        within(PATIENCE, &format!("{} could take over", machine.name()), || {
            !machine.status().contains("hold_down")
        });
        self.is_served_by(if takes_back { mended } else { 1 - mended });
        takes_back
    }

    /// What the client and the machines have seen since `start` is within the bound.
    #[track_caller]
    pub(crate) fn judge(&self, what: &str, bound: Bound, start: Instant) {
        let account = self.client.as_ref().expect("the client is at work").account(start);
        let together = self.holders.together(start);
        let nobody = self.lab.owners().longest_hole(VIP, start);
        let figures = [together, nobody].map(|span| span.as_millis());
        self.lab.note(format!(
            "{what}: {account}; both had it for {} ms, nobody for {} ms",
            figures[0], figures[1]
        ));
        assert!(account.longest_gap <= bound.gap, "{what}: {account}");
        assert!(account.failures() <= bound.failures, "{what}: {account}");
        assert!(together <= bound.together, "{what}: both had the address for {together:?}");
        assert!(nobody <= bound.nobody, "{what}: nobody had the address for {nobody:?}");
    }

    /// Whether a machine has no virtual address.
    pub(crate) fn is_free_of_it(&self, place: usize) -> bool {
        !self.machines[place].host().holds(VIP)
    }
}
