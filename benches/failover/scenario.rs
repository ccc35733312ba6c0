//! What is done to the active node, and what should come of it.

use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::figures::Trial;
use crate::lab::Lab;
use crate::router::{Kind, Settings};
use crate::stage::{Layout, Stage};

/// How long is waited for the end of most things: what does not end then is taken for endless.
const LIMIT: Duration = Duration::from_secs(35);

/// Longer than a client keeps an ARP entry that nobody answers for.
const ARP_LIMIT: Duration = Duration::from_secs(62);

/// The advertisement interval of most scenarios.
const INTERVAL: Duration = Duration::from_secs(1);

/// A common interval where a second is too slow.
const SHORT: Duration = Duration::from_millis(100);

/// The shortest interval of VRRPv3.
const SHORTEST: Duration = Duration::from_millis(10);

/// How long a process stands still.
const FROZEN: Duration = Duration::from_secs(10);

/// A client asks again for what it was only told by an announcement, after 5 s (`arp(7)`,
/// `delay_first_probe_time`). After the answer it believes in it for up to 45 s.
const BELIEVED: Duration = Duration::from_secs(8);

/// A row of the table.
pub(crate) struct Scenario {
    /// What happens, for the reader.
    pub(crate) name: &'static str,
    /// For a router that has nothing of the kind: why.
    pub(crate) leaves_out: Option<(Kind, &'static str)>,
    /// Plays it once.
    pub(crate) play: fn(&Lab, Kind) -> Trial,
}

/// All of them.
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario { name: "SIGKILL", leaves_out: None, play: sigkill },
    Scenario {
        name: "SIGKILL, then `vipd release`, as systemd runs it",
        leaves_out: Some((Kind::Keepalived, "it has no such command")),
        play: sigkill_and_release,
    },
    Scenario {
        name: "SIGSTOP for 10 s, then SIGCONT",
        leaves_out: None,
        play: |lab, kind| sigstop(lab, kind, INTERVAL),
    },
    Scenario {
        name: "SIGSTOP for 10 s, then SIGCONT, at an interval of 100 ms",
        leaves_out: None,
        play: |lab, kind| sigstop(lab, kind, SHORT),
    },
    Scenario {
        name: "SIGSTOP for 10 s, then SIGCONT, at an interval of 10 ms",
        leaves_out: None,
        play: |lab, kind| sigstop(lab, kind, SHORTEST),
    },
    Scenario { name: "SIGTERM", leaves_out: None, play: sigterm },
    Scenario { name: "planned handover", leaves_out: None, play: handover },
    Scenario { name: "link down", leaves_out: None, play: link_down },
    Scenario { name: "a partition heals", leaves_out: None, play: partition },
    Scenario { name: "the preferred node comes back", leaves_out: None, play: preemption },
    Scenario { name: "host death, at an interval of 10 ms", leaves_out: None, play: host_death },
];

/// All processes of the active router die; nothing else happens.
fn sigkill(lab: &Lab, kind: Kind) -> Trial {
    let stage = Stage::new(lab, kind, INTERVAL, Layout::OneSwitch);
    let (active, _other) = stage.start_both(stage.settings());
    let start = Instant::now();
    active.kill();
    stage.observe(start, &stage.other, LIMIT)
}

/// The same, and then `vipd release`.
fn sigkill_and_release(lab: &Lab, kind: Kind) -> Trial {
    let stage = Stage::new(lab, kind, INTERVAL, Layout::OneSwitch);
    let (active, _other) = stage.start_both(stage.settings());
    let start = Instant::now();
    active.kill_and_tidy_up(&stage.preferred)?;
    stage.observe(start, &stage.other, LIMIT)
}

/// All processes of the active router stand still for a while. In the end it is active again.
fn sigstop(lab: &Lab, kind: Kind, interval: Duration) -> Trial {
    let stage = Stage::new(lab, kind, interval, Layout::OneSwitch);
    let (active, _other) = stage.start_both(stage.settings());
    let start = Instant::now();
    active.signal_all(Signal::SIGSTOP);
    sleep(FROZEN);
    active.signal_all(Signal::SIGCONT);
    stage.observe(start, &stage.preferred, FROZEN + LIMIT)
}

/// The active router stops in an orderly way.
fn sigterm(lab: &Lab, kind: Kind) -> Trial {
    let stage = Stage::new(lab, kind, INTERVAL, Layout::OneSwitch);
    let (active, _other) = stage.start_both(stage.settings());
    let start = Instant::now();
    active.stop();
    stage.observe(start, &stage.other, LIMIT)
}

/// The operator has the address move to the other node.
fn handover(lab: &Lab, kind: Kind) -> Trial {
    let stage = Stage::new(lab, kind, INTERVAL, Layout::OneSwitch);
    // The node that gave the address away is not to take it back while we look.
    let settings = Settings { preempt: kind == Kind::Keepalived, ..stage.settings() };
    let (active, _other) = stage.start_both(settings);
    let start = Instant::now();
    active.hand_over(&stage.preferred, settings)?;
    stage.observe(start, &stage.other, LIMIT)
}

/// The active node's port at the switch goes down: it loses carrier.
fn link_down(lab: &Lab, kind: Kind) -> Trial {
    let stage = Stage::new(lab, kind, INTERVAL, Layout::OneSwitch);
    let _routers = stage.start_both(stage.settings());
    let start = Instant::now();
    stage.segment.cable(&stage.preferred, "down");
    stage.observe(start, &stage.other, LIMIT)
}

/// The link between two switches carries nothing until both nodes are active, then everything
/// again. The client has been with the node that loses.
fn partition(lab: &Lab, kind: Kind) -> Trial {
    let stage = Stage::new(lab, kind, INTERVAL, Layout::TwoSwitches);
    let _routers = stage.start_both(stage.settings());
    stage.segment.join(false);
    stage.both_are_active();
    sleep(BELIEVED);
    let start = Instant::now();
    stage.segment.join(true);
    stage.observe(start, &stage.preferred, ARP_LIMIT)
}

/// The preferred node starts while the other one is active, and takes the address.
fn preemption(lab: &Lab, kind: Kind) -> Trial {
    let stage = Stage::new(lab, kind, INTERVAL, Layout::OneSwitch);
    let _other = stage.start_other();
    stage.comes_to_rest_at(&stage.other);
    let start = Instant::now();
    let _preferred = stage.start_preferred(stage.settings());
    stage.observe(start, &stage.preferred, LIMIT)
}

/// The switch drops every frame of the active node.
fn host_death(lab: &Lab, kind: Kind) -> Trial {
    let stage = Stage::new(lab, kind, SHORTEST, Layout::OneSwitch);
    let _routers = stage.start_both(stage.settings());
    let start = Instant::now();
    stage.segment.partition(&stage.preferred);
    stage.observe_client(start, &stage.other, LIMIT)
}
