//! `vipctl doctor` on real nodes with real faults, and on healthy ones.

use std::fs::{self, Permissions};
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::forgery::Forgery;
use crate::lab::{Agent, BOUND, Config, Group, Host, Lab, Segment, VIP, VIP6, program, within};

/// What doctor said.
pub(crate) struct Diagnosis {
    code: Option<i32>,
    pub(crate) report: Value,
}

impl Diagnosis {
    /// Runs it on a host, with these arguments (words separated by blanks).
    #[track_caller]
    pub(crate) fn of(host: &Host, arguments: &str) -> Self {
        let mut command = Command::new(program("vipctl"));
        command.args(["doctor", "--json"]).args(arguments.split_whitespace());
        Self::told(host, &mut command)
    }

    #[track_caller]
    fn told(host: &Host, command: &mut Command) -> Self {
        command.arg("--runtime-directory").arg(host.runtime_directory());
        let output = host.inside(|| command.output()).expect("vipctl runs");
        let report = serde_json::from_slice(&output.stdout);
        let report = report.unwrap_or_else(|error| panic!("{error}: {output:?}"));
        Self { code: output.status.code(), report }
    }

    pub(crate) fn findings(&self) -> impl Iterator<Item = &Value> {
        self.report["findings"].as_array().expect("findings").iter()
    }

    /// The findings that are no notes. Whether the system lets the daemon be punctual is the
    /// machine's affair.
    fn troubles(&self) -> Vec<&Value> {
        let is_trouble =
            |one: &&Value| one["severity"] != "note" && one["kind"] != "refused-by-the-system";
        self.findings().filter(is_trouble).collect()
    }

    /// The one finding of this kind, whose text, evidence and advice contain all of this.
    #[track_caller]
    pub(crate) fn has(&self, kind: &str, expected: &[&str]) -> &Value {
        let found = self.findings().find(|one| one["kind"] == kind);
        let found = found.unwrap_or_else(|| panic!("no {kind} in {:#}", self.report));
        let text = found.to_string();
        for part in expected {
            assert!(text.contains(part), "'{part}' is not in {found:#}");
        }
        found
    }

    #[track_caller]
    pub(crate) fn is_healthy(&self) {
        assert!(self.troubles().is_empty(), "{:#}", self.report);
    }
}

/// The text as people see it, in the test's output.
pub(crate) fn show(lab: &Lab, host: &Host) {
    let mut command = Command::new(program("vipctl"));
    command.arg("doctor").arg("--runtime-directory").arg(host.runtime_directory());
    let output = host.inside(|| command.output()).expect("vipctl runs");
    lab.note(format!("doctor on {}:\n{}", host.address(), String::from_utf8_lossy(&output.stdout)));
}

fn config(group: &Group) -> Config {
    group.config().set("preempt", "never")
}

/// Two agents, the first of them active.
fn pair(lab: &Lab) -> (Group, [Agent; 2]) {
    let group = Group::new(lab, &[11, 12]);
    let config = config(&group);
    let one = Agent::start(&group.nodes[0], &config);
    group.taken_over_by(&group.nodes[0]);
    let two = Agent::start(&group.nodes[1], &config);
    two.reports(&["node11 (10.77.0.11) is active"]);
    (group, [one, two])
}

/// Writes a setting of the kernel on a host.
fn set(host: &Host, path: &str, value: &str) {
    host.inside(|| fs::write(format!("/proc/sys/{path}"), value)).expect("a setting of the kernel");
}

/// Rule: on a healthy pair nothing is found, on the active node as on the backup, and the exit code
/// says so; a firewall that drops everything else changes nothing about that.
pub(crate) fn healthy(lab: &Lab) {
    let (group, _agents) = pair(lab);
    for node in &group.nodes {
        let diagnosis = Diagnosis::of(node, "");
        diagnosis.is_healthy();
        assert_eq!(diagnosis.code, Some(i32::from(diagnosis.report["healthy"] == false)));
        node.run("nft add table inet filter");
        node.run(
            "nft add chain inet filter input { type filter hook input priority 0; policy drop; }",
        );
        node.run("nft add rule inet filter input ip protocol vrrp accept");
        Diagnosis::of(node, "").is_healthy();
    }
    group.held_only_by(&group.nodes[0]);
}

/// Rule: a firewall that drops what comes in is proven by the wire, named with its chain, and the
/// command that doctor gives mends it.
pub(crate) fn nftables(lab: &Lab) {
    let (group, _agents) = pair(lab);
    let two = &group.nodes[1];
    lab.owners().overlap(BOUND, "a firewall keeps the advertisements from the backup");
    two.run("nft add table inet filter");
    two.run("nft add chain inet filter input { type filter hook input priority 0; policy drop; }");
    within(BOUND, "both are active", || two.holds(VIP));
    show(lab, two);
    let diagnosis = Diagnosis::of(two, "");
    assert_eq!(diagnosis.code, Some(1));
    let policy = "nft chain inet filter input (hook input): policy drop, and no rule that accepts";
    let found = diagnosis.has(
        "firewall",
        &[
            "drops the advertisements of node11 (10.77.0.11) on eth0",
            "vipd got none of them",
            policy,
        ],
    );
    assert_eq!(found["severity"], "problem");
    // The other node hears this one, and says where to look.
    let other = Diagnosis::of(&group.nodes[0], "");
    other.has("two-active", &["node12 (10.77.0.12) is active, too", "vipctl doctor"]);
    let mend = found["mend"][0].as_str().expect("a command").to_owned();
    assert_eq!(mend, "nft insert rule inet filter input ip protocol vrrp accept");
    two.run(&mend);
    group.held_only_by(&group.nodes[0]);
    Diagnosis::of(two, "").is_healthy();
}

/// Rule: what is sent and dropped is found, too, before anything has gone wrong for clients.
pub(crate) fn output_dropped(lab: &Lab) {
    let (group, _agents) = pair(lab);
    let one = &group.nodes[0];
    one.run("nft add table ip out");
    one.run("nft add chain ip out out { type filter hook output priority 0; }");
    one.run("nft add rule ip out out ip daddr 224.0.0.0/8 drop");
    within(BOUND, "the other one takes over", || group.nodes[1].holds(VIP));
    let diagnosis = Diagnosis::of(one, "");
    let rule = "nft chain ip out out, rule with handle";
    let mend = "nft insert rule ip out out ip protocol vrrp accept";
    diagnosis.has("firewall", &[rule, mend]);
}

/// Rule: rules of iptables are read as well, and answered with iptables' own command.
pub(crate) fn iptables(lab: &Lab) {
    let (group, _agents) = pair(lab);
    let two = &group.nodes[1];
    lab.owners().overlap(BOUND, "a firewall keeps the advertisements from the backup");
    two.run("iptables -A INPUT -i eth0 -d 224.0.0.0/4 -m comment --comment no-multicast -j DROP");
    within(BOUND, "both are active", || two.holds(VIP));
    let diagnosis = Diagnosis::of(two, "");
    let found = diagnosis.has("firewall", &["-j DROP", "no-multicast", "vipd got none of them"]);
    let mend = found["mend"][0].as_str().expect("a command").to_owned();
    assert_eq!(mend, "iptables -t filter -I INPUT -i eth0 -p vrrp -j ACCEPT");
    two.run(&mend);
    group.held_only_by(&group.nodes[0]);
    Diagnosis::of(two, "").is_healthy();
}

/// Rule: another group on the same virtual router ID is named, with an ID that is free.
pub(crate) fn another_group(lab: &Lab) {
    let (group, _agents) = pair(lab);
    lab.owners().hole(BOUND, "a better router of the same ID has another address");
    let stranger = group.segment.host(13);
    let theirs = Config::new(&[]).set("addresses", "[10.77.0.200/24]").set("priority", "250");
    let _other = Agent::start(&stranger, &theirs.set("preempt", "always"));
    within(BOUND, "the stranger is active", || !group.nodes[0].holds(VIP));
    show(lab, &group.nodes[0]);
    let expected = [
        "10.77.0.13, which is none of the nodes, uses virtual router ID 51 on eth0",
        "it advertises 10.77.0.200 with priority 250; this instance has 10.77.0.100",
        "virtual_router_id: 52",
    ];
    Diagnosis::of(&group.nodes[0], "").has("another-group", &expected);
}

/// Rule: nodes whose configurations drift apart are told what is different: the addresses, the
/// interval.
pub(crate) fn drift(lab: &Lab) {
    let group = Group::new(lab, &[11, 12]);
    let more = config(&group).set("addresses", "[10.77.0.100/24, 10.77.0.101/24]");
    let _two = Agent::start(&group.nodes[1], &more.set("advertisement_interval", "300ms"));
    group.taken_over_by(&group.nodes[1]);
    let one = Agent::start(&group.nodes[0], &config(&group));
    one.reports(&["node12 (10.77.0.12) is active"]);
    show(lab, &group.nodes[0]);
    let diagnosis = Diagnosis::of(&group.nodes[0], "");
    diagnosis.has("addresses-differ", &["only node12 (10.77.0.12): 10.77.0.101", "scp "]);
    diagnosis.has("interval-differs", &["every 300 ms", "advertisement_interval: 200ms"]);
}

/// Rule: nodes that speak different versions refuse each other, and doctor says so.
pub(crate) fn versions(lab: &Lab) {
    let group = Group::new(lab, &[11, 12]);
    lab.owners().overlap(BOUND, "each refuses the version of the other one");
    let [one, two] = &group.nodes[..] else { panic!("two nodes") };
    let older = config(&group).set("version", "2").set("advertisement_interval", "1s");
    let _agents = [Agent::start(one, &config(&group)), Agent::start(two, &older)];
    within(BOUND, "both are active", || one.holds(VIP) && two.holds(VIP));
    for (node, other) in [(one, "node12 (10.77.0.12)"), (two, "node11 (10.77.0.11)")] {
        let expected = format!("{other} speaks another version of VRRP than this node");
        within(BOUND, "doctor says so", || {
            let diagnosis = Diagnosis::of(node, "");
            diagnosis.findings().any(|found| {
                found["kind"] == "version-differs" && found.to_string().contains(&expected)
            })
        });
    }
}

/// Rule: a machine outside of the group that has the address is found by asking, with its Ethernet
/// address, from the active node and from the backup.
pub(crate) fn third_machine(lab: &Lab) {
    let (group, _agents) = pair(lab);
    lab.owners().overlap(BOUND, "the third machine has the address from somebody else");
    let third = group.segment.host(13);
    third.run("ip link set dev eth0 address 02:00:00:00:00:99");
    third.run(&format!("ip address add {VIP}/32 dev eth0"));
    within(BOUND, "its link is up", || third.is_running("eth0"));
    show(lab, &group.nodes[0]);
    for node in &group.nodes {
        let diagnosis = Diagnosis::of(node, "");
        let expected = ["a machine outside of the group has 10.77.0.100", "02:00:00:00:00:99"];
        diagnosis.has("address-elsewhere", &expected);
        assert_eq!(diagnosis.code, Some(1));
    }
}

/// Rule: where the switch keeps multicast away, doctor knows that nothing arrives, and that the
/// other node has the address, too.
pub(crate) fn multicast(lab: &Lab) {
    let (group, _agents) = pair(lab);
    for node in &group.nodes {
        group.segment.flood_multicast(node, "off");
    }
    within(BOUND, "both are active", || group.nodes[1].holds(VIP));
    show(lab, &group.nodes[1]);
    let expected = [
        "node11 (10.77.0.11) is active, too, and its multicast does not arrive here",
        "none of its advertisements to 224.0.0.18 came in on eth0",
        "this machine has joined 224.0.0.18 on eth0",
        "IGMP querier",
    ];
    Diagnosis::of(&group.nodes[1], "").has("multicast-not-arriving", &expected);
    for node in &group.nodes {
        group.segment.flood_multicast(node, "on");
    }
    group.held_only_by(&group.nodes[0]);
    Diagnosis::of(&group.nodes[1], "").is_healthy();
}

/// Rule: a snooping bridge of this machine is named with its settings and the command for it.
pub(crate) fn bridge_of_this_machine(lab: &Lab) {
    let (group, _agents) = pair(lab);
    let host = group.segment.host(13);
    host.run("ip link add name br0 type bridge mcast_snooping 1 mcast_querier 0");
    host.run("ip address flush dev eth0");
    host.run("ip link set eth0 master br0");
    host.run("ip link set br0 up");
    host.run("ip address add 10.77.0.13/24 dev br0");
    group.segment.flood_multicast(&host, "off");
    let alone = group.config().set("preempt", "never").set("interface", "br0");
    let alone = alone.yaml().replace("instances:\n", "  node13: 10.77.0.13\ninstances:\n");
    let agent = Agent::launch(&host, &mut Agent::command(&host, &alone));
    agent.reports(&["web: active"]);
    // Its own /sys: that of the machine has not this namespace's interfaces.
    let mut command = Command::new("ip");
    command.args(["netns", "exec", host.unique_name(), &program("vipctl")]);
    let diagnosis = Diagnosis::told(&host, command.args(["doctor", "--json"]));
    let expected = [
        "bridge br0: IGMP snooping on, querier off",
        "ip link set dev br0 type bridge mcast_querier 1",
    ];
    diagnosis.has("multicast-not-arriving", &expected);
}

/// Rule: a node of the list that does not answer is named.
pub(crate) fn nobody_else(lab: &Lab) {
    let group = Group::new(lab, &[11, 12]);
    let _one = Agent::start(&group.nodes[0], &config(&group));
    group.taken_over_by(&group.nodes[0]);
    group.segment.partition(&group.nodes[1]);
    let diagnosis = Diagnosis::of(&group.nodes[0], "");
    diagnosis.has("node-unreachable", &["node12 (10.77.0.12) does not answer on eth0"]);
}

/// Rule: settings of the kernel that keep the address from working are named, each with the line to
/// write.
pub(crate) fn settings(lab: &Lab) {
    let (group, _agents) = pair(lab);
    let one = &group.nodes[0];
    set(one, "net/ipv4/conf/eth0/arp_ignore", "8");
    let diagnosis = Diagnosis::of(one, "");
    diagnosis
        .has("arp-settings", &["arp_ignore is 8", "sysctl -w net.ipv4.conf.eth0.arp_ignore=0"]);
    set(one, "net/ipv4/conf/eth0/arp_ignore", "0");

    let elsewhere = Segment::another(lab, "b", [192, 0, 2]);
    elsewhere.connect(one, "eth1");
    one.run("ip route add default via 192.0.2.1 dev eth1");
    set(one, "net/ipv4/conf/eth0/rp_filter", "1");
    let expected = ["rp_filter is strict (1) on eth0", "net.ipv4.conf.eth0.rp_filter=2"];
    Diagnosis::of(one, "").has("rp-filter", &expected);
    set(one, "net/ipv4/conf/all/rp_filter", "0");
    set(one, "net/ipv4/conf/eth0/rp_filter", "2");

    set(one, "net/ipv4/conf/eth0/arp_filter", "1");
    one.run("ip address add 10.77.0.77/24 dev eth1");
    Diagnosis::of(one, "").has("arp-settings", &["arp_filter is on, and eth1 has 10.77.0.77/24"]);
    set(one, "net/ipv4/conf/eth0/arp_filter", "0");
    one.run("ip link del eth1");
    Diagnosis::of(one, "").is_healthy();
}

/// Rule: nothing is wrong with virtual MAC addresses, and nobody's answer is a stranger's; an interface
/// that answers with its own Ethernet address, because another program has changed its settings, is
/// named with the line to type.
pub(crate) fn virtual_mac(lab: &Lab) {
    let group = Group::new(lab, &[11, 12]);
    let config = config(&group).set("virtual_mac", "true");
    let one = &group.nodes[0];
    let _first = Agent::start(one, &config);
    group.taken_over_by(one);
    let _second = Agent::start(&group.nodes[1], &config);
    within(BOUND, "the other one is a backup", || {
        let said = Agent::vipctl(&group.nodes[1], "status").stdout;
        String::from_utf8_lossy(&said).contains("backup")
    });
    for node in &group.nodes {
        Diagnosis::of(node, "").is_healthy();
    }
    for (key, least) in [("arp_ignore", 1), ("arp_announce", 2)] {
        set(one, &format!("net/ipv4/conf/eth0/{key}"), "0");
        let mend = format!("sysctl -w net.ipv4.conf.eth0.{key}={least}");
        Diagnosis::of(one, "").has("virtual-mac", &[&format!("{key} is 0 there"), &mend]);
        set(one, &format!("net/ipv4/conf/eth0/{key}"), &least.to_string());
    }
}

/// Rule: an own address that the kernel would take off with the virtual one is found.
pub(crate) fn secondary(lab: &Lab) {
    let (group, _agents) = pair(lab);
    let one = &group.nodes[0];
    set(one, "net/ipv4/conf/all/promote_secondaries", "0");
    set(one, "net/ipv4/conf/eth0/promote_secondaries", "0");
    one.run("ip address add 10.77.0.11/32 dev eth0");
    // Takes the virtual address with it, which is put back: as the first one of its network.
    one.run("ip address del 10.77.0.11/24 dev eth0");
    within(BOUND, "the address is back", || one.holds(VIP));
    one.run("ip address add 10.77.0.21/24 dev eth0");
    let expected = ["10.77.0.21/24", "net.ipv4.conf.all.promote_secondaries=1"];
    Diagnosis::of(one, "").has("promote-secondaries", &expected);
    set(one, "net/ipv4/conf/all/promote_secondaries", "1");
    assert!(Diagnosis::of(one, "").findings().all(|one| one["kind"] != "promote-secondaries"));
}

/// Rule: checks and hooks that fail are named with what they said; so is an instance that the
/// operator has taken out.
pub(crate) fn checks_hooks_standby(lab: &Lab) {
    let group = Group::new(lab, &[11, 12]);
    let one = &group.nodes[0];
    let fails = r#"[/bin/sh, -c, "echo no space left; exit 3"]"#;
    let config = config(&group)
        .set("preempt", "always")
        .check("disk", format!("script: {{ command: {fails}, user: root }}, cost: 20"))
        .set("notify", format!("{{ after_claim: {fails}, user: root }}"));
    let _agent = Agent::start(one, &config);
    group.taken_over_by(one);
    let mut socket = one.runtime_directory();
    socket.push("control.sock");
    let mut stream = UnixStream::connect(socket).expect("the control socket");
    stream.write_all(b"{\"standby\":{\"instance\":\"web\",\"force\":true}}\n").expect("a request");
    stream.read_to_string(&mut String::new()).expect("an answer");
    let diagnosis = Diagnosis::of(one, "");
    diagnosis.has("hook-fails", &["web: its hook after_claim has failed", "no space left"]);
    diagnosis.has("check-fails", &["check disk (script)", "no space left", "vipctl probe disk"]);
    diagnosis.has("standby", &["vipctl online web"]);
}

/// Rule: without a daemon doctor says so instead of giving up, and with one it compares the file with
/// what is in effect.
pub(crate) fn daemon_and_file(lab: &Lab) {
    let group = Group::new(lab, &[11]);
    let one = &group.nodes[0];
    let diagnosis = Diagnosis::of(one, "");
    assert_eq!(diagnosis.code, Some(1));
    diagnosis.has("not-running", &["status.sock"]);

    let agent = Agent::start(one, &group.config());
    group.taken_over_by(one);
    let file = one.directory().join("11.yaml");
    let text = fs::read_to_string(&file).expect("the file");
    fs::write(&file, format!("{text}# changed\n")).expect("the file");
    Diagnosis::of(one, "").has("configuration-not-loaded", &["11.yaml", "vipctl reload --dry-run"]);
    fs::write(&file, format!("{text}wrong: 1\n")).expect("the file");
    agent.signal(Signal::SIGHUP);
    within(BOUND, "the reload is refused", || agent.log().contains("wrong"));
    within(BOUND, "doctor says so", || {
        let diagnosis = Diagnosis::of(one, "");
        diagnosis.findings().any(|one| {
            one["kind"] == "configuration-refused" && one["evidence"].to_string().contains("wrong")
        })
    });
}

/// Rule: programs that strip addresses, and services that are bound to one, are found in the files of
/// the system.
pub(crate) fn programs_around(lab: &Lab) {
    let (group, _agents) = pair(lab);
    let one = &group.nodes[0];
    let root = lab.directory().join("root");
    let write = |path: &str, text: &str| {
        let path = root.join(path);
        fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
        fs::write(path, text).expect("a file");
    };
    let index = one.interface_index("eth0");
    let state = "ADMIN_STATE=configured\nNETWORK_FILE=/etc/systemd/network/lan.network\n";
    write(&format!("run/systemd/netif/links/{index}"), state);
    write("etc/systemd/network/lan.network", "[Match]\nName=eth0\n[Network]\nDHCP=yes\n");
    write(&format!("run/NetworkManager/devices/{index}"), "[device]\nmanaged=true\n");
    write("run/dhcpcd/eth0.pid", "1\n");
    write("etc/nginx/sites-enabled/web", "server {\n    listen 10.77.0.100:80;\n}\n");
    let diagnosis = Diagnosis::of(one, &format!("--root {}", root.display()));
    let drop_in = "/etc/systemd/network/lan.network.d/vipd.conf";
    diagnosis.has("networkd-addresses", &["lan.network: KeepConfiguration=(not set)", drop_in]);
    diagnosis.has("networkd-routes", &["ManageForeignRoutes is not 'no'"]);
    diagnosis.has("networkmanager", &["unmanaged-devices=interface-name:eth0"]);
    diagnosis.has("dhcpcd", &["denyinterfaces eth0"]);
    let expected = ["/etc/nginx/sites-enabled/web:2: listen 10.77.0.100:80;", "ip_nonlocal_bind=1"];
    diagnosis.has("nonlocal-bind", &expected);
}

/// Rule: what an ordinary user may not see is named as left out, and is no finding.
pub(crate) fn without_root(lab: &Lab) {
    if !Lab::started_by_root() {
        lab.note("as an ordinary user there is no other one to run it as: nothing to see here");
        return;
    }
    let (group, _agents) = pair(lab);
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    command.arg(program("vipctl")).args(["doctor", "--json"]);
    let diagnosis = Diagnosis::told(&group.nodes[0], &mut command);
    diagnosis.is_healthy();
    let left = diagnosis.report["left_out"].to_string();
    assert!(left.contains("the wire of eth0") && left.contains("CAP_NET_RAW"), "{left}");
    assert!(left.contains("firewall rules"), "{left}");
}

/// Authentication with a key of this digit alone, in a file.
fn signed(lab: &Lab, digit: &str) -> String {
    let file = lab.directory().join(format!("key-{digit}"));
    fs::write(&file, format!("hex:{}\n", digit.repeat(64))).expect("a key");
    fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("its mode");
    format!("{{ keys: {{ 1: {{ file: {} }} }} }}", file.display())
}

/// Rule: another key than the others have is found on both nodes, and the key is not shown.
pub(crate) fn authentication(lab: &Lab) {
    let group = Group::new(lab, &[11, 12]);
    lab.owners().overlap(BOUND, "each refuses the key of the other one");
    let [one, two] = &group.nodes[..] else { panic!("two nodes") };
    let keyed = |digit| config(&group).set("authentication", signed(lab, digit));
    let _agents = [Agent::start(one, &keyed("a")), Agent::start(two, &keyed("b"))];
    within(BOUND, "both are active", || one.holds(VIP) && two.holds(VIP));
    for node in [one, two] {
        within(BOUND, "doctor says so", || {
            let diagnosis = Diagnosis::of(node, "");
            assert!(!diagnosis.report.to_string().contains("aaaaaaaa"));
            diagnosis.findings().any(|found| found["kind"] == "authentication-differs")
        });
    }
}

/// Rule: advertisements that are refused for another reason are found with it: here they have come
/// over a router.
pub(crate) fn refused_advertisements(lab: &Lab) {
    let (group, _agents) = pair(lab);
    let wrong = Forgery::all_wrong(20).into_iter();
    let routed = wrong.filter(|forgery| forgery.defect.contains("TTL")).collect::<Vec<_>>();
    assert!(!routed.is_empty(), "a forgery with a wrong TTL");
    let node = &group.nodes[0];
    within(BOUND, "doctor says so", || {
        for forgery in &routed {
            forgery.send(&group.nodes[1]);
        }
        let diagnosis = Diagnosis::of(node, "");
        let mut findings = diagnosis.findings();
        findings.any(|found| {
            found["kind"] == "advertisements-refused"
                && found.to_string().contains("must be on one segment")
        })
    });
}

/// Rule: a daemon that was held up, and one that the system does not let be punctual, are found.
pub(crate) fn punctuality(lab: &Lab) {
    let group = Group::new(lab, &[11]);
    let node = &group.nodes[0];
    let agent = Agent::command(node, &config(&group).yaml());
    let mut command = Command::new("prlimit");
    command.args(["--rtprio=0:0", "--memlock=65536:65536", "setpriv"]);
    command.args(["--bounding-set=-sys_nice,-ipc_lock", "--inh-caps=-sys_nice,-ipc_lock"]);
    command.arg(agent.get_program()).args(agent.get_args());
    let agent = Agent::launch(node, &mut command);
    group.taken_over_by(node);
    let expected = ["not real-time: Operation not permitted", "LimitRTPRIO=10"];
    Diagnosis::of(node, "").has("refused-by-the-system", &expected);
    agent.signal(Signal::SIGSTOP);
    sleep(Duration::from_millis(1500));
    agent.signal(Signal::SIGCONT);
    agent.reports(&["held up"]);
    Diagnosis::of(node, "").has("held-up", &["half an advertisement interval or more"]);
}

/// Rule: an active node on which nothing listens says so, until something does.
pub(crate) fn nobody_listens(lab: &Lab) {
    // Not a group's node: a server of the test's own listens there.
    let segment = Segment::new(lab);
    let node = &segment.host(11);
    let _agent = Agent::start(node, &Config::new(&[node]));
    within(BOUND, "it is active", || node.holds(VIP));
    let one = node.inside(|| TcpListener::bind((node.address(), 0))).expect("a listener");
    let expected = ["nothing on this machine listens on 10.77.0.100", "start the service"];
    Diagnosis::of(node, "").has("nobody-listens", &expected);
    let _all = node.inside(|| TcpListener::bind("0.0.0.0:0")).expect("a listener");
    let diagnosis = Diagnosis::of(node, "");
    assert!(diagnosis.findings().all(|found| found["kind"] != "nobody-listens"));
    drop(one);
}

/// Rule: an active node that does not answer for the address is found from the backup.
pub(crate) fn unanswered(lab: &Lab) {
    let (group, _agents) = pair(lab);
    // It answers for its own address alone.
    group.nodes[0].run("nft add table arp silence");
    group.nodes[0].run(
        "nft add chain arp silence out { type filter hook output priority 0; policy accept; }",
    );
    group.nodes[0].run("nft add rule arp silence out arp saddr ip 10.77.0.100 drop");
    let expected = ["nobody answers for 10.77.0.100", "node11 (10.77.0.11) is active"];
    // The announcements of the takeover are answers, too, for ten seconds.
    within(BOUND, "doctor says so", || {
        let diagnosis = Diagnosis::of(&group.nodes[1], "");
        let found = diagnosis.findings().find(|found| found["kind"] == "address-unanswered");
        let text = found.map(Value::to_string).unwrap_or_default();
        expected.iter().all(|part| text.contains(part))
    });
}

/// Rule: a clock that nobody sets is a note, and a problem where advertisements are signed.
pub(crate) fn clock(lab: &Lab) {
    let group = Group::new(lab, &[11]);
    let node = &group.nodes[0];
    let programs = node.directory().join("programs");
    fs::create_dir(&programs).expect("a directory");
    let timedatectl = programs.join("timedatectl");
    fs::write(&timedatectl, "#!/bin/sh\necho no\n").expect("a program");
    fs::set_permissions(&timedatectl, Permissions::from_mode(0o755)).expect("a program");
    let diagnosis = || {
        let mut command = Command::new(program("vipctl"));
        let path = format!("{}:{}", programs.display(), std::env::var("PATH").expect("a path"));
        Diagnosis::told(node, command.args(["doctor", "--json"]).env("PATH", path))
    };
    let agent = Agent::start(node, &config(&group));
    group.taken_over_by(node);
    assert_eq!(diagnosis().has("clock", &["NTPSynchronized=no"])["severity"], "note");
    agent.reload(node, &config(&group).set("authentication", signed(lab, "a")));
    let found = diagnosis();
    assert_eq!(found.has("clock", &["timedatectl set-ntp true"])["severity"], "problem");
}

/// Rule: an interface without IPv6 under an IPv6 address is found, and so is what comes of it.
pub(crate) fn without_ipv6(lab: &Lab) {
    let group = Group::with(lab, &[11], VIP6.into());
    let node = &group.nodes[0];
    let agent = Agent::start(node, &group.config());
    agent.reports(&["web: active"]);
    set(node, "net/ipv6/conf/eth0/disable_ipv6", "1");
    agent.reports(&["web: fault"]);
    let diagnosis = Diagnosis::of(node, "");
    let expected = ["IPv6 is off on eth0", "sysctl -w net.ipv6.conf.eth0.disable_ipv6=0"];
    diagnosis.has("ipv6-disabled", &expected);
    diagnosis.has("fault", &["web: cannot take part"]);
}
