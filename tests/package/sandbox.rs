//! Checks and hooks under the unit as it is shipped: what it forbids must not be what they need.

use std::fmt::Write as _;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::debian;
use super::lab::{Lab, Segment, running_time};
use super::machine::Machine;

/// A script that says who it is and what it may do.
const SELF: &str = "#!/bin/sh\nsleep 0.2\n\
    echo $(id -un) $(grep -c '^Cap[PEA].*0000000000000000$' /proc/self/status) $(grep NoNewPrivs /proc/self/status) \
    $(grep -E 'Max (realtime priority|locked memory)' /proc/self/limits)\n";

/// What a script may not do whoever runs it.
const LIMITED: &str = "Max realtime priority 0 0";

/// What is noticed at once takes far less than this, and a look has this interval.
const RARE: Duration = Duration::from_secs(40);

/// The checks: a name, what they are, and how each can be made to fail, with its words then.
const CHECKS: [(&str, &str, &str, &str); 9] = [
    (
        "unit",
        "systemd_unit: { unit: nginx.service }",
        "systemctl stop nginx",
        "nginx.service is inactive",
    ),
    ("process", "process: { name: nginx }", "systemctl stop nginx", "no process"),
    ("web", "http: { url: \"http://127.0.0.1/\" }", "systemctl stop nginx", "connection refused"),
    ("port", "tcp: { address: \"127.0.0.1:80\" }", "systemctl stop nginx", "connection refused"),
    (
        "database",
        "postgres: { dsn: \"host=127.0.0.1 user=app dbname=postgres\", role: primary }",
        "systemctl stop postgresql@15-main",
        "connection refused",
    ),
    (
        "file",
        "file: { path: /etc/hostname }",
        "mv /etc/hostname /etc/hostname.away",
        "is not there",
    ),
    ("link", "interface: { name: eth0 }", "", ""),
    ("witness", "ping: { targets: [10.77.0.1] }", "", ""),
    ("neighbour", "arp: { targets: [10.77.0.1], interface: eth0 }", "", ""),
];

fn configuration() -> String {
    let mut text = "nodes: { one: 10.77.0.11, two: 10.77.0.12 }\ntracks:\n".to_owned();
    for (name, check, ..) in CHECKS {
        let _ = writeln!(text, "  {name}: {{ {check}, interval: 500ms, fall: 1 }}");
    }
    let _ = writeln!(
        text,
        "  own: {{ script: {{ command: [/usr/local/bin/self] }}, interval: 500ms }}"
    );
    let names: Vec<&str> = CHECKS.iter().map(|(name, ..)| *name).chain(["own"]).collect();
    let _ = writeln!(
        text,
        "instances:\n  web: {{ interface: eth0, virtual_router_id: 51, addresses: [10.77.0.100/24], \
         track: [{}], if_all_fail: keep, notify: {{ script: /usr/local/bin/hook }} }}",
        names.join(", ")
    );
    text
}

/// Rule: every kind of check works under the shipped unit, passes, and fails for the right reason;
/// scripts and hooks run as vipd without a capability; and the documented drop-in lets a script run
/// as another user.
pub(crate) fn checks_and_hooks(lab: &Lab) {
    let segment = Segment::new(lab);
    let _witness = segment.host(1);
    let mut machine = Machine::new(lab, &segment, "one", 11);
    machine.bring(&debian::package(), "vipd.deb");
    machine.boot();
    machine.does("apt-get install --yes ./vipd.deb");
    machine.does("runuser -u postgres -- psql --command 'CREATE ROLE app LOGIN'");
    machine.does("sed -i '1i host all app 127.0.0.1/32 trust' /etc/postgresql/15/main/pg_hba.conf");
    machine.does("systemctl reload postgresql@15-main");
    machine.write("/usr/local/bin/self", SELF);
    machine.write("/usr/local/bin/hook", "#!/bin/sh\necho $(id -un) $* >> /run/vipd/told\n");
    machine.does("chmod 755 /usr/local/bin/self /usr/local/bin/hook");
    machine.write("/etc/vipd/vipd.yaml", &configuration());
    machine.does("vipd check && systemctl reload vipd");
    machine.reports(&["web: active (priority 200) with 10.77.0.100/24"]);
    let journal = machine.journal();
    assert!(!journal.contains("systemd says nothing"), "{journal}");
    let own = "check own passes: vipd 3 NoNewPrivs: 1 Max locked memory 8388608 8388608 bytes";
    assert!(journal.contains(&format!("{own} {LIMITED}")), "{journal}");
    let told = machine.does("cat /run/vipd/told");
    assert!(told.contains("vipd INSTANCE web MASTER 200"), "{told}");
    for (name, _, script, reason) in CHECKS.iter().filter(|(_, _, script, _)| !script.is_empty()) {
        machine.does(script);
        machine.reports(&[&format!("check {name} ("), reason]);
        machine.does("systemctl start nginx postgresql@15-main");
        machine.run("mv /etc/hostname.away /etc/hostname");
        machine.reports(&["web: active (priority 200) with"]);
    }
    stopped_unit(lab, &machine);
    another_user(&machine);
}

/// Rule: the shipped unit lets vipd set what a virtual MAC address needs of the kernel, in both families'
/// settings, and an orderly end and `vipd release` after a crash put it back.
pub(crate) fn virtual_mac(lab: &Lab) {
    let segment = Segment::new(lab);
    let mut machine = Machine::new(lab, &segment, "one", 11);
    machine.bring(&debian::package(), "vipd.deb");
    machine.boot();
    machine.does("apt-get install --yes ./vipd.deb");
    let yaml = "nodes: { one: 10.77.0.11, two: 10.77.0.12 }\n\
                instances: { web: { interface: eth0, virtual_router_id: 51, \
                addresses: [10.77.0.100/24], virtual_mac: true } }\n";
    machine.write("/etc/vipd/vipd.yaml", yaml);
    let settings = || {
        let text = machine.does(
            "cat /proc/sys/net/ipv4/conf/eth0/arp_ignore /proc/sys/net/ipv4/conf/eth0/arp_announce",
        );
        text.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    let before = settings();
    for end in ["systemctl stop vipd", "systemctl kill --signal=KILL vipd; systemctl stop vipd"] {
        machine.does("vipd check && systemctl restart vipd");
        machine.reports(&["web: active (priority 200) with 10.77.0.100/24"]);
        assert_eq!(settings(), ["1", "2"]);
        let device = machine.does("ip -d link show vipd4-51-eth0");
        assert!(device.contains("00:00:5e:00:01:33"), "{device}");
        let off = machine.does("cat /proc/sys/net/ipv6/conf/vipd4-51-eth0/disable_ipv6");
        assert_eq!(off.trim(), "1");
        machine.does(end);
        assert_eq!(settings(), before, "{end}");
        machine.does("! ip link show vipd4-51-eth0");
    }
}

/// A unit that stops is noticed at once, however rarely its check looks.
fn stopped_unit(lab: &Lab, machine: &Machine) {
    let yaml = format!(
        "nodes: {{ one: 10.77.0.11, two: 10.77.0.12 }}\n\
         tracks: {{ unit: {{ systemd_unit: {{ unit: nginx.service }}, interval: {}s, fall: 1 }} }}\n\
         instances: {{ web: {{ interface: eth0, virtual_router_id: 51, \
         addresses: [10.77.0.100/24], track: [unit], if_all_fail: keep }} }}\n",
        RARE.as_secs()
    );
    machine.write("/etc/vipd/vipd.yaml", &yaml);
    machine.does("systemctl reload vipd");
    machine.reports(&["web: active (priority 200) with"]);
    // The look that follows the reload is over.
    sleep(Duration::from_secs(2));
    let stopped = Instant::now();
    machine.does("systemctl stop nginx");
    machine.reports(&["check unit (", "nginx.service is inactive"]);
    let noticed = running_time(stopped, Instant::now());
    lab.note(format!(
        "a stopped unit is in the status after {noticed:?}, with looks every {RARE:?}"
    ));
    assert!(noticed < RARE / 4, "{noticed:?}");
    machine.does("systemctl start nginx");
}

/// The drop-in that docs/install.md shows for scripts of other users.
fn another_user(machine: &Machine) {
    let yaml =
        configuration().replace("[/usr/local/bin/self]", "[/usr/local/bin/self], user: nobody");
    machine.write("/etc/vipd/vipd.yaml", &yaml);
    machine.does("systemctl reload vipd");
    let reason = "vipd runs as vipd and may not start a program as 'nobody'";
    machine.reports(&["not on this machine: ", reason]);
    let drop_in = "[Service]\nAmbientCapabilities=CAP_SETUID CAP_SETGID CAP_KILL\n\
                   CapabilityBoundingSet=CAP_SETUID CAP_SETGID CAP_KILL\n\
                   SystemCallFilter=@setuid\n";
    machine.write("/etc/systemd/system/vipd.service.d/users.conf", drop_in);
    machine.does("systemctl daemon-reload && systemctl restart vipd");
    machine.reports(&["web: active (priority 200) with 10.77.0.100/24"]);
    let journal = machine.journal();
    assert!(journal.contains("check own passes: nobody 3 NoNewPrivs: 1"), "{journal}");
    assert!(journal.matches(LIMITED).count() > 1, "{journal}");
}
