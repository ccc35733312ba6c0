//! Standby: the operator takes instances out of the election and puts them back.

use vipd::engine::story::StateName;
use vipd::engine::{
    Action, Answer, HandoverRefusal, HookOwner, Input, Link, ProbeResult, Standby, StandbyAnswer,
};
use vipd::model::{Config, InstanceConfig, InstanceName, Notify, Phase, VirtualAddress};
use vipd::time::Span;

use crate::groups;
use crate::node::{
    Node, engine_of, eth0, from_peer, instance, kinds, link, now, told, virtual_address,
};

const REQUEST: u64 = 7;

fn name(text: &str) -> InstanceName {
    InstanceName::try_from(text).unwrap()
}

fn out(instance: Option<&str>, force: bool) -> Input {
    Input::Standby { request: REQUEST, instance: instance.map(name), force }
}

fn online(instance: Option<&str>) -> Input {
    Input::Online { request: REQUEST, instance: instance.map(name) }
}

fn named(names: &[&str]) -> Standby {
    Standby { node: false, instances: names.iter().map(|text| name(text)).collect() }
}

fn whole_node() -> Standby {
    Standby { node: true, ..Standby::default() }
}

fn answers(actions: &[Action]) -> Vec<StandbyAnswer> {
    let answer = |action: &Action| match action {
        Action::Answer { request: REQUEST, answer: Answer::Standby(answer) } => {
            Some(answer.clone())
        }
        _ => None,
    };
    actions.iter().filter_map(answer).collect()
}

#[track_caller]
fn answer(actions: &[Action]) -> StandbyAnswer {
    let [answer] = &answers(actions)[..] else { panic!("not one answer: {actions:?}") };
    answer.clone()
}

/// Lets time pass until the request is answered; with all that happened until then.
#[track_caller]
fn until_answered(node: &mut Node) -> Vec<Action> {
    let mut all = Vec::new();
    for _ in 0..100 {
        all.extend(node.next());
        if !answers(&all).is_empty() {
            return all;
        }
    }
    panic!("no answer: {all:?}");
}

fn states(node: &Node) -> Vec<StateName> {
    node.status().instances.iter().map(|instance| instance.state).collect()
}

/// An instance with another virtual router and address.
fn other(text: &str, number: u8) -> InstanceConfig {
    InstanceConfig {
        name: name(text),
        virtual_router_id: number.try_into().unwrap(),
        addresses: vec![VirtualAddress { address: [10, 0, 0, number].into(), ..virtual_address() }],
        ..instance(100)
    }
}

fn config(instances: Vec<InstanceConfig>) -> Config {
    Config { instances, ..Config::default() }
}

fn reload(node: &mut Node, config: Config) -> Vec<Action> {
    node.tell(Input::Reload { config: Box::new(config) })
}

/// Hours of silence make nobody active.
#[track_caller]
fn stays_out(node: &mut Node) {
    for _ in 0..100 {
        node.millis += 60_000;
        node.tell(Input::Deadline);
        assert!(!states(node).contains(&StateName::Active), "{:?}", states(node));
    }
}

/// Rule: a backup is out at once, says so with its reason, and claims nothing from then on; put
/// back it takes part as after a start.
#[test]
fn a_backup_is_out_at_once() {
    let mut node = Node::new(instance(100));
    let actions = node.tell(out(Some("web"), false));
    assert_eq!(kinds(&actions), ["report", "report", "answer"]);
    let expected = "backup -> standby: taken out by the operator";
    assert!(told(&actions).starts_with(expected), "{}", told(&actions));
    let StandbyAnswer { standby, moved, refused } = answer(&actions);
    assert_eq!((standby, moved.len(), refused.len()), (named(&["web"]), 0, 0));
    assert!(node.status().instances[0].standby);
    stays_out(&mut node);

    let actions = node.tell(online(Some("web")));
    assert!(told(&actions).contains("standby -> backup: able to take part again"));
    assert_eq!(answer(&actions).standby, Standby::default());
    node.next();
    assert_eq!(node.state(), StateName::Active);
}

/// Invariant 5: an active instance keeps its address until the successor is heard; the answer
/// names that one. What is out never was a preempting backup meanwhile.
#[test]
fn an_active_instance_hands_over_first() {
    let mut node = Node::active(100);
    let actions = node.tell(out(Some("web"), false));
    assert_eq!(kinds(&actions), ["priority 0", "report"]);
    assert_eq!(node.state(), StateName::Active);
    node.millis += 500;
    let actions = node.hear(from_peer(50));
    let answered = answer(&actions);
    assert_eq!(answered.standby, named(&["web"]));
    assert_eq!(answered.moved[0].1.as_ref().unwrap().to_string(), "10.0.0.11");
    assert!(kinds(&actions).contains(&"remove"), "{actions:?}");
    assert_eq!(node.state(), StateName::Standby);
    let lines = answered.to_string();
    assert_eq!(lines, "web: 10.0.0.11 has the addresses now\non standby: web");
    stays_out(&mut node);
}

/// Rule: where nobody takes over, nothing changes, the segment is told who has the address, and the
/// operator why and what would do it all the same.
#[test]
fn nobody_takes_over() {
    let mut node = Node::active(100);
    node.tell(out(Some("web"), false));
    let actions = until_answered(&mut node);
    assert!(!kinds(&actions).contains(&"remove"), "{actions:?}");
    assert!(kinds(&actions).contains(&"announce"), "{actions:?}");
    let answered = answer(&actions);
    assert_eq!(answered.standby, Standby::default());
    assert_eq!(answered.refused, [(name("web"), HandoverRefusal::Unclaimed)]);
    assert!(answered.to_string().contains("(--force gives them up all the same)"));
    assert_eq!(node.state(), StateName::Active);
    assert!(!node.status().instances[0].standby);
}

/// Rule: by force it goes although nobody takes over, after everybody had the chance, and the
/// answer does not claim that somebody has.
#[test]
fn by_force_it_goes_all_the_same() {
    let mut node = Node::active(100);
    assert!(answers(&node.tell(out(Some("web"), true))).is_empty(), "others have their chance");
    let actions = until_answered(&mut node);
    assert!(kinds(&actions).contains(&"remove"), "{actions:?}");
    let answered = answer(&actions);
    assert_eq!(answered.standby, named(&["web"]));
    assert_eq!(answered.moved, [(name("web"), None)]);
    assert!(answered.to_string().contains("has heard nobody take them"), "{answered}");
    assert_eq!(node.state(), StateName::Standby);
    stays_out(&mut node);
}

/// Rule: what is not there is refused with what is.
#[test]
fn unknown_names_are_refused() {
    let mut node = Node::new(instance(100));
    for input in [out(Some("wbe"), true), online(Some("wbe"))] {
        let answered = answer(&node.tell(input));
        let known = HandoverRefusal::NoSuchInstance(vec![name("web")]);
        assert_eq!(answered.refused, [(name("wbe"), known)]);
        assert_eq!(answered.standby, Standby::default());
    }
}

/// Rule: the addresses of an owner are its own: it cannot leave them, and the node not as a whole.
#[test]
fn an_owner_cannot_go() {
    let owner =
        InstanceConfig { name: name("own"), priority: 255.try_into().unwrap(), ..other("own", 77) };
    let mut node = engine_of(config(vec![instance(100), owner]));
    let answered = answer(&node.tell(out(None, true)));
    assert_eq!(answered.refused, [(name("own"), HandoverRefusal::AddressOwner)]);
    assert_eq!(answered.standby, named(&["web"]));
    assert_eq!(states(&node), [StateName::Standby, StateName::Active]);
}

/// Rule: a sync group goes and comes as a whole, whichever member is named, and no member is in
/// fault because of another one that is on standby, not for a moment.
#[test]
fn a_group_goes_and_comes_as_a_whole() {
    let mut node = groups::active_group();
    let actions = node.tell(out(Some("lan"), false));
    assert_eq!(kinds(&actions).iter().filter(|kind| **kind == "priority 0").count(), 2);
    node.millis += 500;
    let actions = node.hear(from_peer(50));
    assert_eq!(answers(&actions), [], "the other segment has nobody yet");
    let actions = groups::hear_on_lan(&mut node, 50);
    let answered = answer(&actions);
    assert_eq!(answered.standby, named(&["lan", "web"]));
    assert_eq!(answered.moved.len(), 2);
    assert!(answered.moved.iter().all(|(_, peer)| peer.is_some()), "{answered:?}");
    assert_eq!(states(&node), [StateName::Standby; 2]);

    let actions = node.tell(online(Some("web")));
    assert_eq!(answer(&actions).standby, Standby::default());
    assert!(!told(&actions).contains("fault"), "{}", told(&actions));
    assert_eq!(states(&node), [StateName::Backup; 2]);
}

/// Rule: where one segment of a group has nobody who takes over, nothing is on standby.
#[test]
fn a_group_without_a_successor_stays() {
    let mut node = groups::active_group();
    node.tell(out(Some("web"), false));
    let answered = answer(&until_answered(&mut node));
    assert_eq!(answered.refused.len(), 1);
    assert_eq!(answered.standby, Standby::default());
    assert_eq!(states(&node), [StateName::Active; 2]);
}

/// Bug guarded: where one member may not go, the other one was handed over all the same, although
/// the answer said that nothing had changed.
#[test]
fn a_group_with_one_that_may_not_go_is_left_alone() {
    let mut config = groups::config();
    config.instances[1].notify = Notify {
        programs: [(Phase::BeforeClaim, vec!["/hooks/before".to_owned()])].into(),
        timeout: Span::from_secs(10),
        ..Notify::default()
    };
    let mut node = groups::group_of(config);
    node.next();
    assert_eq!(states(&node), [StateName::Active; 2]);
    let actions = node.tell(out(Some("web"), true));
    // All of them wait for the hook of one.
    assert_eq!(answer(&actions).refused, [(name("web"), HandoverRefusal::Pending)]);
    assert_eq!(kinds(&actions), ["answer"]);
    assert!(node.status().instances.iter().all(|instance| !instance.leaving));
}

/// Rule: the whole node goes: what is active hands over, the rest is out at once, and what a reload
/// brings is out from the start. Put back one by one, the others stay out.
#[test]
fn the_whole_node() {
    let mut node = engine_of(config(vec![instance(100), other("mail", 61)]));
    node.next();
    node.tell(out(None, false));
    node.millis += 500;
    node.hear(from_peer(50));
    // Nobody has taken the other one over.
    let answered = answer(&until_answered(&mut node));
    assert_eq!(answered.refused, [(name("mail"), HandoverRefusal::Unclaimed)]);
    assert_eq!(answered.standby, named(&["web"]), "what has moved stays out");

    node.tell(out(None, true));
    let answered = answer(&until_answered(&mut node));
    assert_eq!(answered.standby, whole_node());
    assert_eq!(states(&node), [StateName::Standby; 2]);

    reload(&mut node, config(vec![instance(100), other("mail", 61), other("new", 62)]));
    assert_eq!(states(&node), [StateName::Standby; 3]);
    stays_out(&mut node);

    let answered = answer(&node.tell(online(Some("mail"))));
    assert_eq!(answered.standby, named(&["new", "web"]));
    let expected = [StateName::Standby, StateName::Backup, StateName::Standby];
    assert_eq!(states(&node), expected);
    let answered = answer(&node.tell(online(None)));
    assert_eq!(answered.standby, Standby::default());
    assert_eq!(states(&node), [StateName::Backup; 3]);
}

/// Bug guarded: an instance that a reload brings while the whole node is on its way out, and that
/// has become active by the end of that, must hand over too and not just let go.
#[test]
fn what_comes_meanwhile_is_led_out_too() {
    let mut web = instance(100);
    web.notify = before_release();
    let mut node = engine_of(config(vec![web.clone()]));
    node.next();
    let actions = node.tell(out(None, false));
    let number = hook(&actions);
    reload(&mut node, config(vec![web, other("mail", 61)]));
    while states(&node) != [StateName::Active; 2] {
        node.next();
    }
    end_hook(&mut node, number);
    node.millis += 500;
    let actions = node.hear(from_peer(50));
    assert_eq!(answers(&actions), [], "mail still waits for somebody");
    assert!(node.status().instances[1].leaving);
    let answered = answer(&until_answered(&mut node));
    assert_eq!(answered.refused, [(name("mail"), HandoverRefusal::Unclaimed)]);
    assert_eq!(states(&node), [StateName::Standby, StateName::Active]);
}

/// Rule: a reload that changes or replaces what is on standby leaves it there; what goes and comes
/// back is still out.
#[test]
fn a_reload_puts_nothing_back() {
    let mut node = Node::new(instance(100));
    node.tell(out(Some("web"), false));
    let changed = InstanceConfig { priority: 150.try_into().unwrap(), ..instance(100) };
    reload(&mut node, config(vec![changed]));
    assert_eq!(states(&node), [StateName::Standby]);
    let replaced = InstanceConfig { virtual_router_id: 99.try_into().unwrap(), ..instance(100) };
    reload(&mut node, config(vec![replaced]));
    assert_eq!(states(&node), [StateName::Standby]);
    reload(&mut node, config(Vec::new()));
    reload(&mut node, config(vec![instance(100)]));
    assert_eq!(states(&node), [StateName::Standby]);
    stays_out(&mut node);
}

/// Rule: one that the configuration has no more can be forgotten by its name.
#[test]
fn what_is_gone_can_be_forgotten() {
    let mut node = Node::new(instance(100));
    node.tell(out(Some("web"), false));
    reload(&mut node, config(Vec::new()));
    let answered = answer(&node.tell(online(Some("web"))));
    assert_eq!((answered.standby, answered.refused), (Standby::default(), Vec::new()));
}

/// Rule: what was out before a restart is out before anything is known of the interfaces, and never
/// takes part.
#[test]
fn what_was_out_before_a_start_is_out() {
    for kept in [Some("web"), None] {
        let mut node = Node::unlinked(config(vec![instance(100)]));
        node.tell(out(kept, true));
        let actions = node.tell(Input::Link { interface: eth0(), link: Some(link()) });
        assert!(!told(&actions).contains("backup"), "{}", told(&actions));
        assert_eq!(node.state(), StateName::Standby);
        stays_out(&mut node);
    }
}

/// Rule: a stop while it is under way ends it: the daemon leaves as in any stop, and the operator
/// hears that nothing of this will be remembered.
#[test]
fn a_stop_calls_it_off() {
    let mut node = Node::active(100);
    node.tell(out(Some("web"), true));
    assert!(answers(&node.tell(Input::Stop)).is_empty());
    node.millis += 500;
    let actions = node.hear(from_peer(50));
    let answered = answer(&actions);
    assert_eq!(answered.refused, [(name("web"), HandoverRefusal::CalledOff)]);
    assert_eq!(answered.standby, Standby::default());
    assert!(kinds(&actions).contains(&"exit"), "{actions:?}");
}

/// Rule: a fault while it is under way takes the address away; it is on standby all the same.
#[test]
fn a_fault_does_not_stop_it() {
    let mut node = Node::active(100);
    node.tell(out(Some("web"), false));
    let actions = node.tell(Input::Link { interface: eth0(), link: None });
    let answered = answer(&actions);
    assert_eq!(
        (answered.standby, &answered.moved[..]),
        (named(&["web"]), &[(name("web"), None)][..])
    );
    assert_eq!(node.state(), StateName::Standby);
}

/// Rule: who is put back while it is on its way out stays in: what was asked for last counts, and
/// who asked first hears of it.
#[test]
fn online_calls_it_off() {
    let ask = |instance| Input::Online { request: 8, instance };
    for back in [ask(Some(name("web"))), ask(None)] {
        let mut node = engine_of(config(vec![instance(100), other("mail", 61)]));
        node.next();
        node.tell(out(None, true));
        let actions = node.tell(back.clone());
        let all = matches!(back, Input::Online { instance: None, .. });
        let actions = if all { actions } else { until_answered(&mut node) };
        let answered = answer(&actions);
        let called_off = |text| (name(text), HandoverRefusal::CalledOff);
        if all {
            assert_eq!(answered.refused, [called_off("web"), called_off("mail")]);
            assert_eq!(answered.standby, Standby::default());
        } else {
            assert_eq!(answered.refused, [called_off("web")]);
            assert_eq!(answered.standby, named(&["mail"]));
        }
    }
}

fn before_release() -> Notify {
    Notify {
        programs: [(Phase::BeforeRelease, vec!["/hooks/before".to_owned()])].into(),
        timeout: Span::from_secs(60),
        ..Notify::default()
    }
}

/// The number of the one hook that was started.
#[track_caller]
fn hook(actions: &[Action]) -> u64 {
    let number = actions.iter().find_map(|action| match action {
        Action::Hook { number, .. } => Some(*number),
        _ => None,
    });
    number.expect("a hook was started")
}

fn end_hook(node: &mut Node, number: u64) -> Vec<Action> {
    let result = ProbeResult::Passed(String::new());
    node.tell(Input::Hooked { owner: HookOwner::Instance(name("web")), number, result })
}

/// Rule: what a handover waits for, standby waits for.
#[test]
fn it_waits_for_before_release() {
    let mut node = Node::new(InstanceConfig { notify: before_release(), ..instance(100) });
    node.next();
    let actions = node.tell(out(Some("web"), false));
    assert!(!kinds(&actions).contains(&"priority 0"), "{actions:?}");
    let number = hook(&actions);
    assert_eq!(kinds(&end_hook(&mut node, number))[..1], ["priority 0"]);
    node.millis += 500;
    let answered = answer(&node.hear(from_peer(50)));
    assert_eq!(answered.standby, named(&["web"]));
}

/// Rule: one that is about to take the addresses does not go: nobody could take over from it yet.
#[test]
fn one_that_is_pending_is_refused() {
    let notify = Notify {
        programs: [(Phase::BeforeClaim, vec!["/hooks/before".to_owned()])].into(),
        timeout: Span::from_secs(60),
        ..Notify::default()
    };
    let mut node = Node::new(InstanceConfig { notify, ..instance(100) });
    node.next();
    let answered = answer(&node.tell(out(Some("web"), true)));
    assert_eq!(answered.refused, [(name("web"), HandoverRefusal::Pending)]);
}

/// Bug guarded: from a fault to standby and back is a change of state: it has its time, its place
/// among the last changes, and its line.
#[test]
fn standby_and_fault_are_two_states() {
    let mut node = Node::new(instance(100));
    let down = || Some(Link { carrier: false, ..link() });
    node.tell(Input::Link { interface: eth0(), link: down() });
    node.millis += 1_000;
    let actions = node.tell(out(Some("web"), false));
    assert!(told(&actions).contains("fault -> standby: taken out"), "{}", told(&actions));
    node.millis += 1_000;
    let actions = node.tell(online(Some("web")));
    let expected = "standby -> fault: link eth0 has no carrier";
    assert!(told(&actions).contains(expected), "{}", told(&actions));
    let status = node.status().instances[0].clone();
    assert_eq!(status.since, now(node.millis).wall);
    let last: Vec<_> = status.transitions.iter().rev().take(2).map(|t| (t.from, t.to)).collect();
    let (fault, standby) = (StateName::Fault, StateName::Standby);
    assert_eq!(last, [(standby, fault), (fault, standby)]);
}

/// Rule: asked twice, the second answer says the same, and nothing happens.
#[test]
fn asked_again_nothing_happens() {
    let mut node = Node::new(instance(100));
    let first = answer(&node.tell(out(None, false)));
    let actions = node.tell(out(None, false));
    assert_eq!(kinds(&actions), ["answer"]);
    assert_eq!(answer(&actions), first);
    assert_eq!(first.standby, whole_node());
}

/// Bug guarded: `online` took the request for standby back, and the handover that it had begun went
/// on: the node gave its address away and did not preempt who had it. Now it stays, and says so.
#[test]
fn online_calls_off_what_is_under_way() {
    let mut node = Node::active(100);
    node.tell(out(Some("web"), false));
    node.next();
    let actions = node.tell(online(Some("web")));
    assert_eq!(kinds(&actions)[..3], ["advertise", "announce", "announce"], "{actions:?}");
    assert!(told(&actions).starts_with("not handed over: it was called off"));
    let [back, called_off] = &answers(&actions)[..] else { panic!("{actions:?}") };
    assert_eq!((&back.standby, back.refused.len()), (&Standby::default(), 0));
    assert_eq!(called_off.refused, [(name("web"), HandoverRefusal::CalledOff)]);
    assert!(!node.status().instances[0].leaving);
    // It defends its address, and hears nothing of a successor any more.
    node.millis += 600;
    assert!(!kinds(&node.hear(from_peer(50))).contains(&"remove"));
    assert_eq!(node.state(), StateName::Active);
}

/// The same while `before_release` runs: it ends, and nothing follows from that.
#[test]
fn online_calls_off_what_waits_for_a_hook() {
    let mut web = instance(100);
    web.notify = before_release();
    let mut node = engine_of(config(vec![web]));
    node.next();
    let number = hook(&node.tell(out(None, false)));
    let actions = node.tell(online(None));
    assert_eq!(answers(&actions).len(), 2, "{actions:?}");
    assert!(!kinds(&actions).contains(&"priority 0"), "{actions:?}");
    end_hook(&mut node, number);
    assert_eq!(node.state(), StateName::Active);
    assert!(!node.status().instances[0].leaving);
}

/// The same where one member of a sync group has found its successor already: it takes its address
/// back, as a node that preempts does after its standby.
#[test]
fn online_brings_a_whole_group_back() {
    let mut node = groups::active_group();
    node.tell(out(Some("lan"), false));
    node.millis += 500;
    node.hear(from_peer(50));
    assert_eq!(states(&node), [StateName::Backup, StateName::Active]);
    let actions = node.tell(online(Some("lan")));
    assert_eq!(states(&node), [StateName::Active; 2], "{}", told(&actions));
    assert_eq!(answers(&actions).len(), 2);
}

/// Rule: who stops goes, whatever comes after.
#[test]
fn online_does_not_call_off_a_stop() {
    let mut node = Node::active(100);
    node.tell(out(Some("web"), false));
    node.tell(Input::Stop);
    node.tell(online(Some("web")));
    assert!(node.status().instances[0].leaving);
    node.millis += 500;
    assert!(kinds(&node.hear(from_peer(50))).contains(&"exit"));
}
