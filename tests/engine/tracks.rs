//! Checks: when they look, what counts of what they see, and what that makes of an instance.

use vipd::engine::story::{StateName, TrackFailure};
use vipd::engine::timer::Timer;
use vipd::engine::{Action, Input, ProbeResult};
use vipd::model::{
    Config, FileCondition, FileProbe, Flap, IfAllFail, InstanceConfig, Preempt, Priority, Probe,
    TrackConfig, TrackName,
};
use vipd::time::Span;

use crate::node::{Node, engine_of, from_peer, instance, kinds, told};

pub(crate) fn name(text: &str) -> TrackName {
    TrackName::try_from(text).unwrap()
}

pub(crate) fn track(text: &str) -> TrackConfig {
    let path = "/run/ready".into();
    TrackConfig {
        name: name(text),
        probe: Probe::File(FileProbe { path, condition: FileCondition::Present }),
        interval: Span::from_secs(1),
        timeout: Span::from_millis(500),
        rise: 2,
        fall: 3,
        cost: None,
        flap: None,
    }
}

fn with(tracks: &[TrackConfig], instance: InstanceConfig) -> Config {
    let names = tracks.iter().map(|track| track.name.clone()).collect();
    let instances = vec![InstanceConfig { tracks: names, ..instance }];
    Config { instances, tracks: tracks.to_vec(), ..Config::default() }
}

pub(crate) fn look(actions: &[Action]) -> Option<(TrackName, u64)> {
    actions.iter().find_map(|action| match action {
        Action::Probe { track, number } => Some((track.clone(), *number)),
        _ => None,
    })
}

/// Lets time pass until a check looks; what was told until then is the second part.
fn next_look(node: &mut Node) -> (TrackName, u64, Vec<Action>) {
    let mut all = Vec::new();
    for _ in 0..1_000 {
        let actions = node.next();
        let looks = look(&actions);
        all.extend(actions);
        if let Some((track, number)) = looks {
            return (track, number, all);
        }
    }
    panic!("no check looks: {all:?}");
}

fn answer(node: &mut Node, track: &TrackName, number: u64, passed: bool) -> Vec<Action> {
    let result = if passed {
        ProbeResult::Passed("fine".to_owned())
    } else {
        ProbeResult::Failed("broken".to_owned())
    };
    node.tell(Input::Probed { track: track.clone(), number, result })
}

/// The next look ends so.
fn see(node: &mut Node, passed: bool) -> Vec<Action> {
    let (track, number, mut actions) = next_look(node);
    actions.extend(answer(node, &track, number, passed));
    actions
}

/// A node that is active with priority 100 and whose check passes.
fn healthy(track: &TrackConfig, config: InstanceConfig) -> Node {
    let mut node = engine_of(with(std::slice::from_ref(track), config));
    for _ in 0..20 {
        see(&mut node, true);
    }
    assert_eq!(node.state(), StateName::Active);
    node
}

/// Rule: a check that has never run counts as failing until it has passed `rise` times.
#[test]
fn a_check_must_pass_before_anything_is_claimed() {
    let mut node = engine_of(with(&[track("db")], instance(100)));
    assert_eq!(node.state(), StateName::Fault);
    let due = node.engine.next_deadline().unwrap();
    assert_eq!((due.at, due.why), (crate::now(node.millis).mono, Timer::Check), "it looks at once");
    see(&mut node, true);
    assert_eq!(node.state(), StateName::Fault);
    let actions = see(&mut node, true);
    let expected = "check db passes: fine\nfault -> backup: able to take part again";
    assert_eq!(told(&actions), expected);
}

/// Rule: `fall` failures in a row take the node out, with what the check found; one success begins
/// the count anew.
#[test]
fn failures_in_a_row_are_a_fault() {
    let mut node = healthy(&track("db"), instance(100));
    for passed in [false, false, true, false, false] {
        assert_eq!(told(&see(&mut node, passed)), "");
    }
    let actions = see(&mut node, false);
    let expected = "check db fails: broken\nactive -> fault: check db fails: broken";
    assert_eq!(told(&actions), expected);
    assert!(kinds(&actions).contains(&"priority 0") && kinds(&actions).contains(&"remove"));
    let status = node.status();
    assert_eq!(status.tracks[0].failure, Some(TrackFailure::Failed("broken".to_owned())));
    assert!(status.to_string().contains("check db (file) fails: broken"), "{status}");
}

/// Rule: a check that goes on failing for another reason says so once that has stayed `fall` times;
/// a reason that is a new one each time changes nothing.
#[test]
fn another_reason_that_stays_is_told() {
    let mut node = healthy(&track("db"), instance(100));
    (0..3).for_each(|_| drop(see(&mut node, false)));
    let mut fails = |why: &str| {
        let (track, number, mut actions) = next_look(&mut node);
        let result = ProbeResult::Failed(why.to_owned());
        actions.extend(node.tell(Input::Probed { track, number, result }));
        told(&actions)
    };
    for why in ["5 s behind", "6 s behind", "7 s behind", "a replica", "a replica"] {
        assert_eq!(fails(why), "", "{why}");
    }
    let expected = "check db fails: a replica\nstill fault: check db fails: a replica";
    assert_eq!(fails("a replica"), expected);
    assert_eq!(fails("a replica"), "");
}

/// Bug guarded: a start with many checks told of a fault with each first look: `still fault` and
/// the next check that had not looked yet, as a warning.
#[test]
fn a_start_with_many_checks_is_calm() {
    let names: Vec<String> = (0..20).map(|number| format!("check{number}")).collect();
    let tracks: Vec<TrackConfig> = names.iter().map(|name| track(name)).collect();
    let mut node = engine_of(with(&tracks, instance(100)));
    let mut reports = Vec::new();
    let mut answered = 0;
    while answered < 2 * tracks.len() {
        let mut actions = node.next();
        let looks: Vec<_> = actions
            .iter()
            .filter_map(|action| match action {
                Action::Probe { track, number } => Some((track.clone(), *number)),
                _ => None,
            })
            .collect();
        for (track, number) in looks {
            // The first one is broken.
            let passes = track.as_str() != "check0";
            actions.extend(answer(&mut node, &track, number, passes));
            answered += 1;
        }
        reports.extend(actions.into_iter().filter_map(|action| match action {
            Action::Report(event) if event.instance.is_some() => Some(event),
            _ => None,
        }));
    }
    let lines: Vec<String> = reports.iter().map(ToString::to_string).collect();
    assert_eq!(lines, ["still fault: check check0 fails: broken"]);
}

/// Rule: two looks of one check never run at once, and an answer that never comes is a failure.
/// Its answer, when it comes after all, changes nothing.
#[test]
fn a_look_that_never_ends_has_failed() {
    let mut node = engine_of(with(&[track("db")], instance(100)));
    let (db, number, _) = next_look(&mut node);
    let actions = node.next();
    assert_eq!(kinds(&actions)[0], "look away", "{actions:?}");
    assert!(told(&actions).contains("check db fails: no answer within 500 ms"), "{actions:?}");
    let again = look(&actions).expect("it looks again as soon as the last one is over");
    assert!(again.1 > number);
    assert_eq!(answer(&mut node, &db, number, true), []);
    assert_eq!(node.status().tracks[0].in_a_row, 1);
}

/// Rule: looks keep their beat, and the checks of a node spread over the interval.
#[test]
fn checks_spread_over_their_interval() {
    let names: Vec<String> = (0..100).map(|number| format!("check{number}")).collect();
    let tracks: Vec<TrackConfig> = names.iter().map(|name| track(name)).collect();
    let mut node = engine_of(with(&tracks, instance(100)));
    let start = node.millis;
    let mut slots = [0_u32; 20];
    while node.millis < start + 20_000 {
        let actions = node.next();
        for action in &actions {
            if let Action::Probe { track, number } = action {
                answer(&mut node, track, *number, true);
                if node.millis > start + 10_000 {
                    slots[usize::try_from(node.millis % 1_000 / 50).unwrap()] += 1;
                }
            }
        }
    }
    assert_eq!(slots.iter().sum::<u32>(), 1_000, "100 checks for 10 seconds: {slots:?}");
    assert!(slots.iter().all(|looks| *looks < 150), "they come together: {slots:?}");
}

/// Rule: a watcher makes a check look at once and again until it is sure, but however often it
/// stirs, not more often than every tenth of the interval.
#[test]
fn a_stirred_check_is_soon_sure() {
    let mut node = healthy(&track("db"), instance(100));
    let start = node.millis;
    for _ in 0..100 {
        node.tell(Input::Stirred { track: name("db") });
    }
    for _ in 0..3 {
        see(&mut node, false);
    }
    assert_eq!(node.state(), StateName::Fault);
    assert!(node.millis - start <= 1_000 / 10 * 3, "{} ms", node.millis - start);
    see(&mut node, true);
    assert!(node.millis - start > 1_000 / 2, "then it takes its time again");
    assert_eq!(node.tell(Input::Stirred { track: name("gone") }), []);
}

/// Rule: a check that changes too often counts as failing until it has been quiet.
#[test]
fn a_flapping_check_is_not_believed() {
    let flap = Flap { changes: 3, within: Span::from_secs(60), hold: Span::from_secs(10) };
    let db = TrackConfig { rise: 1, fall: 1, flap: Some(flap), ..track("db") };
    let mut node = healthy(&db, instance(100));
    let told = told(&[false, true, false].map(|passed| see(&mut node, passed)).concat());
    assert!(told.contains("check db is flapping, with 3 changes within 1 min 0 s"), "{told}");
    let quiet = node.millis + 1_000;
    while node.status().tracks[0].failure.is_some() {
        see(&mut node, true);
    }
    assert!(node.millis - quiet >= 10_000, "{} ms", node.millis - quiet);
    assert!(node.millis - quiet <= 11_000, "{} ms", node.millis - quiet);
}

/// Rule: a cost lowers the priority, which the others hear at once; when the check passes again it
/// is raised again.
#[test]
fn a_cost_lowers_the_priority() {
    let disk = TrackConfig { cost: Some(30), ..track("disk") };
    let mut node = healthy(&disk, instance(100));
    see(&mut node, false);
    see(&mut node, false);
    let actions = see(&mut node, false);
    assert!(told(&actions).contains("priority 100 -> 70: check disk fails and costs 30"));
    let advertised = actions.iter().rev().find_map(|action| match action {
        Action::Send { message, .. } => Some(message[2]),
        _ => None,
    });
    assert_eq!(advertised, Some(70));
    let status = node.status().to_string();
    let expected = "(priority 70 instead of 100: check disk fails and costs 30)";
    assert!(status.contains(expected), "{status}");
    see(&mut node, true);
    let actions = see(&mut node, true);
    assert!(told(&actions).contains("priority 70 -> 100: its checks pass"), "{}", told(&actions));
}

/// Bug guarded: a reload replaced a virtual router, and made its failing check a reason to let go at
/// once. It said farewell as one that goes on answering, and lost its addresses after that. Who does
/// not go on answering says farewell when the addresses are gone.
#[test]
fn a_replaced_router_whose_check_fails_lets_go_first() {
    let disk = TrackConfig { cost: Some(30), fall: 1, ..track("disk") };
    let mut node = healthy(&disk, instance(100));
    see(&mut node, false);
    assert_eq!(node.state(), StateName::Active);
    let virtual_router_id = 52.try_into().unwrap();
    let other = InstanceConfig { virtual_router_id, ..instance(100) };
    let config = Box::new(with(&[TrackConfig { cost: None, ..disk }], other));
    let kinds = kinds(&node.tell(Input::Reload { config }));
    let first = |kind| kinds.iter().position(|one| *one == kind).expect("one of them");
    assert!(first("remove") < first("priority 0"), "{kinds:?}");
}

/// Bug that would be: a check of a backup that comes and goes restarts the active-down timer each
/// time, so that nobody takes over from a dead router.
#[test]
fn a_changing_priority_does_not_put_a_takeover_off() {
    let disk = TrackConfig {
        cost: Some(30),
        rise: 1,
        fall: 1,
        interval: Span::from_millis(500),
        ..track("disk")
    };
    let mut node = healthy(&disk, instance(100));
    node.hear(from_peer(200));
    assert_eq!(node.state(), StateName::Backup);
    let start = node.millis;
    let mut passed = false;
    while node.state() == StateName::Backup {
        see(&mut node, passed);
        passed = !passed;
    }
    assert!(node.millis - start < 4_500, "{} ms", node.millis - start);
}

/// Bug that would be: a backup that was about to preempt, and whose priority sinks below the active
/// router's, takes over all the same.
#[test]
fn a_lowered_backup_does_not_preempt() {
    let disk = TrackConfig { cost: Some(30), fall: 1, ..track("disk") };
    let mut node = healthy(&disk, instance(100));
    node.hear(from_peer(200));
    for passed in [true, true, false] {
        node.hear(from_peer(90));
        see(&mut node, passed);
    }
    assert_eq!(node.status().instances[0].priority, Priority::try_from(70).unwrap());
    let end = node.millis + 2_000;
    while node.millis < end {
        node.next();
        assert_eq!(node.state(), StateName::Backup);
    }
}

fn keep(priority: u8) -> InstanceConfig {
    InstanceConfig { if_all_fail: IfAllFail::Keep, ..instance(priority) }
}

/// Rule: where the addresses are to be kept, a failing node goes on with a tenth of its priority.
#[test]
fn a_last_resort_goes_on() {
    let mut node = healthy(&track("db"), keep(200));
    see(&mut node, false);
    see(&mut node, false);
    let actions = see(&mut node, false);
    let expected = "priority 200 -> 20: a last resort, check db fails: broken";
    assert!(told(&actions).contains(expected), "{}", told(&actions));
    assert_eq!(node.state(), StateName::Active);
}

/// Rule: a node that starts claims nothing before its checks have looked, not even as a last
/// resort.
#[test]
fn an_untried_check_is_no_last_resort() {
    let mut node = engine_of(with(&[track("db")], keep(200)));
    assert_eq!(node.state(), StateName::Fault);
    see(&mut node, false);
    assert_eq!(node.state(), StateName::Backup);
    assert_eq!(node.status().instances[0].priority, Priority::try_from(20).unwrap());
}

/// Rule: a healthy node relieves a last resort within its skew time, whatever `preempt` says, and
/// answers before the other one lets go.
#[test]
fn a_healthy_node_relieves_a_last_resort() {
    for preempt in [Preempt::Never, Preempt::After(Span::from_secs(60)), Preempt::Always] {
        let mut node = healthy(&track("db"), InstanceConfig { preempt, ..keep(190) });
        node.hear(from_peer(200));
        assert_eq!(node.state(), StateName::Backup);
        node.hear(from_peer(20));
        let start = node.millis;
        let mut actions = Vec::new();
        while node.state() == StateName::Backup {
            actions = node.next();
        }
        assert!(node.millis - start < 300, "{preempt:?}: {} ms", node.millis - start);
        assert!(told(&actions).contains("preempting 10.0.0.11"), "{}", told(&actions));
        let add = kinds(&actions).iter().position(|kind| *kind == "add");
        assert!(add < kinds(&actions).iter().position(|kind| *kind == "advertise"));
    }
}

/// Rule: a reload leaves untouched checks alone, keeps what a changed one has found, takes a new
/// one for failing, and stops what is gone.
#[test]
fn checks_change_while_they_run() {
    let db = track("db");
    let mut node = healthy(&db, instance(100));
    let (_, number, _) = next_look(&mut node);
    let reload =
        |tracks: &[TrackConfig]| Input::Reload { config: Box::new(with(tracks, instance(100))) };
    assert_eq!(node.tell(reload(std::slice::from_ref(&db))), []);
    let slower = TrackConfig { timeout: Span::from_secs(1), ..db };
    let actions = node.tell(reload(std::slice::from_ref(&slower)));
    assert_eq!(actions, [Action::CancelProbe { track: name("db"), number }]);
    assert_eq!(node.state(), StateName::Active);
    assert_eq!(next_look(&mut node).0, name("db"), "it looks anew at once");
    let actions = node.tell(reload(&[slower, track("web")]));
    assert!(told(&actions).contains("active -> fault: check web has not passed yet"));
    let actions = node.tell(reload(&[]));
    assert!(kinds(&actions).contains(&"look away"), "{actions:?}");
    assert_eq!(node.state(), StateName::Backup);
    assert_eq!(node.status().tracks, []);
}

/// Rule: a daemon that stops looks at nothing any more.
#[test]
fn a_stop_ends_the_checks() {
    let mut node = healthy(&track("db"), instance(100));
    let (db, number, _) = next_look(&mut node);
    let actions = node.tell(Input::Stop);
    assert_eq!(kinds(&actions)[0], "look away");
    assert_eq!(answer(&mut node, &db, number, false), []);
    while node.engine.next_deadline().is_some() {
        assert_eq!(look(&node.next()), None);
    }
}

/// Rule: a suspended machine's look did not have its time: it is no failure.
#[test]
fn a_suspension_is_no_failure() {
    let mut node = healthy(&track("db"), instance(100));
    let (db, number, _) = next_look(&mut node);
    node.millis += 60_000;
    node.tell(Input::Resumed { length: Span::from_secs(60) });
    node.tell(Input::Deadline);
    assert_eq!(node.status().tracks[0].in_a_row, 20);
    answer(&mut node, &db, number, true);
    assert_eq!(node.status().tracks[0].in_a_row, 21);
}

/// Rule: what an operator sees of very many failing checks is bounded.
#[test]
fn the_status_of_many_failing_checks_is_short() {
    let names: Vec<String> = (0..300).map(|number| format!("check{number}")).collect();
    let tracks: Vec<TrackConfig> = names.iter().map(|name| track(name)).collect();
    let status = engine_of(with(&tracks, instance(100))).status().to_string();
    assert!(status.contains("check check3 (file) has not passed yet"), "{status}");
    assert!(status.ends_with("; 296 more checks fail"), "{status}");
}
