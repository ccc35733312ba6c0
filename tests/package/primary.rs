//! A pair of databases whose address follows the one that takes writes: its page tells how it is
//! promoted and how the other one returns, and a client on a third machine writes without pause.

use std::time::{Duration, Instant};

use super::lab::within;
use super::ledger::Ledger;
use super::page::Page;
use super::pair::{Bound, NO_TIME, Pair};

/// Far longer than a database needs to stop, copy or catch up.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the client may notice, the operator's part included: the test acts as soon as the status
/// says what is wrong.
const BOUND: Bound = Bound { gap: PROMOTED, failures: 4000, together: NO_TIME, nobody: PROMOTED };

/// The time that the operator's part may take.
const PROMOTED: Duration = Duration::from_secs(25);

/// The pair with what was written to it.
pub(crate) struct Primary<'a> {
    pub(crate) pair: Pair<'a>,
    pub(crate) page: Page,
    pub(crate) ledger: Ledger,
    /// Kills the database of a machine, and leaves vipd alone.
    pub(crate) kill: &'static str,
    /// Prints the numbers of all rows.
    pub(crate) rows: &'static str,
    /// Succeeds once a replica has all that its primary acknowledges.
    pub(crate) replicates: &'static str,
    /// The program that makes a machine a replica of the one at the address that it is given.
    pub(crate) follow: &'static str,
    /// What the status says of a database that is dead, and of one that is a replica.
    pub(crate) dead: &'static str,
    pub(crate) replica: &'static str,
}

impl Primary<'_> {
    /// All that happens to it, beginning with the database of the first machine as the primary.
    pub(crate) fn moves_about(mut self) {
        self.pair
            .lab
            .owners()
            .hole(PROMOTED, "no address without a primary: the operator promotes");
        self.becomes_synchronous(0);
        self.pair.machines[0].reports(&["db: active (priority 200) with "]);
        self.pair.machines[1].reports(&["db: fault (", self.replica]);
        self.is_killed();
        self.is_switched_over();
        self.is_killed();
    }

    /// Rule: when the primary is killed its machine lets go of the address and says why; the address
    /// is at the promoted one, which has all that was acknowledged.
    fn is_killed(&mut self) {
        self.moves("primary killed", |pair, _, old, kill, dead| {
            pair.machines[old].does(kill);
            pair.machines[old].reports(&[": fault (", dead]);
            assert!(pair.is_free_of_it(old), "a machine with a dead primary keeps the address");
        });
    }

    /// Rule: a switchover as the page has it loses nothing either.
    fn is_switched_over(&mut self) {
        self.moves("switchover", |pair, page, old, _, _| {
            page.on_occasion("demote", &pair.machines[old]);
        });
    }

    fn moves(&mut self, what: &str, act: impl FnOnce(&Pair<'_>, &Page, usize, &str, &str)) {
        let (start, old) = (Instant::now(), self.pair.active());
        let new = 1 - old;
        self.ledger.goes_on();
        act(&self.pair, &self.page, old, self.kill, self.dead);
        let (demoted, machines) = (start.elapsed(), &self.pair.machines);
        self.page.on_occasion("promote", &machines[new]);
        let promoted = start.elapsed();
        self.pair.is_served_by(new);
        let served = start.elapsed();
        self.nothing_is_lost(what, start);
        self.returns(old);
        let names = [old, new].map(|place| self.pair.machines[place].name());
        let (count, servers) = self.ledger.since(start);
        self.pair.lab.note(format!(
            "{what}: {count} writes acknowledged; the old one is out after {demoted:?}, the new one \
             promoted after {promoted:?}, and serves alone for half a second after {served:?}"
        ));
        assert_eq!(servers, names, "{what}: none goes to the old one once the new one serves");
        self.pair.judge(what, BOUND, start);
        self.nothing_is_lost(what, start);
    }

    /// The old primary comes back as a replica, which is no place for the address.
    fn returns(&self, old: usize) {
        let machines = &self.pair.machines;
        let source = machines[1 - old].host().address();
        machines[old].does(&format!("{} {source}", self.follow));
        self.becomes_synchronous(1 - old);
        machines[old].reports(&[": fault (", self.replica]);
        self.pair.is_served_by(1 - old);
    }

    /// From now on this primary acknowledges what its replica has, too.
    fn becomes_synchronous(&self, primary: usize) {
        let machine = &self.pair.machines[primary];
        let replicates = || machine.run(self.replicates).success;
        within(PATIENCE, "the replica has caught up", replicates);
        self.page.on_occasion("synchronous", machine);
    }

    /// Every acknowledged write is in the database that has the address.
    #[track_caller]
    fn nothing_is_lost(&self, what: &str, start: Instant) {
        let (count, _) = self.ledger.since(start);
        assert!(count > 0, "{what}: nobody has acknowledged anything");
        let active = &self.pair.machines[self.pair.active()];
        let lost = self.ledger.lost_by(|| active.does(self.rows));
        assert_eq!(lost, [0; 0], "{what}: acknowledged and lost");
    }
}
