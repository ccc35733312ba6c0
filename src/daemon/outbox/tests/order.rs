//! Rules for actions whose instances are not known.

use super::*;
use crate::engine::{Answer, HandoverAnswer, HandoverRefusal, HookOwner};

/// Rule (invariant 5, make before break): a preempting router's first advertisement goes out
/// after its addresses are there and announced.
#[test]
fn an_answer_keeps_its_order() {
    let mut outbox = Outbox::default();
    outbox.push(vec![add(1), add(2), announce(1), send(51, 200), send(52, 200)]);
    assert_eq!(done(&mut outbox), [changes(vec![add(1), add(2)])]);
    outbox.changes_done();
    let both = messages(vec![send(51, 200), send(52, 200)]);
    assert_eq!(done(&mut outbox), [frames(&[1]), both]);
}

/// Rule: the farewell of a router that does not go on answering is said when the kernel has
/// taken its addresses off.
#[test]
fn a_farewell_follows_the_removals() {
    let mut outbox = Outbox::default();
    outbox.push(vec![remove(1), remove(2), send(51, 0)]);
    assert_eq!(done(&mut outbox), [changes(vec![remove(1), remove(2)])]);
    outbox.changes_done();
    assert_eq!(done(&mut outbox), [messages(vec![send(51, 0)])]);
}

/// Bug guarded: a kernel that is slow to change an address must not silence the virtual
/// routers whose addresses stay.
#[test]
fn advertisements_do_not_wait_for_the_addresses_of_others() {
    let mut outbox = Outbox::default();
    outbox.push(vec![send(51, 100), add(1), announce(1)]);
    let first = [messages(vec![send(51, 100)]), changes(vec![add(1)])];
    assert_eq!(done(&mut outbox), first);
    outbox.push(vec![add(2), announce(2), send(52, 200)]);
    outbox.push(vec![send(51, 101)]);
    outbox.push(vec![send(53, 100), send(52, 201)]);
    // 52 has a message that waits, which the next one must not overtake.
    assert_eq!(done(&mut outbox), [messages(vec![send(51, 101), send(53, 100)])]);
    outbox.changes_done();
    assert_eq!(done(&mut outbox), [frames(&[1]), changes(vec![add(2)])]);
    outbox.changes_done();
    let last = messages(vec![send(52, 200), send(52, 201)]);
    assert_eq!(done(&mut outbox), [frames(&[2]), last]);
}

/// Rule: one virtual router's messages and one address's changes stay in order, whatever
/// answers they belong to; the end comes last.
#[test]
fn later_answers_do_not_overtake_on_the_same_ground() {
    let mut outbox = Outbox::default();
    outbox.push(vec![add(1), announce(1), send(51, 200)]);
    assert_eq!(done(&mut outbox), [changes(vec![add(1)])]);
    outbox.push(vec![send(51, 0)]);
    outbox.push(vec![remove(1), Action::Exit]);
    assert_eq!(done(&mut outbox), []);
    outbox.changes_done();
    let sends = messages(vec![send(51, 200), send(51, 0)]);
    let rest = [frames(&[1]), sends, changes(vec![remove(1)])];
    assert_eq!(done(&mut outbox), rest);
    outbox.changes_done();
    assert_eq!(done(&mut outbox), [Work::One(Action::Exit)]);
}

/// Bug guarded: an address that is added and removed while the kernel is busy must not be
/// announced after it has been removed.
#[test]
fn an_address_is_not_announced_after_its_removal() {
    let mut outbox = Outbox::default();
    outbox.push(vec![add(9)]);
    assert_eq!(done(&mut outbox), [changes(vec![add(9)])]);
    outbox.push(vec![add(1), announce(1)]);
    outbox.push(vec![remove(1)]);
    outbox.changes_done();
    assert_eq!(done(&mut outbox), [changes(vec![add(1)])]);
    outbox.changes_done();
    assert_eq!(done(&mut outbox), [frames(&[1]), changes(vec![remove(1)])]);
}

/// Bug guarded: while the kernel was busy with the addresses of a takeover, the hook that tells of it
/// waited; the engine took it for overdue, ended it, and began the next one. The end came to nothing,
/// the next one came first, and the older state was told last. Other owners' hooks do not wait.
#[test]
fn hooks_of_one_owner_stay_in_order() {
    let hook = |owner: &str, number| {
        let owner = HookOwner::Instance(owner.try_into().unwrap());
        Action::CancelHook { owner, number }
    };
    let mut outbox = Outbox::default();
    outbox.push(vec![add(1), hook("web", 1)]);
    assert_eq!(done(&mut outbox), [changes(vec![add(1)])]);
    outbox.push(vec![hook("web", 2)]);
    outbox.push(vec![hook("db", 7)]);
    assert_eq!(done(&mut outbox), [Work::One(hook("db", 7))]);
    outbox.changes_done();
    assert_eq!(done(&mut outbox), [1, 2].map(|number| Work::One(hook("web", number))));
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
    assert_eq!(done(&mut outbox), [changes(vec![add(1)])]);
    outbox.push(vec![watch("eth0", &[]), watch("eth1", &[2])]);
    assert_eq!(done(&mut outbox), []);
    outbox.push(vec![watch("eth1", &[3])]);
    outbox.push(vec![watch("eth2", &[4])]);
    assert_eq!(done(&mut outbox), [Work::One(watch("eth2", &[4]))]);
    outbox.changes_done();
    let rest = [("eth0", &[1][..]), ("eth0", &[]), ("eth1", &[2]), ("eth1", &[3])];
    assert_eq!(done(&mut outbox), rest.map(|(name, last)| Work::One(watch(name, last))));
}

/// Rule (invariant 4, write down, then touch): an address is added after what stands before it
/// has been written down, also where the kernel is busy with others.
#[test]
fn nothing_is_added_before_it_is_written_down() {
    let mut outbox = Outbox::default();
    outbox.push(vec![write_down(&[1]), add(1)]);
    assert_eq!(done(&mut outbox), [Work::One(write_down(&[1])), changes(vec![add(1)])]);
    outbox.push(vec![write_down(&[1, 2]), add(2)]);
    assert_eq!(done(&mut outbox), [Work::One(write_down(&[1, 2]))]);
    outbox.changes_done();
    assert_eq!(done(&mut outbox), [changes(vec![add(2)])]);
}

/// Bug guarded: an address that is held must not be missing in the file because an older list,
/// which waited for a removal, is written after a newer one.
#[test]
fn an_older_note_is_never_written_after_a_newer_one() {
    let mut outbox = Outbox::default();
    outbox.push(vec![remove(1), write_down(&[9])]);
    assert_eq!(done(&mut outbox), [changes(vec![remove(1)])]);
    // Of what follows a note that waits nothing overtakes it, but others' messages do.
    outbox.push(vec![send(52, 100), write_down(&[2]), add(2), announce(2), send(52, 200)]);
    outbox.push(vec![send(53, 100)]);
    assert_eq!(done(&mut outbox), [messages(vec![send(52, 100), send(53, 100)])]);
    outbox.changes_done();
    let notes = [Work::One(write_down(&[9])), Work::One(write_down(&[2]))];
    assert_eq!(done(&mut outbox)[..2], notes);
    outbox.changes_done();
    let last = messages(vec![send(52, 200)]);
    assert_eq!(done(&mut outbox), [frames(&[2]), last]);
}

/// Rule: notes are of single instances, so one that waits for another instance's removals holds up
/// no takeover.
#[test]
fn a_note_waits_for_those_of_its_own_instance() {
    let mut outbox = Outbox::default();
    outbox.push(vec![remove(1), write_down_of("web", &[9])]);
    outbox.push(vec![write_down_of("db", &[2]), add(2)]);
    let expected = [Work::One(write_down_of("db", &[2])), changes(vec![remove(1), add(2)])];
    assert_eq!(done(&mut outbox), expected);
    outbox.push(vec![write_down_of("web", &[1]), add(1)]);
    assert_eq!(done(&mut outbox), []);
    outbox.changes_done();
    let notes = [Work::One(write_down_of("web", &[9])), Work::One(write_down_of("web", &[1]))];
    let all: Vec<Work> = notes.into_iter().chain([changes(vec![add(1)])]).collect();
    assert_eq!(done(&mut outbox), all);
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
    assert_eq!(done(&mut outbox), [changes(vec![remove(1)])]);
    outbox.push(vec![answer(2)]);
    assert_eq!(done(&mut outbox), []);
    outbox.changes_done();
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
    outbox.changes_done();
    let batches: Vec<_> = done(&mut outbox)
        .into_iter()
        .filter_map(|work| match work {
            Work::Changes(batch) => Some(batch.len()),
            _ => None,
        })
        .collect();
    assert_eq!(batches, [199]);
}

/// Rule: what all answers of a turn have to send leaves at once; each router's messages stay in
/// their order, and a message that stands behind a frame leaves behind it (make before break).
#[test]
fn a_turns_messages_and_frames_are_grouped() {
    let report = Action::CancelProbe { track: "web".try_into().unwrap(), number: 1 };
    let mut outbox = Outbox::default();
    outbox.push(vec![send(51, 100), report.clone(), send(52, 100)]);
    outbox.push(vec![announce(3), send(53, 200), announce(4)]);
    outbox.push(vec![send(51, 101), send(53, 201)]);
    let expected = [
        messages(vec![send(51, 100), send(52, 100)]),
        frames(&[3, 4]),
        messages(vec![send(53, 200), send(51, 101), send(53, 201)]),
        Work::One(report),
    ];
    assert_eq!(done(&mut outbox), expected);
}

/// Bug guarded: a message that is taken in while others behind a frame are still to be handed out
/// must not overtake them.
#[test]
fn a_message_does_not_overtake_those_behind_a_frame() {
    let mut outbox = Outbox::default();
    outbox.push(vec![announce(1), send(51, 200)]);
    assert_eq!(outbox.next(), Some(frames(&[1])));
    outbox.push(vec![send(51, 0)]);
    assert_eq!(done(&mut outbox), [messages(vec![send(51, 200), send(51, 0)])]);
}
