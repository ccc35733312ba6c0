//! Frames that have to be refused: a refused frame changes nothing but a counter.

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::forgery::Forgery;
use crate::lab::{Agent, BOUND, Group, Lab, VIP, VRID, within};

/// Ours, in centiseconds.
const INTERVAL: u16 = 20;

/// Rule: an active node neither yields to wrong advertisements of a higher priority nor advertises
/// less because of them: keepalived does, and falls silent.
pub(crate) fn active_is_unmoved(lab: &Lab) {
    let group = Group::new(lab, &[11]);
    let node = &group.nodes[0];
    let _agent = Agent::start(node, &group.config());
    group.taken_over_by(node);
    for forgery in Forgery::all_wrong(INTERVAL) {
        let start = Instant::now();
        let sent = || {
            let all = group.tap.advertisements();
            all.iter().filter(|seen| seen.at >= start && seen.source == node.address()).count()
        };
        // Five intervals' worth, several frames in each.
        for _ in 0..20 {
            forgery.send(&group.watcher);
            sleep(Duration::from_millis(50));
        }
        assert!(node.holds(VIP), "it yielded to an advertisement with {}", forgery.defect);
        assert!(sent() >= 3, "{} advertisements while it got some with {}", sent(), forgery.defect);
    }
    // The counter-check: the same without a defect is obeyed.
    within(BOUND, "it yields to a valid advertisement of a higher priority", || {
        Forgery::valid(INTERVAL).send(&group.watcher);
        !node.holds(VIP)
    });
}

/// Rule: wrong advertisements don't keep a backup waiting: the active-down timer runs on.
pub(crate) fn backup_is_unmoved(lab: &Lab) {
    let group = Group::new(lab, &[11]);
    let node = &group.nodes[0];
    let _agent = Agent::start(node, &group.config());
    let valid = Forgery::valid(INTERVAL);
    let until = Instant::now() + Duration::from_secs(2);
    while Instant::now() < until {
        valid.send(&group.watcher);
        assert!(!node.holds(VIP), "it is the backup of a valid active router");
        sleep(Duration::from_millis(50));
    }
    let start = Instant::now();
    within(BOUND, "it takes over although wrong advertisements go on", || {
        for forgery in Forgery::all_wrong(INTERVAL) {
            forgery.send(&group.watcher);
        }
        group.tap.advertisers(VRID, start).contains(&node.address().into())
    });
    lab.note(format!("took over after {:?}", start.elapsed()));
    group.held_only_by(node);
}
