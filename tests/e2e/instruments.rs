//! What measures the agents, measured itself: hosts on which we move the address by hand.

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::lab::{BOUND, Group, Holders, Host, Lab, Meter, VIP, stalled, within};

/// How long the address is away, or at two places.
const SPAN: Duration = Duration::from_millis(300);

/// How much longer a busy machine makes it look.
const NOISE: Duration = Duration::from_millis(500);

/// Rule: the client's longest gap is the time that nobody had the address, and what was before is
/// not counted; an address that is there all the time has no gap.
pub(crate) fn gap(lab: &Lab) {
    let group = Group::new(lab, &[11]);
    let node = &group.nodes[0];
    let meter = Meter::start(&group.watcher, VIP);
    address(node, "add");
    within(BOUND, "the client is served", || meter.steadily_served_by(11, SPAN));
    let start = Instant::now();
    address(node, "delete");
    sleep(SPAN);
    address(node, "add");
    let away = start.elapsed();
    within(BOUND, "the client is served again", || meter.steadily_served_by(11, SPAN));
    let gap = meter.longest_gap(start);
    lab.note(format!("{gap:?} instead of {SPAN:?} to {away:?}"));
    let least = SPAN.saturating_sub(stalled(start));
    assert!(gap >= least && gap < away + NOISE, "{gap:?}, not {least:?} to {away:?}");
    let later = meter.longest_gap(Instant::now());
    assert!(later < SPAN, "{later:?} after the gap");
}

/// Rule: the time of two holders is the time that two hosts had the address.
pub(crate) fn two_holders(lab: &Lab) {
    let group = Group::new(lab, &[11, 12]);
    let [one, two] = [0, 1].map(|place| &group.nodes[place]);
    let holders = Holders::watch(&[one, two], VIP);
    let start = Instant::now();
    address(one, "add");
    sleep(SPAN);
    let mut times = Vec::new();
    for _ in 0..2 {
        let begin = Instant::now();
        address(two, "add");
        within(BOUND, "both hold it", || holders.now() == [11, 12]);
        sleep(SPAN);
        address(two, "delete");
        within(BOUND, "one holds it", || holders.now() == [11]);
        times.push(begin.elapsed());
    }
    let (all, longest) = (holders.together(start), holders.longest_together(start));
    lab.note(format!("{all:?} instead of {:?}, {longest:?} instead of {SPAN:?}", SPAN * 2));
    let least = SPAN.saturating_sub(stalled(start));
    let most: Duration = times.iter().sum();
    assert!(
        longest >= least && times.iter().any(|time| longest <= *time),
        "{longest:?} of {times:?}"
    );
    assert!(all >= least * 2 && all <= most, "{all:?} of {times:?}");
    assert_eq!(holders.together(Instant::now()), Duration::ZERO);
}

fn address(host: &Host, change: &str) {
    host.run(&format!("ip address {change} {VIP}/24 dev eth0"));
}
