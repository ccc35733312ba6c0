//! A machine that has more to do than it can.

use std::net::Ipv4Addr;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::lab::{Agent, BOUND, Group, Holders, Lab, Meter, Process, VIP, VRID, within};

/// How many programs compute all the time.
const BUSY_LOOPS: u8 = 8;

/// For how long.
const SPAN: Duration = Duration::from_secs(20);

/// Rule: programs that take all of the processor time there is change no state, at an interval of
/// 100 ms as little as at one of a second.
pub(crate) fn of_the_processor(lab: &Lab) {
    let group = Group::new(lab, &[11, 12]);
    let other_vip = Ipv4Addr::new(10, 77, 0, 101);
    let config = group.config().set("advertisement_interval", "100ms");
    let config = config.instance("mail", VRID + 1, other_vip).set("advertisement_interval", "1s");
    let agents = [0, 1].map(|place| Agent::start(&group.nodes[place], &config));
    let node = &group.nodes[0];
    group.taken_over_by(node);
    within(2 * SPAN, "both addresses are on one node", || node.holds(VIP) && node.holds(other_vip));
    group.held_only_by(node);
    // The log may lag behind the address.
    within(BOUND, "both takeovers are told", || agents[0].log().matches("-> active").count() == 2);
    let changes = || agents.each_ref().map(|agent| agent.log().matches(" -> ").count());
    let before = changes();

    let holders = Holders::watch(&[node], VIP);
    let meter = Meter::start(&group.watcher, VIP);
    let start = Instant::now();
    let busy: Vec<Process> = (0..BUSY_LOOPS).map(|number| busy_loop(lab, number)).collect();
    sleep(SPAN);
    drop(busy);
    lab.note(format!("longest gap of the client {:?}", meter.longest_gap(start)));

    let logs = agents.each_ref().map(Agent::log).join("\n");
    assert_eq!(changes(), before, "state changes in\n{logs}");
    for vrid in [VRID, VRID + 1] {
        assert_eq!(group.tap.advertisers(vrid, start), [node.address()], "who advertises {vrid}");
    }
    assert_eq!(holders.changes(node, start), 0, "the lease was renewed in time");
    assert!(node.holds(VIP) && node.holds(other_vip), "the addresses stay where they are");
}

fn busy_loop(lab: &Lab, number: u8) -> Process {
    let log = lab.directory().join(format!("busy-{number}"));
    Process::start(Command::new("sh").args(["-c", "while :; do :; done"]), &log)
}
