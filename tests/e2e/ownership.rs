//! The watch over the owners of the virtual address, watched itself: what it has to find is made
//! by hand, in a corner of the lab of its own.

use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::lab::{Agent, BOUND, Group, Host, Lab, VIP, within};
use crate::raw::{Raw, SOURCE};

/// Longer than a planned move may have two owners, or a takeover none.
const TOO_LONG: Duration = Duration::from_millis(1500);

/// A part that the watch finds fault with, and says this.
#[track_caller]
fn is_found(lab: &Lab, expected: &[&str], part: impl FnOnce(&Lab)) {
    let corner = Lab::watched("ownership");
    let verdict = corner.attempt_and_judge(|| part(&corner));
    let story = verdict.expect_err("the watch finds fault");
    assert!(expected.iter().all(|text| story.contains(text)), "{expected:?} in {story}");
    lab.note(story.lines().nth(1).unwrap_or_default());
}

/// A part that is as it should be.
#[track_caller]
fn is_in_order(part: impl FnOnce(&Lab)) {
    let corner = Lab::watched("ownership");
    let verdict = corner.attempt_and_judge(|| part(&corner));
    assert!(verdict.is_ok(), "{verdict:?}");
}

/// A command that the watch is not told of: the hand of nobody.
fn in_secret(host: &Host, command: &str) {
    let mut words = command.split_whitespace();
    let mut program = Command::new(words.next().expect("a command has a name"));
    let status = host.inside(|| program.args(words).status()).expect("it runs");
    assert!(status.success(), "{command}");
}

/// Rule: a second host with the address is found, with both names and how long it lasted.
pub(crate) fn two_owners(lab: &Lab) {
    is_found(lab, &["Overlap of 10.77.0.100: both ", "-12 has 10.77.0.100"], with_a_copy);
    is_in_order(|lab| {
        lab.owners().overlap(BOUND, "the copy is the case's own");
        with_a_copy(lab);
    });
}

fn with_a_copy(lab: &Lab) {
    let group = Group::new(lab, &[11, 12]);
    let _agent = Agent::start(&group.nodes[0], &group.config());
    group.taken_over_by(&group.nodes[0]);
    in_secret(&group.nodes[1], &format!("ip address add {VIP}/32 dev eth0"));
    sleep(TOO_LONG);
    in_secret(&group.nodes[1], &format!("ip address delete {VIP}/32 dev eth0"));
}

/// Rule: an owner that lets go while a backup is ready leaves no hole, however short. Here the
/// address goes with a daemon that nobody knows to be frozen, and comes back when the backup takes
/// over.
pub(crate) fn let_go_too_early(lab: &Lab) {
    is_found(lab, &["Hole of 10.77.0.100: ", " has let go of it and "], |lab| {
        let group = Group::new(lab, &[11, 12]);
        let first = Agent::start(&group.nodes[0], &group.config());
        let second = Agent::start(&group.nodes[1], &group.config());
        group.taken_over_by(&group.nodes[0]);
        second.reports(&["node11 (10.77.0.11) is active"]);
        sleep(TOO_LONG + TOO_LONG);
        let number = i32::try_from(first.id()).expect("a process number");
        kill(Pid::from_raw(number), Signal::SIGSTOP).expect("a signal");
        in_secret(&group.nodes[0], &format!("ip address delete {VIP}/24 dev eth0"));
        group.taken_over_by(&group.nodes[1]);
        sleep(TOO_LONG);
    });
}

/// Rule: a time without an owner is found where an agent says that it could take over. Here it
/// says so and cannot any more: nobody knows that it is frozen.
pub(crate) fn nobody_takes_over(lab: &Lab) {
    is_found(lab, &["Hole of 10.77.0.100: nobody owns it and ", " could take over"], |lab| {
        let group = Group::new(lab, &[11, 12]);
        let first = Agent::start(&group.nodes[0], &group.config());
        let second = Agent::start(&group.nodes[1], &group.config());
        group.taken_over_by(&group.nodes[0]);
        second.reports(&["node11 (10.77.0.11) is active"]);
        let number = i32::try_from(second.id()).expect("a process number");
        kill(Pid::from_raw(number), Signal::SIGSTOP).expect("a signal");
        first.kill();
        within(BOUND, "the lease ends", || !group.nodes[0].holds(VIP));
        sleep(TOO_LONG + TOO_LONG);
    });
}

/// Rule: a host that answers for an address that it does not have is found.
pub(crate) fn answers_of_others(lab: &Lab) {
    is_found(lab, &["Answer of 10.77.0.100: ", "-13 answers and does not have it"], |lab| {
        let group = Group::new(lab, &[11]);
        let _agent = Agent::start(&group.nodes[0], &group.config());
        group.taken_over_by(&group.nodes[0]);
        let stranger = group.segment.host(13);
        within(BOUND, "its link is up", || stranger.is_running("eth0"));
        let mut arp = [[0xff; 6], SOURCE].concat();
        arp.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 2]);
        for _ in 0..2 {
            arp.extend(SOURCE);
            arp.extend(VIP.octets());
        }
        assert!(Raw::open(&stranger).send(&arp));
        sleep(Duration::from_millis(200));
    });
}

/// Rule: a takeover, a planned move and a partition are in order as they are.
pub(crate) fn in_order(_: &Lab) {
    is_in_order(|lab| {
        let group = Group::new(lab, &[11, 12]);
        let first = Agent::start(&group.nodes[0], &group.config());
        let _second = Agent::start(&group.nodes[1], &group.config());
        group.taken_over_by(&group.nodes[0]);
        group.held_only_by(&group.nodes[0]);
        group.segment.partition(&group.nodes[0]);
        group.taken_over_by(&group.nodes[1]);
        sleep(TOO_LONG);
        group.segment.heal(&group.nodes[0]);
        group.taken_over_by(&group.nodes[0]);
        group.held_only_by(&group.nodes[0]);
        assert!(first.stop().success());
        group.taken_over_by(&group.nodes[1]);
    });
}
