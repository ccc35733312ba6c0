//! How a node stops being active: invariant 5, make before break.

use vipd::engine::story::StateName;
use vipd::engine::{Action, Answer, HandoverAnswer, HandoverRefusal, Input};
use vipd::model::{Config, InstanceConfig, InstanceName, Node as ConfiguredNode, NodeName};
use vipd::time::Span;

use crate::node::{Node, OURS, PEER, engine_of, from_peer, instance, kinds, told};

fn name(text: &str) -> NodeName {
    NodeName::try_from(text).unwrap()
}

/// An active node of the group `left`, `right`; it is `left`.
fn active() -> Node {
    let of = |text, address| ConfiguredNode { name: name(text), address, others: Vec::new() };
    let config = Config {
        this_node: Some(name("left")),
        nodes: vec![of("left", OURS), of("right", PEER)],
        instances: vec![instance(100)],
        ..Config::default()
    };
    let mut node = engine_of(config);
    node.next();
    assert_eq!(node.state(), StateName::Active);
    node
}

fn handover(to: Option<&str>) -> Input {
    let instance = InstanceName::try_from("web").unwrap();
    Input::Handover { request: 7, instance, to: to.map(name) }
}

fn answer(actions: &[Action]) -> Option<HandoverAnswer> {
    actions.iter().find_map(|action| match action {
        Action::Answer { request: 7, answer: Answer::Handover(answer) } => Some(answer.clone()),
        _ => None,
    })
}

/// Rule: an orderly stop says so with priority 0, twice, and answers for the address until the
/// next one is heard.
#[test]
fn a_stop_waits_for_the_successor() {
    let mut node = Node::active(100);
    assert_eq!(kinds(&node.tell(Input::Stop)), ["priority 0", "report"]);
    assert_eq!(kinds(&node.next()), ["priority 0"]);
    node.millis += 300;
    let actions = node.hear(from_peer(50));
    assert_eq!(kinds(&actions), ["remove", "report", "report", "write down", "watch", "exit"]);
    assert!(told(&actions).ends_with("active -> stopped: the daemon stops"), "{}", told(&actions));
    assert_eq!(node.engine.next_deadline(), None);
}

/// Rule: where nobody takes over, a stop proceeds after a bound and leaves no address behind.
#[test]
fn a_lonely_stop_ends() {
    let mut node = Node::active(100);
    let start = node.millis;
    node.tell(Input::Stop);
    let actions = loop {
        let actions = node.next();
        if kinds(&actions).contains(&"exit") {
            break actions;
        }
    };
    assert_eq!(kinds(&actions), ["remove", "report", "write down", "watch", "exit"]);
    assert!(node.millis - start < 2_000, "{} ms", node.millis - start);
}

/// Rule: whoever asks twice wants it now.
#[test]
fn a_second_stop_does_not_wait() {
    let mut node = Node::active(100);
    node.tell(Input::Stop);
    let actions = node.tell(Input::Stop);
    assert_eq!(kinds(&actions), ["remove", "priority 0", "report", "write down", "watch", "exit"]);
}

/// Rule: a backup has nothing to wait for.
#[test]
fn a_backup_stops_at_once() {
    let mut node = Node::new(instance(100));
    assert_eq!(kinds(&node.tell(Input::Stop)), ["report", "exit"]);
}

/// Rule: a handover keeps the address until the other node is heard, answers who has it, and does
/// not take it back although this node is preferred.
#[test]
fn a_handover_moves_the_address() {
    for to in [None, Some("right")] {
        let mut node = active();
        assert_eq!(kinds(&node.tell(handover(to))), ["priority 0", "report"]);
        node.millis += 200;
        let actions = node.hear(from_peer(50));
        let expected = ["remove", "report", "answer", "write down", "watch"];
        assert_eq!(kinds(&actions), expected);
        assert_eq!(told(&actions), "active -> backup: handed over to right (10.0.0.11) as asked");
        let Some(HandoverAnswer::Done { took, .. }) = answer(&actions) else {
            panic!("{actions:?}")
        };
        assert_eq!(took, Span::from_millis(200));
        for _ in 0..20 {
            node.millis += 1_000;
            node.hear(from_peer(50));
            assert_eq!(kinds(&node.tell(Input::Deadline)), [""; 0]);
        }
        assert_eq!(node.state(), StateName::Backup);
    }
}

/// Rule: a handover that nobody takes is refused with that reason; the address never left, and the
/// others are told who has it.
#[test]
fn a_handover_to_nobody_is_undone() {
    let mut node = active();
    node.tell(handover(None));
    let actions = loop {
        let actions = node.next();
        if kinds(&actions).contains(&"answer") {
            break actions;
        }
        assert!(!kinds(&actions).contains(&"remove"), "{actions:?}");
    };
    assert_eq!(kinds(&actions), ["advertise", "announce", "announce", "report", "answer"]);
    let refused =
        |answer| matches!(answer, Some(HandoverAnswer::Refused(HandoverRefusal::Nobody(_))));
    assert!(refused(answer(&actions)), "{actions:?}");
    assert_eq!(node.state(), StateName::Active);
}

/// Rule: what cannot be handed over is refused, with what would help.
#[test]
fn refusals() {
    let refusal = |node: &mut Node, input| match answer(&node.tell(input)) {
        Some(HandoverAnswer::Refused(refusal)) => refusal.to_string(),
        other => panic!("{other:?}"),
    };
    let unknown =
        Input::Handover { request: 7, instance: InstanceName::try_from("wbe").unwrap(), to: None };
    let mut node = active();
    assert_eq!(refusal(&mut node, unknown), "there is no such instance; there are: web");
    let text = refusal(&mut node, handover(Some("rihgt")));
    assert_eq!(text, "there is no such node; there are: left, right");
    let text = refusal(&mut node, handover(Some("left")));
    assert_eq!(text, "this is that node, and it has the addresses already");
    assert_eq!(node.state(), StateName::Active);
    node.tell(handover(None));
    let text = refusal(&mut node, handover(None));
    assert_eq!(text, "it is being handed over already, or the daemon stops");

    let mut node = active();
    node.hear(from_peer(200));
    let text = refusal(&mut node, handover(None));
    assert_eq!(text, "this node is backup; right (10.0.0.11) has the addresses: ask there");

    let mut owner = Node::new(instance(255));
    let text = refusal(&mut owner, handover(None));
    assert!(text.contains("owns the addresses"), "{text}");
}

/// Rule: whoever asked for a handover gets an answer, also when a fault or a stop comes between.
#[test]
fn a_handover_is_called_off() {
    let fault = Input::Link { interface: crate::node::eth0(), link: None };
    for interruption in [fault, Input::Stop] {
        let mut node = active();
        node.tell(handover(None));
        let actions = node.tell(interruption);
        let called_off = HandoverAnswer::Refused(HandoverRefusal::CalledOff);
        assert_eq!(answer(&actions), Some(called_off), "{actions:?}");
    }
}

/// Rule: an address is put back and renewed while this node leaves: it still answers.
#[test]
fn a_leaving_node_keeps_its_address() {
    let config = InstanceConfig { lease: Some(Span::from_secs(1)), ..instance(100) };
    let mut node = Node::new(config);
    node.next();
    node.tell(Input::Stop);
    let mut renewals = 0;
    loop {
        let actions = node.next();
        renewals += kinds(&actions).iter().filter(|kind| **kind == "add").count();
        if kinds(&actions).contains(&"exit") {
            break;
        }
    }
    assert!(renewals >= 4, "{renewals}");
}
