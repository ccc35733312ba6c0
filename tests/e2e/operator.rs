//! `vipctl` as an operator uses it: looking, standby, reload; and who may do what.

use std::fs;
use std::process::{Command, Output};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::unistd::Group as SystemGroup;

use crate::handover::{GAPLESS, config, two_nodes};
use crate::lab::{Agent, BOUND, Config, Group, Host, Lab, VIP, program, within};

/// Longer than the others wait for an active router at the interval of the cases.
const PATIENCE: Duration = Duration::from_secs(2);

fn told(output: &Output) -> (i32, String) {
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    (output.status.code().expect("an exit code"), text.into_owned())
}

/// Runs `vipctl` on a host; all that it wrote.
#[track_caller]
fn vipctl(host: &Host, arguments: &str, code: i32) -> String {
    let (found, text) = told(&Agent::vipctl(host, arguments));
    assert_eq!(found, code, "vipctl {arguments}: {text}");
    text
}

#[track_caller]
fn assert_says(text: &str, expected: &[&str]) {
    for part in expected {
        assert!(text.contains(part), "'{part}' is not in:\n{text}");
    }
}

/// Rule: each node says who has the address and why, and a name that is not there is answered with
/// those that are.
pub(crate) fn looking(lab: &Lab) {
    let (group, _agents) = two_nodes(lab);
    let (one, two) = (&group.nodes[0], &group.nodes[1]);
    within(BOUND, "the second node has heard the first", || {
        told(&Agent::vipctl(two, "status --check")).0 == 0
    });
    let text = vipctl(one, "status", 0);
    assert_says(&text, &["node node11, vipd ", "* 10.77.0.100/24", "here", "nothing is wrong"]);
    let text = vipctl(two, "status web", 0);
    assert_says(&text, &["backup", "  10.77.0.100/24", "node11", "web: backup since "]);
    vipctl(one, "status --active web", 0);
    vipctl(two, "status --active web", 3);
    let text = vipctl(two, "explain web", 0);
    let expected = "node11 (10.77.0.11) has the addresses, with priority 200; it was heard ";
    assert_says(&text, &[expected, "This node waits: its priority 190 is the lower one."]);
    let text = vipctl(two, "peers", 0);
    assert_says(&text, &["web: virtual router 51 on eth0", "node11 (10.77.0.11)", "500 ms"]);
    for command in ["status wbe", "explain wbe", "peers wbe", "standby wbe", "online wbe"] {
        let text = vipctl(one, command, 1);
        assert_says(&text, &["there", "there are: web"]);
    }
    let text = vipctl(one, "status web --json", 0);
    assert!(text.starts_with("{\"name\":\"web\",") && text.ends_with("}\n"), "{text}");
}

/// Invariant 5 for standby: the active node hands over without a gap, stays out over a restart of
/// its agent, and comes back when the operator says so.
pub(crate) fn standby_and_back(lab: &Lab) {
    let (group, [first, _second]) = two_nodes(lab);
    let (one, two) = (&group.nodes[0], &group.nodes[1]);
    let start = Instant::now();
    let text = vipctl(one, "standby", 0);
    assert_eq!(
        text,
        "web: node12 (10.77.0.12) has the addresses now\nthis node is on standby, with all \
         instances\n"
    );
    group.taken_over_by(two);
    let gap = group.client.longest_gap(start);
    lab.note(format!("longest gap of the client: {gap:?}"));
    assert!(gap < GAPLESS, "the client had no answer for {gap:?}");
    group.held_only_by(two);
    assert_says(&vipctl(one, "status", 0), &["standby", "this node is on standby"]);

    assert!(first.stop().success());
    let first = Agent::start(one, &config(&group));
    first.reports(&["web: standby"]);
    group.stays_with(two, PATIENCE);
    // The log is that of both.
    let log = first.log();
    let (_, of_the_second) = log.split_once("standby -> stopped").expect("the first one's end");
    assert!(of_the_second.contains("stopped -> standby"), "{log}");
    assert!(!of_the_second.contains("-> backup"), "{log}");

    // Not even when it is the only one that lives.
    let text = vipctl(two, "standby web --force", 0);
    assert_says(&text, &["has heard nobody take them", "on standby: web"]);
    sleep(PATIENCE);
    assert!(!one.holds(VIP) && !two.holds(VIP), "who is on standby has nothing");
    assert_eq!(vipctl(one, "online", 0), "nothing is on standby\n");
    group.taken_over_by(one);
    assert_eq!(vipctl(two, "online web", 0), "nothing is on standby\n");
    within(BOUND, "the second node is a backup", || {
        told(&Agent::vipctl(two, "status")).1.contains("web: backup since")
    });
    group.stays_with(one, PATIENCE);
}

/// Rule: where nobody takes over, standby is refused and the client notices nothing; by force it is
/// done.
pub(crate) fn standby_alone(lab: &Lab) {
    let group = Group::new(lab, &[11]);
    let alone = &group.nodes[0];
    let _agent = Agent::start(alone, &config(&group));
    group.taken_over_by(alone);
    let start = Instant::now();
    let text = vipctl(alone, "standby web", 1);
    assert_says(&text, &["web: nothing has changed: no other node took", "--force"]);
    group.stays_with(alone, Duration::from_millis(300));
    let gap = group.client.longest_gap(start);
    assert!(gap < GAPLESS, "the client had no answer for {gap:?}");

    vipctl(alone, "standby --force", 0);
    within(BOUND, "the address is gone", || !alone.holds(VIP));
    vipctl(alone, "online", 0);
    group.taken_over_by(alone);
}

/// Bug guarded: `vipctl online` during a standby took back the request alone, and the handover that
/// was under way went on to its end. Now it is called off, and the client notices nothing.
pub(crate) fn standby_called_off(lab: &Lab) {
    let group = Group::new(lab, &[11]);
    let alone = &group.nodes[0];
    // The node waits for a successor for longer than one interval.
    let agent = Agent::start(alone, &config(&group).set("advertisement_interval", "3s"));
    group.taken_over_by(alone);
    let start = Instant::now();
    let mut command = Command::new(program("vipctl"));
    command.args(["standby", "--force", "--runtime-directory"]).arg(alone.runtime_directory());
    let standby = alone.start(&mut command, "standby");
    within(BOUND, "it leaves", || agent.log().contains("leaving, "));
    assert_eq!(vipctl(alone, "online", 0), "nothing is on standby\n");
    let log = standby.log().to_owned();
    assert_eq!(standby.exit().code(), Some(1));
    assert_says(
        &fs::read_to_string(log).expect("a log"),
        &["nothing has changed: it was called off"],
    );
    assert!(start.elapsed() < Duration::from_secs(3), "it was over by itself");
    // Longer than the departure would have taken.
    group.stays_with(alone, Duration::from_secs(6));
    let gap = group.client.longest_gap(start);
    assert!(gap < GAPLESS, "the client had no answer for {gap:?}");
    agent.reports(&["web: active"]);
    assert!(!vipctl(alone, "status", 0).contains("standby"), "it is on standby");
}

/// `vipctl` as another user.
fn as_user(group: &str, host: &Host, arguments: &str) -> (i32, String) {
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--clear-groups"]).arg(format!("--regid={group}"));
    command.arg(program("vipctl")).args(arguments.split_whitespace());
    command.arg("--runtime-directory").arg(host.runtime_directory());
    told(&command.output().expect("setpriv runs"))
}

/// Rule: everybody may look; only root and the members of `control_group` may change anything, and
/// others are told who may.
pub(crate) fn permissions(lab: &Lab) {
    if !Lab::started_by_root() {
        // An ordinary user's namespace has no other users. As root this is tested.
        lab.note("other users are tested as root only");
        return;
    }
    let group = Group::new(lab, &[11]);
    let host = &group.nodes[0];
    let allowed =
        SystemGroup::from_name("daemon").expect("the groups").expect("every Linux has it");
    let yaml = |control: &str| format!("{control}{}", config(&group).yaml());
    let agent = Agent::launch(host, &mut Agent::command(host, &yaml("")));
    group.taken_over_by(host);
    let (code, text) = as_user("65534", host, "status");
    assert_eq!(code, 0, "{text}");
    assert_says(&text, &["* 10.77.0.100/24"]);
    for request in ["standby --force", "online", "reload", "handover web"] {
        let (code, text) = as_user("65534", host, request);
        assert_eq!(code, 77, "{request}: {text}");
        assert_says(&text, &["may not control vipd", "control_group"]);
    }
    group.stays_with(host, Duration::from_millis(300));

    Agent::command(host, &yaml("control_group: daemon\n"));
    let text = vipctl(host, "reload", 0);
    assert_says(&text, &["web: unchanged", "who may control vipd changes"]);
    let (code, text) = as_user("65534", host, "reload --dry-run");
    assert_eq!(code, 77, "{text}");
    assert_says(&text, &["the members of the group daemon"]);
    let (code, text) = as_user(&allowed.gid.to_string(), host, "standby --force");
    assert_eq!(code, 0, "{text}");
    within(BOUND, "the address is gone", || !host.holds(VIP));
    assert_says(&agent.log(), &["asks for standby of the whole node, by force"]);
}

/// Rule: a reload says what it changes, before or after; a bad file changes nothing and every
/// mistake is told with its line; `check` says the same as vipd itself.
pub(crate) fn reload(lab: &Lab) {
    let group = Group::new(lab, &[11]);
    let host = &group.nodes[0];
    let agent = Agent::start(host, &config(&group));
    group.taken_over_by(host);
    let write = |config: &Config| drop(Agent::command(host, &config.yaml()));
    let file = host.directory().join(format!("{}.yaml", host.number()));

    write(&config(&group).set("virtual_router_id", "999").set("prioritty", "7"));
    for command in ["reload", "reload --dry-run"] {
        let text = vipctl(host, command, 78);
        let mistakes = ["found 999", "did you mean 'priority'?", "nothing has changed"];
        assert_says(&text, &mistakes);
        assert_eq!(text.matches(".yaml:").count(), 2, "{text}");
    }
    let text = vipctl(host, "status --check", 4);
    assert_says(&text, &["WRONG:", "the configuration was not reloaded: ", "found 999"]);
    let check = |code: i32| {
        let mut command = Command::new(program("vipctl"));
        command.args(["check", "--node", "node11"]).arg(&file);
        let (found, text) = told(&command.output().expect("vipctl runs"));
        assert_eq!(found, code, "{text}");
        text
    };
    assert_says(&check(78), &["found 999", "invalid: 2 mistakes"]);

    let other = config(&group).set("preempt", "always").instance("mail", 52, [10_u8, 77, 0, 101]);
    write(&other);
    let plan = ["web: goes on, with another preempt", "mail: new: starts"];
    assert_says(&vipctl(host, "reload --dry-run", 0), &plan);
    sleep(Duration::from_millis(100));
    assert!(!agent.log().contains("mail"), "{}", agent.log());
    assert_says(&vipctl(host, "reload", 0), &plan);
    agent.reports(&["mail: active"]);
    assert_says(&vipctl(host, "reload", 0), &["nothing changes"]);
    assert!(!vipctl(host, "status", 0).contains("not reloaded"));
}

/// Rule: who follows the events sees each of them, also over a restart of the agent; and who
/// watches on a pipe sees what has changed.
pub(crate) fn following(lab: &Lab) {
    let group = Group::new(lab, &[11]);
    let host = &group.nodes[0];
    let first = Agent::start(host, &config(&group));
    let start = |arguments: &str, name: &str| {
        let mut command = Command::new(program("vipctl"));
        command.args(arguments.split_whitespace());
        command.arg("--runtime-directory").arg(host.runtime_directory());
        host.start(&mut command, name)
    };
    let events = start("events --follow", "events");
    let watch = start("watch web --interval 50", "watch");
    let json = start("events --follow --json web", "json");
    let read = |process: &crate::lab::Process| fs::read_to_string(process.log()).expect("a log");
    group.taken_over_by(host);
    within(BOUND, "the takeover is told", || {
        read(&events).contains("UTC web: backup -> active: ")
            && read(&watch).contains("UTC web: active (priority 200) with 10.77.0.100/24 on eth0")
    });
    assert!(first.stop().success());
    within(BOUND, "the end is told", || read(&events).contains("no vipd answers"));
    let _second = Agent::start(host, &config(&group));
    group.taken_over_by(host);
    within(BOUND, "the second takeover is told", || {
        let text = read(&events);
        text.contains("-- vipd was started anew, process ")
            && text.matches("web: backup -> active: ").count() == 2
    });
    within(BOUND, "scripts see the same", || {
        let text = read(&json);
        text.contains("\n{\"restarted\":") && text.matches("backup -> active: ").count() == 2
    });
}

/// Rule: where no daemon is, each command says so with the path, and never waits.
pub(crate) fn nobody_there(lab: &Lab) {
    let group = Group::new(lab, &[11]);
    let host = &group.nodes[0];
    for command in ["status", "peers", "explain web", "events", "standby", "online", "reload"] {
        let text = vipctl(host, command, 69);
        assert_says(&text, &["no vipd answers on ", "systemctl status vipd"]);
    }
}
