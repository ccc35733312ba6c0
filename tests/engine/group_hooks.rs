//! The hooks of sync groups: a group is told its own changes, and its members wait together.

use vipd::engine::story::StateName;
use vipd::engine::{Action, HookEvent, HookOwner, HookTarget, Input, ProbeResult};
use vipd::model::{Config, InstanceConfig, Notify, Phase, SyncGroup};

use crate::groups::{config, hear_on_lan, lan_link, states};
use crate::hooks::{notify, one, started};
use crate::node::{Node, eth0, from_peer, kinds, link, told};

/// The two instances of `groups`, whose group has these hooks.
fn with(notify: Notify) -> Config {
    let group = SyncGroup { notify, ..config().sync_groups[0].clone() };
    Config { sync_groups: vec![group], ..config() }
}

/// A node that has just started, with both of its links.
fn node(config: Config) -> Node {
    let mut node = Node::unlinked(config);
    node.tell(Input::Link { interface: eth0(), link: Some(link()) });
    node.tell(lan_link(true));
    node
}

/// One that has taken over, whose hooks have told so.
fn active(phases: &[Phase]) -> Node {
    let mut node = node(with(notify(phases)));
    end(&mut node, 1, None);
    let (number, words) = one(&node.next());
    assert_eq!(words, "/hooks/script GROUP gateway MASTER 0");
    end(&mut node, number, None);
    node
}

fn end(node: &mut Node, number: u64, failure: Option<&str>) -> Vec<Action> {
    let text = failure.unwrap_or("done").to_owned();
    let result =
        if failure.is_some() { ProbeResult::Failed(text) } else { ProbeResult::Passed(text) };
    let owner = HookOwner::Group("gateway".try_into().unwrap());
    node.tell(Input::Hooked { owner, number, result })
}

fn reload(node: &mut Node, config: Config) -> Vec<Action> {
    node.tell(Input::Reload { config: Box::new(config) })
}

/// The instance that this hook belongs to ends it.
fn end_of_member(node: &mut Node, name: &str, number: u64) -> Vec<Action> {
    let owner = HookOwner::Instance(name.try_into().unwrap());
    node.tell(Input::Hooked { owner, number, result: ProbeResult::Passed(String::new()) })
}

/// Rule: a group is told once what it is as a whole, in keepalived's words (and its priority 0),
/// after all of its members have their addresses; and it gets to know all of them.
#[test]
fn a_group_is_told_once() {
    let mut node = Node::unlinked(with(notify(&[Phase::Script, Phase::AfterClaim])));
    // Not before both links are known.
    assert_eq!(started(&node.tell(Input::Link { interface: eth0(), link: Some(link()) })), []);
    let (number, words) = one(&node.tell(lan_link(true)));
    assert_eq!(words, "/hooks/script GROUP gateway BACKUP 0");
    end(&mut node, number, None);
    let actions = node.next();
    assert_eq!(states(&node), [StateName::Active; 2]);
    let last_add = kinds(&actions).iter().rposition(|kind| *kind == "add");
    assert!(last_add < kinds(&actions).iter().position(|kind| *kind == "hook"), "{actions:?}");
    let (number, words) = one(&actions);
    assert_eq!(words, "/hooks/after_claim GROUP gateway MASTER 0");
    let HookEvent::Group(event) = &started(&actions)[0].1.event else { panic!("{actions:?}") };
    let members: Vec<(&str, StateName, &str)> = event
        .members
        .iter()
        .map(|member| (member.instance.as_str(), member.state, member.addresses[0].as_str()))
        .collect();
    let expected =
        [("web", StateName::Active, "10.0.0.100/24"), ("lan", StateName::Active, "10.0.1.100/24")];
    assert_eq!((members, event.priority), (expected.to_vec(), 100));
    assert_eq!(event.why, "nobody heard for 3.61 s");
    let (number, words) = one(&end(&mut node, number, None));
    assert_eq!(words, "/hooks/script GROUP gateway MASTER 0");
    assert_eq!(started(&end(&mut node, number, None)), []);
}

/// Rule: a fault or a better router on one segment is a change of the group, told once, with the
/// reason of the member that the others follow.
#[test]
fn a_change_of_one_is_one_of_the_group() {
    let mut node = active(&[Phase::Script]);
    let actions = node.tell(lan_link(false));
    assert_eq!(one(&actions).1, "/hooks/script GROUP gateway FAULT 0");
    let HookEvent::Group(event) = &started(&actions)[0].1.event else { panic!("{actions:?}") };
    assert_eq!(event.why, "lan: link eth1 has no carrier");

    let mut node = active(&[Phase::Script]);
    assert_eq!(one(&hear_on_lan(&mut node, 200)).1, "/hooks/script GROUP gateway BACKUP 0");
    assert_eq!(started(&node.hear(from_peer(200))), []);
}

/// Rule: a planned move is told when the first member has let go: the others follow.
#[test]
fn a_handover_is_told_once() {
    let mut node = active(&[Phase::Script]);
    let instance = "lan".try_into().unwrap();
    assert_eq!(started(&node.tell(Input::Handover { request: 7, instance, to: None })), []);
    node.millis += 500;
    let (number, words) = one(&node.hear(from_peer(50)));
    assert_eq!(words, "/hooks/script GROUP gateway BACKUP 0");
    end(&mut node, number, None);
    assert_eq!(started(&hear_on_lan(&mut node, 50)), []);
    assert_eq!(states(&node), [StateName::Backup; 2]);
}

/// Bug guarded: a slow program is followed by the last state; what came between is left out.
#[test]
fn the_last_state_is_told_last() {
    let mut node = active(&[Phase::Script]);
    let (number, _) = one(&node.tell(lan_link(false)));
    for up in [true, false, true] {
        assert_eq!(started(&node.tell(lan_link(up))), []);
    }
    let (number, words) = one(&end(&mut node, number, None));
    assert_eq!(words, "/hooks/script GROUP gateway BACKUP 0");
    assert_eq!(started(&end(&mut node, number, None)), []);
    assert_eq!(node.status().groups[0].hooks_superseded, 2);
}

/// Rule: what fails is tried again, and stands in the one line until it goes well.
#[test]
fn a_failure_is_shown() {
    let mut node = active(&[Phase::Script]);
    let (number, _) = one(&node.tell(lan_link(false)));
    let failed = end(&mut node, number, Some("exit code 3"));
    assert_eq!(told(&failed), "hook script failed: exit code 3; trying again");
    let [Action::Report(event)] = &failed[..] else { panic!("{failed:?}") };
    assert!(event.line().starts_with("sync group gateway: hook script failed"), "{event:?}");
    let status = node.status().to_string();
    assert!(status.contains("; sync group gateway: hook script failed at "), "{status}");
    assert!(status.ends_with(" UTC: exit code 3"), "{status}");
    let start = node.millis;
    let (number, _) = one(&node.next());
    assert_eq!(node.millis - start, 1_000);
    end(&mut node, number, None);
    assert!(!node.status().to_string().contains("sync group gateway: hook"));
    assert_eq!(node.status().groups[0].hooks_failed, 1);
}

/// Never a gap: members that preempt wait together, in silence, for the one hook of their group;
/// then all of their addresses are there before the first advertisement.
#[test]
fn before_claim_holds_back_the_group() {
    let mut node = node(with(notify(&[Phase::BeforeClaim, Phase::AfterClaim])));
    node.hear(from_peer(50));
    hear_on_lan(&mut node, 50);
    let actions = loop {
        let actions = node.next();
        if !started(&actions).is_empty() {
            break actions;
        }
    };
    let (number, words) = one(&actions);
    assert_eq!(words, "/hooks/before_claim GROUP gateway MASTER 0");
    assert_eq!(states(&node), [StateName::Active; 2]);
    assert!(!kinds(&actions).iter().any(|k| ["add", "advertise"].contains(k)), "{actions:?}");
    let status = node.status();
    assert_eq!(status.groups[0].state, StateName::Backup, "it has no address yet");
    assert!(status.instances.iter().all(|one| one.waits_for == Some(Phase::BeforeClaim)));
    node.hear(from_peer(50));
    assert_eq!(kinds(&hear_on_lan(&mut node, 50)), [""; 0]);
    let actions = end(&mut node, number, None);
    let kinds = kinds(&actions);
    assert_eq!(kinds.iter().filter(|kind| **kind == "add").count(), 2, "{kinds:?}");
    let first_advertisement = kinds.iter().position(|kind| *kind == "advertise");
    assert!(kinds.iter().rposition(|kind| *kind == "announce") < first_advertisement, "{kinds:?}");
    assert_eq!(one(&actions).1, "/hooks/after_claim GROUP gateway MASTER 0");
    assert_eq!(node.status().groups[0].state, StateName::Active);
}

/// Never a gap: a member whose own hook takes its time holds back the others, which would make the
/// router that is preempted let go of all.
#[test]
fn a_hook_of_one_member_holds_back_all() {
    let mut config = with(notify(&[Phase::BeforeClaim]));
    config.instances[1] =
        InstanceConfig { notify: notify(&[Phase::BeforeClaim]), ..config.instances[1].clone() };
    let mut node = node(config);
    let actions = node.next();
    let owners: Vec<String> = actions
        .iter()
        .filter_map(|action| match action {
            Action::Hook { owner, .. } => Some(owner.to_string()),
            _ => None,
        })
        .collect();
    assert_eq!(owners, ["lan", "sync group gateway"]);
    assert_eq!(kinds(&end(&mut node, 1, None)), [""; 0]);
    let actions = end_of_member(&mut node, "lan", 1);
    assert_eq!(kinds(&actions).iter().filter(|kind| **kind == "add").count(), 2, "{actions:?}");
}

/// Rule: a pending election that was overtaken comes to nothing; the next one asks again.
#[test]
fn a_pending_election_that_was_overtaken_comes_to_nothing() {
    let mut node = node(with(notify(&[Phase::BeforeClaim])));
    let (number, _) = one(&node.next());
    hear_on_lan(&mut node, 200);
    assert_eq!(states(&node), [StateName::Backup; 2]);
    assert_eq!(kinds(&end(&mut node, number, None)), [""; 0]);
    let next = loop {
        let actions = node.next();
        if !started(&actions).is_empty() {
            break actions;
        }
    };
    assert_eq!(one(&next).1, "/hooks/before_claim GROUP gateway MASTER 0");
}

/// Bug guarded: a claim left out what was still to be told of the state before, and where it came
/// to nothing, the group was never told what it is.
#[test]
fn a_claim_leaves_out_nothing_that_is_still_true() {
    let mut node = node(with(notify(&[Phase::BeforeClaim, Phase::OnFault, Phase::Script])));
    end(&mut node, 1, None);
    let (fault, words) = one(&node.tell(lan_link(false)));
    assert_eq!(words, "/hooks/on_fault GROUP gateway FAULT 0");
    node.tell(lan_link(true));
    let (claim, _) = one(&node.next());
    hear_on_lan(&mut node, 200);
    assert_eq!(started(&end(&mut node, claim, None)), []);
    assert_eq!(one(&end(&mut node, fault, None)).1, "/hooks/script GROUP gateway BACKUP 0");
}

/// Rule: a hook that never ends is cancelled, and a group that a reload dissolves meanwhile does
/// not keep its members waiting.
#[test]
fn nobody_waits_for_ever() {
    let both_have_theirs =
        |actions: &[Action]| kinds(actions).iter().filter(|kind| **kind == "add").count() == 2;
    let mut node = node(with(notify(&[Phase::BeforeClaim])));
    node.next();
    let start = node.millis;
    while !both_have_theirs(&node.next()) {}
    assert_eq!(node.millis - start, 11_000, "its timeout and a second more");

    let mut node = self::node(with(notify(&[Phase::BeforeClaim])));
    let (number, _) = one(&node.next());
    reload(&mut node, Config { sync_groups: Vec::new(), ..config() });
    assert!(both_have_theirs(&end(&mut node, number, None)));
    assert_eq!(node.status().groups, []);
}

/// Invariant 6: hooks that come, change and go with a reload disturb nothing, and tell nothing; a
/// group that is new, or is no more, says so.
#[test]
fn a_reload_disturbs_nothing() {
    let mut node = active(&[Phase::Script]);
    let actions = reload(&mut node, with(notify(&[Phase::Script, Phase::OnFault])));
    assert_eq!(kinds(&actions), ["report"]);
    assert_eq!(told(&actions), "reconfigured: notify");
    assert_eq!(kinds(&reload(&mut node, config())), ["report"]);
    assert_eq!(kinds(&reload(&mut node, config())), [""; 0]);
    assert_eq!(kinds(&reload(&mut node, with(notify(&[Phase::Script])))), ["report"]);
    assert_eq!(states(&node), [StateName::Active; 2]);
    let (number, words) = one(&reload(&mut node, Config { sync_groups: Vec::new(), ..config() }));
    assert_eq!(words, "/hooks/script GROUP gateway STOP 0");
    assert_eq!(node.status().groups.len(), 1, "until it has been told");
    // It comes back before that, and is the same: no number is used twice.
    assert_eq!(started(&reload(&mut node, with(notify(&[Phase::Script])))), []);
    let (next, words) = one(&end(&mut node, number, None));
    assert_eq!((next, words.as_str()), (number + 1, "/hooks/script GROUP gateway MASTER 0"));
    assert_eq!(states(&node), [StateName::Active; 2]);
}

/// Rule: a member that joins an active group does not have its hook run again, nor is that told.
#[test]
fn a_member_that_joins_is_not_waited_for() {
    let alone = Config { sync_groups: Vec::new(), ..config() };
    let mut node = node(with(notify(&[Phase::BeforeClaim, Phase::Script])));
    let (number, _) = one(&node.next());
    end(&mut node, number, None);
    assert_eq!(states(&node), [StateName::Active; 2]);
    // What still runs tells of the active group.
    let mut three = with(notify(&[Phase::BeforeClaim, Phase::Script]));
    let third = InstanceConfig {
        name: "dmz".try_into().unwrap(),
        virtual_router_id: 53.try_into().unwrap(),
        ..alone.instances[0].clone()
    };
    three.instances.push(third);
    three.sync_groups[0].members.push("dmz".try_into().unwrap());
    let actions = reload(&mut node, three);
    assert!(kinds(&actions).contains(&"add"), "{actions:?}");
    assert_eq!(started(&actions), []);
    assert_eq!(node.status().instances[2].state, StateName::Active);
    assert_eq!(node.status().groups[0].state, StateName::Active);
}

/// Rule: the stop is told when all members have stopped, the end waits for that and for nothing
/// that has failed; a second request waits for nothing.
#[test]
fn a_stop_waits_until_it_was_told() {
    let mut node = active(&[Phase::Script]);
    assert_eq!(started(&node.tell(Input::Stop)), [], "the members still answer");
    node.millis += 500;
    assert_eq!(started(&node.hear(from_peer(50))), [], "one of them does");
    let actions = hear_on_lan(&mut node, 50);
    let (number, words) = one(&actions);
    assert_eq!(words, "/hooks/script GROUP gateway STOP 0");
    assert!(!kinds(&actions).contains(&"exit"), "{actions:?}");
    assert_eq!(kinds(&end(&mut node, number, Some("exit code 1"))), ["report", "exit"]);

    let mut impatient = active(&[Phase::Script]);
    impatient.tell(lan_link(false));
    impatient.tell(Input::Stop);
    let kinds = kinds(&impatient.tell(Input::Stop));
    assert_eq!(kinds, ["cancel hook", "exit"]);
}

/// Rule: the pipe and the webhook of a group get each of its changes.
#[test]
fn the_pipe_gets_keepalived_s_line() {
    let hooks = Notify {
        fifo: Some("/run/events".into()),
        webhook: Some("http://10.0.0.1/".to_owned()),
        ..notify(&[])
    };
    let mut node = node(with(hooks));
    let ends: Vec<_> = [1, 2].map(|number| end(&mut node, number, None)).concat();
    assert_eq!(started(&ends), [], "the start was told to the pipe and the webhook");
    let actions = node.next();
    let calls = started(&actions);
    let targets: Vec<&HookTarget> = calls.iter().map(|(_, call)| &call.target).collect();
    assert!(matches!(targets[..], [HookTarget::Fifo(_), HookTarget::Webhook(_)]), "{targets:?}");
    assert_eq!(calls[0].1.event.line(), "GROUP \"gateway\" MASTER 0\n");
}

/// The two instances of `groups`, of which lan alone has a hook.
fn lan_waits() -> Config {
    let mut config = config();
    config.instances[1].notify = notify(&[Phase::BeforeClaim]);
    config
}

/// The instances that have all their addresses, and what they wait for.
fn served(node: &Node) -> [(bool, Option<Phase>); 2] {
    let status = node.status();
    [0, 1]
        .map(|place| (!status.instances[place].held.is_empty(), status.instances[place].waits_for))
}

/// Bug guarded: a reload that dissolved a sync group while a member's `before_claim` ran left the
/// other instances active without addresses forever. They advertised, so nobody else took over.
#[test]
fn a_dissolved_group_holds_nobody_back() {
    let alone = |config: Config| Config { sync_groups: Vec::new(), ..config };
    let mut node = node(lan_waits());
    node.next();
    let waiting = (false, Some(Phase::BeforeClaim));
    assert_eq!(served(&node), [waiting; 2]);
    reload(&mut node, alone(lan_waits()));
    assert_eq!(served(&node), [(true, None), waiting], "web has no hook of its own");
    end_of_member(&mut node, "lan", 1);
    assert_eq!(served(&node), [(true, None); 2]);

    // Without the instance whose hook all waited for.
    let mut node = self::node(lan_waits());
    node.next();
    let mut web = alone(config());
    web.instances.truncate(1);
    reload(&mut node, web);
    assert!(!node.status().instances[0].held.is_empty());
}

/// Rule: what a pending election waits for is what the configuration says now. A hook that comes is
/// waited for, one that goes is not, and one that runs already is until it has ended.
#[test]
fn a_reload_changes_what_is_waited_for() {
    let waiting = (false, Some(Phase::BeforeClaim));
    let mut node = node(lan_waits());
    node.next();
    // The group gets one, and so does web.
    let mut more = lan_waits();
    more.instances[0].notify = notify(&[Phase::BeforeClaim]);
    more.sync_groups[0].notify = notify(&[Phase::BeforeClaim]);
    assert_eq!(started(&reload(&mut node, more.clone())).len(), 2);
    // They go again, while they run.
    assert_eq!(started(&reload(&mut node, lan_waits())), []);
    for name in ["web", "lan"] {
        assert_eq!(served(&node), [waiting; 2]);
        end_of_member(&mut node, name, 1);
    }
    assert_eq!(served(&node), [waiting; 2]);
    end(&mut node, 1, None);
    assert_eq!(served(&node), [(true, None); 2]);

    // An instance that claims alone comes into a group, and waits with it.
    let mut node = self::node(Config { sync_groups: Vec::new(), ..more.clone() });
    node.next();
    reload(&mut node, more);
    end_of_member(&mut node, "web", 1);
    assert_eq!(served(&node)[0], waiting, "lan waits still");
}

/// Bug guarded: a group that the configuration has no more, and that is still telling its last
/// state, let its former members claim while the hook of their present group was running.
#[test]
fn a_former_group_lets_nobody_claim() {
    let present = with(notify(&[Phase::Script, Phase::BeforeClaim]));
    let mut former = present.clone();
    former.sync_groups[0].name = "other".try_into().unwrap();
    let mut node = node(former);
    node.millis += 3_000;
    // Its hook is under way, and so it is still there.
    reload(&mut node, present);
    let actions = node.next();
    assert_eq!(states(&node), [StateName::Active; 2], "{actions:?}");
    assert!(!kinds(&actions).contains(&"add"), "{actions:?}");
}
