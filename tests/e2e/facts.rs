//! Things that are missing when vipd starts and come later: the daemon starts, says what it waits
//! for, and goes on by itself.

use std::fs::{self, Permissions};
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::authentication::with_keys;
use crate::lab::{Agent, BOUND, Group, Host, Lab, VIP, program, within};
use crate::tracks::executable;

/// Runs `vipd check` on a host.
fn check(host: &Host, yaml: &str) -> (Option<i32>, String) {
    let file = host.directory().join("check.yaml");
    fs::write(&file, yaml).expect("a configuration");
    let mut check = Command::new(program("vipd"));
    check.arg("check").arg(&file).stdin(Stdio::null());
    let Output { status, stdout, .. } = host.inside(|| check.output()).expect("vipd runs");
    (status.code(), String::from_utf8_lossy(&stdout).into_owned())
}

/// Rule: a node without its own address at the start says READY. It is in fault, says what it waits
/// for, and takes part once the address is there. `vipd check` has a separate exit code for this.
///
/// Bug guarded: vipd ended with exit code 78, after which systemd does not start it again.
pub(crate) fn own_address(lab: &Lab) {
    let group = Group::new(lab, &[11, 12]);
    let node = &group.nodes[0];
    node.run("ip address del 10.77.0.11/24 dev eth0");
    let agent = Agent::start(node, &group.config());
    let what = "waiting: this machine has none of the nodes' addresses (10.77.0.11, 10.77.0.12)";
    agent.reports(&["web: fault", what]);
    let (code, said) = check(node, &group.config().yaml());
    assert_eq!(code, Some(69), "{said}");
    assert!(said.contains("not on this machine: nodes: this machine has none"), "{said}");
    let told = String::from_utf8_lossy(&Agent::vipctl(node, "status").stdout).into_owned();
    assert!(told.contains(what), "{told}");
    let told = String::from_utf8_lossy(&Agent::vipctl(node, "explain web").stdout).into_owned();
    assert!(told.contains(what), "{told}");
    assert!(!node.holds(VIP), "an instance in fault has the address");

    node.run("ip address add 10.77.0.11/24 dev eth0");
    agent.reports(&["web: active (priority 200) with 10.77.0.100/24"]);
    group.taken_over_by(node);
    assert!(!agent.status().contains("not on this machine"), "{}", agent.status());
    let (code, said) = check(node, &group.config().yaml());
    assert_eq!(code, Some(0), "{said}");
    // A reload at a moment without the address disturbs nothing: the machine stays the same node.
    node.run("sysctl -q -w net.ipv4.conf.eth0.promote_secondaries=1");
    node.run("ip address add 10.77.0.91/24 dev eth0");
    node.run("ip address del 10.77.0.11/24 dev eth0");
    agent.reload(node, &group.config());
    let again = || agent.log().matches("the configuration was read again").count() == 1;
    within(BOUND, "the file is read again", again);
    sleep(Duration::from_secs(1));
    assert!(agent.status().contains("web: active (priority 200)"), "{}", agent.status());
}

/// Rule: an address on an interface that the configuration does not name is noticed, too.
pub(crate) fn address_elsewhere(lab: &Lab) {
    let group = Group::new(lab, &[11]);
    let node = &group.nodes[0];
    let config = group.config();
    let yaml = config.yaml().replace("10.77.0.11", "10.99.0.11");
    let agent = Agent::launch(node, &mut Agent::command(node, &yaml));
    within(BOUND, "it is ready", || agent.has_said("READY=1"));
    agent.reports(&["web: fault", "(10.99.0.11)", "its own are 10.77.0.11 (eth0)"]);
    node.run("ip link add management type veth peer name far");
    node.run("ip address add 10.99.0.11/24 dev management");
    agent.reports(&["web: active (priority 200)"]);
}

/// Rule: an address owner waits for its addresses and is active once they are there.
pub(crate) fn owners_addresses(lab: &Lab) {
    let group = Group::new(lab, &[11]);
    let node = &group.nodes[0];
    let agent = Agent::start(node, &group.config().set("priority", "255"));
    let what = "waiting: 255 is for the owner of the addresses, and this machine has no \
                10.77.0.100 on eth0";
    agent.reports(&["web: fault", what]);
    node.run(&format!("ip address add {VIP}/24 dev eth0"));
    agent.reports(&["web: active (priority 255)"]);
}

/// Rule: a key that is missing, not private or invalid keeps its instance from taking part, and no
/// other one. Once the key is there, the instance goes on. A running instance keeps the key that it
/// has if the key cannot be read again at the moment.
pub(crate) fn key(lab: &Lab) {
    let group = Group::new(lab, &[11]);
    let node = &group.nodes[0];
    let config = with_keys(group.config(), lab, &[1], "");
    let config = config.instance("lan", 52, Ipv4Addr::new(10, 77, 0, 101));
    let (file, away) = (lab.directory().join("1.key"), lab.directory().join("away"));
    fs::rename(&file, &away).expect("the key is away");
    let agent = Agent::start(node, &config);
    let absent = format!("waiting: {} cannot be read: No such file", file.display());
    agent.reports(&["web: fault", &absent, "lan: active"]);
    assert!(!node.holds(VIP), "it takes part without its key");
    fs::copy(&away, &file).expect("the key");
    fs::set_permissions(&file, Permissions::from_mode(0o644)).expect("its mode");
    agent.reports(&["web: fault", "has the mode 0644"]);
    fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("its mode");
    agent.reports(&["web: active", "lan: active"]);
    assert!(!agent.log().contains("0123456789abcdef"), "a key is in the log");

    fs::remove_file(&file).expect("the key");
    agent.signal(Signal::SIGHUP);
    agent.reports(&["web: active", "not on this machine: ", "cannot be read: No such file"]);
    fs::copy(&away, &file).expect("the key");
    fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("its mode");
    within(BOUND, "it is found", || !agent.status().contains("not on this machine"));
    assert!(agent.status().contains("web: active"), "{}", agent.status());
    assert_eq!(agent.log().matches("active -> ").count(), 0, "{}", agent.log());
}

/// Rule: a missing program only keeps its check from passing or its hook from running. It is named
/// in the status, and used once it is there. A program that anybody may replace never runs, even
/// if it has become replaceable only after the start.
pub(crate) fn programs(lab: &Lab) {
    if !Lab::started_by_root() {
        return lab.note("takes root: scripts run as other users");
    }
    let group = Group::new(lab, &[11]);
    let node = &group.nodes[0];
    let (late, hook) = (lab.directory().join("late"), lab.directory().join("hook"));
    let told = lab.directory().join("told");
    let config = group
        .config()
        .check("it", format!("script: {{ command: [{}], user: root }}", late.display()))
        .set("notify", format!("{{ script: {}, user: root }}", hook.display()));
    let agent = Agent::start(node, &config);
    let absent = format!("{} cannot be started: No such file", late.display());
    agent.reports(&[
        "web: fault",
        "check it fails",
        &absent,
        "not on this machine: ",
        "and 1 more",
    ]);
    let (code, said) = check(node, &config.yaml());
    assert_eq!(code, Some(69), "{said}");
    assert!(said.contains("not on this machine: tracks.it.script.command: "), "{said}");

    executable(lab, "hook", &format!("echo $* >>{}", told.display()));
    executable(lab, "late", "true");
    agent.reports(&["web: active"]);
    within(BOUND, "nothing is missed", || !agent.status().contains("not on this machine"));
    let ran = || fs::read_to_string(&told).is_ok_and(|said| said.contains("INSTANCE web MASTER"));
    within(BOUND, "the hook has run", ran);
    within(BOUND, "the log says it", || agent.log().contains("on this machine now: "));

    fs::set_permissions(&late, Permissions::from_mode(0o757)).expect("for all");
    agent.reports(&["web: fault", "cannot be started: everybody may write to"]);
}

/// Builds a `vipd run` that sees these files as `/etc/passwd` and `/etc/group`.
fn with_users(node: &Host, yaml: &str, files: [&Path; 2]) -> Command {
    let agent = Agent::command(node, yaml);
    let [users, groups] = files;
    let script = "mount --bind \"$1\" /etc/passwd && mount --bind \"$2\" /etc/group && shift 2 && \
                  exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script, "sh"]).args([users, groups]);
    command.arg(agent.get_program()).args(agent.get_args());
    command
}

/// Rule: the group that may control the daemon and the user of a script may come from a directory
/// service that is reached later. Neither stops the start, both are named as missing, and both
/// count once they are there.
pub(crate) fn users_and_groups(lab: &Lab) {
    if !Lab::started_by_root() {
        return lab.note("takes root: scripts run as other users");
    }
    let group = Group::new(lab, &[11]);
    let node = &group.nodes[0];
    let (users, groups) = (lab.directory().join("passwd"), lab.directory().join("group"));
    fs::copy("/etc/passwd", &users).expect("the users");
    fs::copy("/etc/group", &groups).expect("the groups");
    let script = executable(lab, "check", "id -u");
    let check = format!("script: {{ command: [{}], user: from-afar }}", script.display());
    let yaml = group.config().check("it", check).yaml() + "control_group: ops-from-afar\n";
    let mut command = with_users(node, &yaml, [&users, &groups]);
    let agent = Agent::launch(node, &mut command);
    within(BOUND, "it is ready", || agent.has_said("READY=1"));
    agent.reports(&["web: fault", "no user 'from-afar'", "not on this machine: ", "and 1 more"]);
    let named = || agent.log().contains("there is no group 'ops-from-afar'");
    within(BOUND, "the log names the group", named);
    let add = |file: &Path, line: &str| {
        let mut file = fs::File::options().append(true).open(file).expect("a file");
        writeln!(file, "{line}").expect("a line");
    };
    add(&users, "from-afar:x:54321:54321::/:/bin/sh");
    agent.reports(&["web: active", "ops-from-afar"]);
    add(&groups, "ops-from-afar:x:54322:");
    within(BOUND, "nothing is missed", || !agent.status().contains("not on this machine"));
}

/// Rule: `vipd check` warns of what is valid and hardly meant, and accepts the file: an address in
/// no network of its interface, and a priority beside `nodes`.
pub(crate) fn hardly_meant(lab: &Lab) {
    let group = Group::new(lab, &[11, 12]);
    let config = group.config().set("addresses", "[10.78.0.100/24]").set("priority", "150");
    let (code, said) = check(&group.nodes[0], &config.yaml());
    for expected in [
        "warning: instances.web.addresses[0]: 10.78.0.100/24 is in no network of eth0, which has \
         10.77.0.11/24",
        "warning: instances.web.priority: every node that has this file gets the priority 150",
        "valid on node node11\n",
    ] {
        assert!(said.contains(expected), "'{expected}' is not in:\n{said}");
    }
    assert_eq!(code, Some(0), "{said}");
}
