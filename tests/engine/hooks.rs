//! Hooks: who is told what, in which order, and what waits for them.

use vipd::engine::story::StateName;
use vipd::engine::{Action, HookCall, HookOwner, HookTarget, Input, Link, ProbeResult};
use vipd::model::{Config, InstanceConfig, Notify, Phase, Preempt};
use vipd::time::Span;

use crate::node::{Node, eth0, from_peer, instance, kinds, link, told};

pub(crate) fn notify(phases: &[Phase]) -> Notify {
    let program = |phase: &Phase| (*phase, vec![format!("/hooks/{phase}")]);
    Notify {
        programs: phases.iter().map(program).collect(),
        timeout: Span::from_secs(10),
        verify_interval: Span::from_secs(30),
        retries: 2,
        ..Notify::default()
    }
}

/// A node with these hooks that has just started.
fn node(phases: &[Phase]) -> Node {
    Node::new(InstanceConfig { notify: notify(phases), ..instance(100) })
}

/// The hooks that were started: their numbers and calls.
pub(crate) fn started(actions: &[Action]) -> Vec<(u64, &HookCall)> {
    let hooks = actions.iter().filter_map(|action| match action {
        Action::Hook { number, call, .. } => Some((*number, call.as_ref())),
        _ => None,
    });
    hooks.collect()
}

/// The one that was started: its number, its program and keepalived's words.
#[track_caller]
pub(crate) fn one(actions: &[Action]) -> (u64, String) {
    let [(number, call)] = started(actions)[..] else { panic!("not one hook: {actions:?}") };
    let HookTarget::Program { command, .. } = &call.target else { panic!("{call:?}") };
    (number, format!("{} {}", command[0], call.event.arguments().join(" ")))
}

fn end(node: &mut Node, number: u64, failure: Option<&str>) -> Vec<Action> {
    let text = failure.unwrap_or("done").to_owned();
    let result =
        if failure.is_some() { ProbeResult::Failed(text) } else { ProbeResult::Passed(text) };
    let owner = HookOwner::Instance("web".try_into().unwrap());
    node.tell(Input::Hooked { owner, number, result })
}

fn carrier(node: &mut Node, carrier: bool) -> Vec<Action> {
    let link = Some(Link { carrier, ..link() });
    node.tell(Input::Link { interface: eth0(), link })
}

/// Lets time pass until a hook is started; with everything that happened until then.
fn next_hook(node: &mut Node) -> Vec<Action> {
    let mut all = Vec::new();
    for _ in 0..1_000 {
        all.extend(node.next());
        if !started(&all).is_empty() {
            return all;
        }
    }
    panic!("no hook: {all:?}");
}

/// Rule: one after the other, in the order of the changes, with the words that a program for
/// keepalived expects.
#[test]
fn programs_run_in_the_order_of_the_changes() {
    let mut node = node(&[Phase::Script, Phase::AfterClaim]);
    // What the start has begun: the first hook has the number 1.
    assert_eq!(end(&mut node, 1, None), []);
    let actions = node.next();
    let place = |what| kinds(&actions).iter().position(|kind| *kind == what);
    assert!(place("add") < place("hook"), "after the addresses: {actions:?}");
    let (number, words) = one(&actions);
    assert_eq!(words, "/hooks/after_claim INSTANCE web MASTER 100");
    let (_, words) = one(&end(&mut node, number, None));
    assert_eq!(words, "/hooks/script INSTANCE web MASTER 100");
}

/// Rule: whoever was active is told that its addresses are gone in whatever way that came, a fault too,
/// and before it is told of the fault.
#[test]
fn a_fault_of_an_active_node_releases_first() {
    let mut node = node(&[Phase::AfterRelease, Phase::OnFault]);
    node.next();
    assert_eq!(node.state(), StateName::Active);
    let (number, words) = one(&carrier(&mut node, false));
    assert_eq!(words, "/hooks/after_release INSTANCE web FAULT 100");
    let (_, words) = one(&end(&mut node, number, None));
    assert_eq!(words, "/hooks/on_fault INSTANCE web FAULT 100");
}

/// Bug guarded: keepalived runs them at the same time, and the last one to end wins. Here a slow
/// one is followed by the last state, and what came between is left out.
#[test]
fn the_last_state_is_told_last() {
    let mut node = node(&[Phase::Script]);
    node.next();
    assert_eq!(node.state(), StateName::Active);
    for up in [false, true, false, true, false] {
        assert_eq!(started(&carrier(&mut node, up)), []);
    }
    // Number 1 tells the start.
    let (number, words) = one(&end(&mut node, 1, None));
    assert_eq!(words, "/hooks/script INSTANCE web FAULT 100");
    assert_eq!(started(&end(&mut node, number, None)), []);
    assert_eq!(node.status().instances[0].counters.hooks_superseded, 5);
}

/// Rule: what fails is tried again, after pauses that grow, and what came of it is in the status
/// until it goes well.
#[test]
fn a_failed_hook_is_tried_again() {
    let mut node = node(&[Phase::OnFault]);
    let (number, _) = one(&carrier(&mut node, false));
    let start = node.millis;
    let failed = end(&mut node, number, Some("exit code 3: no route"));
    assert_eq!(told(&failed), "hook on_fault failed: exit code 3: no route; trying again");
    let (number, _) = one(&next_hook(&mut node));
    assert_eq!(node.millis - start, 1_000);
    end(&mut node, number, Some("exit code 3: no route"));
    let (number, _) = one(&next_hook(&mut node));
    assert_eq!(node.millis - start, 3_000);
    let failed = end(&mut node, number, Some("exit code 3: no route"));
    assert_eq!(told(&failed), "hook on_fault failed: exit code 3: no route");
    let status = node.status().to_string();
    assert!(status.contains("; hook on_fault failed at "), "{status}");
    assert!(status.ends_with(" UTC: exit code 3: no route"), "{status}");
    assert_eq!(node.status().instances[0].counters.hooks_failed, 3);
}

/// Bug guarded: a hook that failed after a change of state was tried again, and told the state from
/// before, where a reload had taken the hooks away meanwhile: nothing newer waited.
#[test]
fn an_older_state_is_not_told_again() {
    let mut node = node(&[Phase::Script]);
    let without = Config { instances: vec![instance(100)], ..node.engine.config() };
    let with = node.engine.config();
    node.tell(Input::Reload { config: Box::new(without) });
    node.next();
    assert_eq!(node.state(), StateName::Active);
    node.tell(Input::Reload { config: Box::new(with) });
    // Number 1 tells the start.
    let mut actions = end(&mut node, 1, Some("exit code 1"));
    let later = node.millis + 60_000;
    while node.millis < later {
        actions.extend(node.next());
    }
    assert_eq!(started(&actions), []);
    assert_eq!(told(&actions), "hook script failed: exit code 1");
}

/// Rule: after silence the election is won at once, so that no other backup starts the same; the
/// addresses come when the program has ended, however it ended.
#[test]
fn before_claim_holds_back_the_addresses() {
    for failure in [None, Some("exit code 1")] {
        let mut node = node(&[Phase::BeforeClaim, Phase::AfterClaim]);
        let actions = node.next();
        assert_eq!(kinds(&actions)[..2], ["report", "advertise"], "{actions:?}");
        assert!(!kinds(&actions).contains(&"add"), "{actions:?}");
        let (number, _) = one(&actions);
        let status = node.status().to_string();
        assert!(status.contains("; waiting for before_claim to end"), "{status}");
        // It goes on advertising, and says nothing of addresses that it does not have.
        let actions = node.next();
        assert_eq!(kinds(&actions), ["advertise"]);
        let actions = end(&mut node, number, failure);
        let kinds = kinds(&actions);
        assert!(kinds.contains(&"add") && kinds.contains(&"announce"), "{actions:?}");
        assert_eq!(one(&actions).1, "/hooks/after_claim INSTANCE web MASTER 100");
    }
}

/// Never a gap: a live router that is preempted is not relieved before this one answers.
#[test]
fn before_claim_is_silent_where_another_router_serves() {
    let mut node = node(&[Phase::BeforeClaim]);
    node.hear(from_peer(50));
    let actions = next_hook(&mut node);
    assert!(!kinds(&actions).contains(&"advertise"), "{actions:?}");
    let (number, _) = one(&actions);
    for _ in 0..3 {
        node.millis += 1_000;
        let actions = node.tell(Input::Deadline);
        assert_eq!(kinds(&actions), [""; 0]);
        assert_eq!(kinds(&node.hear(from_peer(50))), [""; 0]);
    }
    let kinds = kinds(&end(&mut node, number, None));
    let place = |what| kinds.iter().position(|kind| *kind == what);
    assert!(
        place("add") < place("announce") && place("announce") < place("advertise"),
        "{kinds:?}"
    );
}

/// Never a gap: where the router that is to be preempted leaves meanwhile, the others hear of this
/// one.
#[test]
fn a_farewell_ends_the_silence() {
    let mut node = node(&[Phase::BeforeClaim]);
    node.hear(from_peer(50));
    next_hook(&mut node);
    let actions = node.hear(from_peer(0));
    assert_eq!(kinds(&actions), ["advertise"]);
}

/// Never two owners: a better router ends a pending election, and what its hook does then is
/// nobody's business.
#[test]
fn a_pending_election_that_was_overtaken_comes_to_nothing() {
    let mut node = node(&[Phase::BeforeClaim]);
    let (number, _) = one(&node.next());
    node.hear(from_peer(200));
    assert_eq!(node.state(), StateName::Backup);
    assert_eq!(kinds(&end(&mut node, number, None)), [""; 0]);
}

/// Bug guarded: the end of the program for a claim that was overtaken let the next claim have the
/// addresses, before the program had run for that one.
#[test]
fn each_pending_election_waits_for_its_own_hook() {
    let mut node = node(&[Phase::BeforeClaim]);
    let (first, _) = one(&node.next());
    for _ in 0..2 {
        node.hear(from_peer(200));
        while node.state() != StateName::Active {
            node.next();
        }
    }
    let actions = end(&mut node, first, None);
    let (second, _) = one(&actions);
    assert_eq!(kinds(&actions), ["hook"]);
    assert!(kinds(&end(&mut node, second, None)).contains(&"add"), "the one between is left out");
}

/// Bug guarded: a hook of which nothing is heard any more must not keep the addresses away for ever.
#[test]
fn a_hook_that_never_ends_is_not_waited_for() {
    let mut node = node(&[Phase::BeforeClaim]);
    node.next();
    let start = node.millis;
    let actions = loop {
        let actions = node.next();
        if kinds(&actions).contains(&"add") {
            break actions;
        }
    };
    assert_eq!(node.millis - start, 11_000, "its timeout and a second more");
    assert_eq!(kinds(&actions).iter().filter(|kind| **kind == "cancel hook").count(), 1);
    let expected = "hook before_claim failed: it has not ended within 10 s";
    assert!(told(&actions).contains(expected), "{}", told(&actions));
}

/// Rule: a planned departure waits, with the addresses, and a second request does not.
#[test]
fn before_release_holds_back_a_departure() {
    let mut node = node(&[Phase::BeforeRelease]);
    node.next();
    let actions = node.tell(Input::Stop);
    let (number, _) = one(&actions);
    assert_eq!(told(&actions), "leaves once before_release has ended");
    assert_eq!(kinds(&node.next()), ["add"], "the lease is renewed");
    assert_eq!(kinds(&node.next())[0], "advertise", "it goes on");
    let actions = end(&mut node, number, None);
    assert_eq!(kinds(&actions)[0], "priority 0", "{actions:?}");
    assert!(!kinds(&actions).contains(&"remove"), "make before break: {actions:?}");

    let mut impatient = self::node(&[Phase::BeforeRelease]);
    impatient.next();
    impatient.tell(Input::Stop);
    let kinds = kinds(&impatient.tell(Input::Stop));
    assert!(kinds.contains(&"remove") && kinds.contains(&"cancel hook"), "{kinds:?}");
    assert_eq!(kinds.last(), Some(&"exit"), "{kinds:?}");
}

/// Rule: whoever has let go has nothing to leave: a stop that waits for its hook is done when a
/// better router is active, and does not take over again meanwhile.
#[test]
fn a_better_router_ends_a_departure() {
    let mut node = node(&[Phase::BeforeRelease]);
    node.next();
    let (number, _) = one(&node.tell(Input::Stop));
    let actions = node.hear(from_peer(200));
    assert!(kinds(&actions).contains(&"remove"), "{actions:?}");
    assert_eq!(node.state(), StateName::Stopped, "{}", told(&actions));
    assert_eq!(kinds(&end(&mut node, number, None)), ["exit"]);
}

/// Bug guarded: a stop during a handover that nobody took let go of the addresses, and the router
/// went on advertising until the hook of the stop had ended.
#[test]
fn a_stop_during_a_handover_is_the_end() {
    let mut node = node(&[Phase::BeforeRelease]);
    node.next();
    let instance = "web".try_into().unwrap();
    let (number, _) = one(&node.tell(Input::Handover { request: 1, instance, to: None }));
    end(&mut node, number, None);
    node.tell(Input::Stop);
    while node.state() != StateName::Stopped {
        node.next();
    }
    let mut last = kinds(&node.next());
    while last.last() != Some(&"exit") {
        assert!(!last.contains(&"advertise"), "{last:?}");
        last = kinds(&node.next());
    }
}

/// Rule: a stop ends when everybody has been told of it; nothing is tried again then.
#[test]
fn a_stop_waits_until_it_was_told() {
    let mut node = node(&[Phase::Script]);
    end(&mut node, 1, None);
    let actions = node.tell(Input::Stop);
    let (number, words) = one(&actions);
    assert_eq!(words, "/hooks/script INSTANCE web STOP 100");
    assert!(!kinds(&actions).contains(&"exit"), "{actions:?}");
    assert_eq!(kinds(&end(&mut node, number, Some("exit code 1"))), ["report", "exit"]);
}

/// Rule: where `verify` says that the addresses are elsewhere, the segment is told again, and the
/// hooks of a takeover run again; while it agrees nothing happens.
#[test]
fn what_is_not_here_is_claimed_anew() {
    let mut node = node(&[Phase::Verify, Phase::AfterClaim]);
    let (number, _) = one(&node.next());
    end(&mut node, number, None);
    let start = node.millis;
    let (number, words) = one(&next_hook(&mut node));
    assert_eq!(
        (node.millis - start, words.as_str()),
        (30_000, "/hooks/verify INSTANCE web MASTER 100")
    );
    assert_eq!(kinds(&end(&mut node, number, None)), [""; 0]);
    let (number, _) = one(&next_hook(&mut node));
    let actions = end(&mut node, number, Some("exit code 1: it is db2's"));
    let expected = "verify says that the addresses are not here: exit code 1: it is db2's; \
                    claiming them anew";
    assert_eq!(told(&actions), expected);
    assert!(kinds(&actions).contains(&"announce"), "{actions:?}");
    assert_eq!(one(&actions).1, "/hooks/after_claim INSTANCE web MASTER 100");
    carrier(&mut node, false);
    node.millis += 120_000;
    assert_eq!(started(&node.tell(Input::Deadline)), [], "only while it is active");
}

/// Rule: whoever was active beside this node for longer than a takeover explains, and yields, has
/// lost a conflict; one that was relieved has not.
#[test]
fn a_conflict_that_was_won_is_told() {
    let mut node = node(&[Phase::OnConflictWon]);
    node.hear(from_peer(50));
    while node.state() != StateName::Active {
        node.next();
    }
    node.hear(from_peer(50));
    assert_eq!(started(&node.hear(from_peer(0))), [], "it was relieved");
    node.millis += 60_000;
    node.tell(Input::Deadline);
    node.hear(from_peer(50));
    let (_, words) = one(&node.hear(from_peer(0)));
    assert_eq!(words, "/hooks/on_conflict_won INSTANCE web MASTER 100");
}

/// Rule: the pipe and the webhook get each change beside the programs, and do not wait for them;
/// the line in the pipe is keepalived's.
#[test]
fn the_pipe_does_not_wait_for_the_programs() {
    let hooks = Notify {
        fifo: Some("/run/events".into()),
        webhook: Some("http://10.0.0.1/".to_owned()),
        ..notify(&[Phase::Script])
    };
    let config = InstanceConfig { notify: hooks, preempt: Preempt::Never, ..instance(100) };
    let mut node = Node::new(config);
    let ends: Vec<_> = [1, 2].map(|number| end(&mut node, number, None)).concat();
    assert_eq!(started(&ends), [], "the start was told to the pipe and the webhook");
    let actions = node.next();
    let targets: Vec<&HookTarget> =
        started(&actions).into_iter().map(|(_, call)| &call.target).collect();
    assert!(matches!(targets[..], [HookTarget::Fifo(_), HookTarget::Webhook(_)]), "{targets:?}");
    let (_, call) = started(&actions)[0];
    assert_eq!(call.event.line(), "INSTANCE \"web\" MASTER 100\n");
}

/// Bug guarded: an instance that a reload takes away and another one brings back gave its hooks the same
/// numbers again, so that a late answer to one of before was taken for the new one's.
#[test]
fn who_comes_back_numbers_its_hooks_anew() {
    let with_hook = InstanceConfig { notify: notify(&[Phase::Script]), ..instance(100) };
    let mut node = Node::new(with_hook.clone());
    let mut numbers = Vec::new();
    let reload = |node: &mut Node, instances: Vec<InstanceConfig>| {
        let config = Config { instances, ..Config::default() };
        node.tell(Input::Reload { config: Box::new(config) })
    };
    for _ in 0..3 {
        numbers.extend(started(&next_hook(&mut node)).iter().map(|(number, _)| *number));
        reload(&mut node, Vec::new());
        node.millis += 60_000;
        node.tell(Input::Deadline);
        reload(&mut node, vec![with_hook.clone()]);
    }
    let mut distinct = numbers.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), numbers.len(), "{numbers:?}");
}
