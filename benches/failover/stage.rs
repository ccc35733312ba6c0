//! Where a trial is played: two nodes, and a client that asks for the address each millisecond.

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::figures::{Figures, Measure, Trial};
use crate::lab::{BOUND, Holders, Host, Lab, Meter, Responders, Segment, VIP, within};
use crate::router::{Kind, Router, Settings};

/// What lasts this long is the state that things have come to rest in.
const AT_REST: Duration = Duration::from_secs(2);

/// The priorities of the preferred node and of the other one, as the order of `nodes` gives them.
const PRIORITIES: [u8; 2] = [200, 190];

/// How often it is looked at whether things have come to rest.
const POLL: Duration = Duration::from_millis(20);

/// Where the hosts are connected.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// All at one switch.
    OneSwitch,
    /// The preferred node at one switch, the other node and the client at a second one.
    TwoSwitches,
}

/// The hosts and what watches them.
pub(crate) struct Stage {
    /// What joins them.
    pub(crate) segment: Segment,
    /// The node that is active while both are well.
    pub(crate) preferred: Host,
    /// The other one.
    pub(crate) other: Host,
    kind: Kind,
    interval: Duration,
    meter: Meter,
    holders: Holders,
    _responders: Responders,
    _client: Host,
}

impl Stage {
    /// The hosts, without routers.
    pub(crate) fn new(lab: &Lab, kind: Kind, interval: Duration, layout: Layout) -> Self {
        let segment = Segment::new(lab);
        segment.extend();
        let host = |number| match layout {
            Layout::OneSwitch => segment.host(number),
            Layout::TwoSwitches => segment.far_host(number),
        };
        let (preferred, other, client) = (segment.host(12), host(11), host(1));
        let nodes = [&preferred, &other];
        let responders = Responders::start(&nodes, VIP);
        let holders = Holders::watch(&nodes, VIP);
        let meter = Meter::start(&client, VIP);
        Self {
            segment,
            preferred,
            other,
            kind,
            interval,
            meter,
            holders,
            _responders: responders,
            _client: client,
        }
    }

    /// The nodes, the preferred one first.
    fn nodes(&self) -> [&Host; 2] {
        [&self.preferred, &self.other]
    }

    /// How the preferred node's router is set up.
    pub(crate) fn settings(&self) -> Settings {
        Settings { interval: self.interval, priority: PRIORITIES[0], preempt: true }
    }

    /// Starts the preferred node's router.
    pub(crate) fn start_preferred(&self, settings: Settings) -> Router {
        Router::start(self.kind, &self.preferred, self.nodes(), settings)
    }

    /// Starts the other node's router.
    pub(crate) fn start_other(&self) -> Router {
        let settings = Settings { priority: PRIORITIES[1], ..self.settings() };
        Router::start(self.kind, &self.other, self.nodes(), settings)
    }

    /// Starts both and waits until the preferred one serves the client, and a bit longer: what
    /// comes then should not find an interval always at the same place.
    pub(crate) fn start_both(&self, settings: Settings) -> (Router, Router) {
        let routers = (self.start_preferred(settings), self.start_other());
        self.comes_to_rest_at(&self.preferred);
        sleep(self.interval.mul_f64(fastrand::f64()));
        routers
    }

    /// Waits until `host` alone has the address and serves the client.
    pub(crate) fn comes_to_rest_at(&self, host: &Host) {
        within(BOUND * 2, &format!("{} serves the client", host.address()), || {
            self.rests_at(host, true)
        });
    }

    /// Waits until both nodes have the address, each for itself, and the client, at the other
    /// node's switch, is served by that one.
    pub(crate) fn both_are_active(&self) {
        within(BOUND * 2, "each node is active on its side", || {
            self.rests_at(&self.other, false) && self.holders.now().len() == 2
        });
        sleep(self.interval.mul_f64(fastrand::f64()));
    }

    fn rests_at(&self, host: &Host, alone: bool) -> bool {
        self.meter.steadily_served_by(host.number(), AT_REST)
            && (!alone || self.holders.now() == [host.number()])
    }

    /// Waits until `to` alone has the address and serves the client, or `limit` has passed, and
    /// says what was seen since `start`.
    pub(crate) fn observe(&self, start: Instant, to: &Host, limit: Duration) -> Trial {
        self.outcome(start, to, limit, true)
    }

    /// The same where the other node is out of reach: what it has is of no interest.
    pub(crate) fn observe_client(&self, start: Instant, to: &Host, limit: Duration) -> Trial {
        self.outcome(start, to, limit, false)
    }

    fn outcome(&self, start: Instant, to: &Host, limit: Duration, alone: bool) -> Trial {
        while !self.rests_at(to, alone) && start.elapsed() < limit {
            sleep(POLL);
        }
        let gap = self.meter.longest_gap(start);
        let served = self.meter.steadily_served_by(to.number(), AT_REST);
        let elsewhere = [&self.preferred, &self.other]
            .into_iter()
            .find(|host| !served && self.meter.steadily_served_by(host.number(), AT_REST));
        if let Some(host) = elsewhere {
            let (wanted, found) = (to.address(), host.address());
            return Err(format!("after {limit:?} the client is served by {found}, not {wanted}"));
        }
        let holders = self.holders.now();
        if alone && served && holders.len() == 1 && holders != [to.number()] {
            return Err(format!("after {limit:?} host {holders:?} has the address"));
        }
        let span = self.holders.together(start);
        let together = alone.then_some(Measure { span, goes_on: holders.len() > 1 });
        Ok(Figures { gap: Measure { span: gap, goes_on: !served }, together })
    }
}
