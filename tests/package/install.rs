//! The package on one machine: what is there after the installation, and what goes wrong before.

use super::debian;
use super::lab::{Lab, Segment, VIP};
use super::machine::Machine;
use super::page::Page;

const INSTALL: &str = "apt-get install --yes ./vipd.deb";

fn machine(lab: &Lab) -> Machine {
    let machine = Machine::new(lab, &Segment::new(lab), "one", 11);
    machine.bring(&debian::package(), "vipd.deb");
    machine
}

/// Rule: the service runs idle from the installation on, as a user of its own, and says so; the
/// sample is valid; the pages are where man looks for them.
pub(crate) fn first_steps(lab: &Lab) {
    let mut machine = machine(lab);
    machine.boot();
    machine.does(INSTALL);
    machine.reports(&["idle: no instances are configured"]);
    assert_eq!(machine.property("User"), "vipd");
    assert_eq!(machine.does("systemctl is-enabled vipd").trim(), "enabled");
    let capabilities =
        machine.does("grep CapEff /proc/$(systemctl show --value -p MainPID vipd)/status");
    let net_admin_and_raw = format!("{:016x}", (1_u64 << 12) | (1 << 13));
    assert!(capabilities.contains(&net_admin_and_raw), "{capabilities}");
    let checked = machine.does("vipd check");
    assert!(checked.starts_with("/etc/vipd/vipd.yaml: valid"), "{checked}");
    for path in [
        "/usr/share/man/man8/vipd.8.gz",
        "/usr/share/man/man8/vipctl.8.gz",
        "/usr/share/man/man5/vipd.yaml.5.gz",
        "/usr/share/bash-completion/completions/vipctl",
        "/usr/share/zsh/vendor-completions/_vipctl",
        "/usr/share/fish/vendor_completions.d/vipctl.fish",
    ] {
        machine.does(&format!("test -s {path}"));
    }
    // Where systemd itself may raise the limits, the daemon must have made use of them.
    let limits = machine.does("cat /proc/$(systemctl show --value -p MainPID vipd)/limits");
    let raised = limits.lines().any(|line| line.starts_with("Max realtime priority     10 "));
    assert!(raised != machine.status().contains("not real-time"), "{limits}{}", machine.status());
    let links = machine.does("ldd /usr/sbin/vipd /usr/bin/vipctl");
    let known = ["libc.so", "libm.so", "libgcc_s.so", "ld-linux", "linux-vdso", "/usr/"];
    let foreign = links.lines().find(|line| !known.iter().any(|known| line.contains(known)));
    assert_eq!(foreign, None);
}

/// Rule: docs/install.md works as written, from the installation to the end.
pub(crate) fn as_documented(lab: &Lab) {
    let segment = Segment::new(lab);
    let mut machine = Machine::new(lab, &segment, "web1", 11);
    machine.bring(&debian::package(), "vipd_0_amd64.deb");
    machine.boot();
    machine.does("useradd alice");
    let mut steps = Page::read("install.md").into_steps();
    let last = steps.split_off(steps.len() - 2);
    for step in &steps {
        step.take(&machine);
    }
    machine.reports(&["web: active (priority 200) with 10.77.0.100/24 on eth0 since "]);
    let asked = machine.run("runuser -u alice -- vipctl handover web").text;
    assert!(asked.contains("no other node took the addresses"), "alice is told: {asked}");
    for step in &last {
        step.take(&machine);
    }
    assert!(!machine.host().holds(VIP), "the address is still there");
    machine.does("test ! -e /etc/vipd");
}

/// Rule: the web side is off until it is wanted, then runs without any privilege, whatever becomes of
/// vipd; an upgrade restarts it where it runs, and does not start it where it does not.
pub(crate) fn web_side(lab: &Lab) {
    let mut machine = machine(lab);
    machine.bring(&debian::newer_package(lab.directory()), "newer.deb");
    machine.boot();
    machine.does(INSTALL);
    machine.reports(&["idle"]);
    assert_eq!(machine.run("systemctl is-enabled vipctl-serve").text.trim(), "disabled");
    assert_eq!(machine.run("systemctl is-active vipctl-serve").text.trim(), "inactive");

    machine.does("systemctl enable --quiet --now vipctl-serve");
    let get = |path: &str| {
        let retry = "--show-error --retry 20 --retry-delay 1 --retry-connrefused";
        machine.run(&format!("curl --silent {retry} http://127.0.0.1:10112{path}")).text
    };
    let process = || machine.does("systemctl show --value -p MainPID vipctl-serve");
    assert_eq!(get("/healthz"), "vipd answers\n");
    let first = process();
    let about = machine.does(&format!("cat /proc/{}/status", first.trim()));
    for line in ["CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1"] {
        assert!(about.contains(line), "{about}");
    }
    assert!(!about.contains("Uid:\t0\t"), "{about}");

    machine.does("systemctl restart vipd");
    assert_eq!(get("/healthz"), "vipd answers\n");
    machine.does("systemctl stop vipd");
    assert!(get("/metrics").ends_with("\nvipd_up 0\n"), "{}", get("/metrics"));
    machine.does("systemctl start vipd");
    assert_eq!(get("/healthz"), "vipd answers\n");
    assert_eq!(process(), first, "it had no reason to be started anew");

    machine.write("/etc/default/vipctl-serve", "ARGS=\"--listen 127.0.0.2:8112\"\n");
    machine.does("apt-get install --yes ./newer.deb </dev/null");
    assert_ne!(process(), first, "an upgrade restarts it");
    let elsewhere =
        "curl --silent --show-error --retry 20 --retry-connrefused http://127.0.0.2:8112/healthz";
    assert_eq!(machine.does(elsewhere), "vipd answers\n");
    machine.does("systemctl disable --quiet --now vipctl-serve");
    machine.does("apt-get install --yes --allow-downgrades ./vipd.deb </dev/null");
    assert_eq!(machine.run("systemctl is-active vipctl-serve").text.trim(), "inactive");
    machine.does("apt-get purge --yes vipd && test ! -e /etc/default/vipctl-serve");
}

/// Rule: a wrong file at boot fails the unit once, with the mistakes in its status, and mending
/// it is all that is needed.
pub(crate) fn bad_configuration(lab: &Lab) {
    let mut machine = machine(lab);
    machine.boot();
    machine.does(INSTALL);
    machine.does("cp /etc/vipd/vipd.yaml /root/good");
    machine.write("/etc/vipd/vipd.yaml", "instances:\n  web:\n    interfaec: eth0\n");
    machine.shut_down();
    machine.boot();
    assert_eq!(machine.property("ActiveState"), "failed");
    assert_eq!(machine.property("ExecMainStatus"), "78");
    assert_eq!(machine.property("NRestarts"), "0");
    let shown = machine.run("systemctl status --no-pager --full vipd").text;
    let line = "/etc/vipd/vipd.yaml:3:5: ";
    assert!(shown.contains(line) && shown.contains("did you mean 'interface'"), "{shown}");
    machine.does("cp /root/good /etc/vipd/vipd.yaml && systemctl start vipd");
    machine.reports(&["idle"]);
}

/// Rule: where no systemd runs the package installs and can be removed; on another architecture it
/// is refused by name.
pub(crate) fn other_places(lab: &Lab) {
    let machine = machine(lab);
    let done = |script: &str| {
        let said = machine.run_switched_off(&format!("set -e\n{script}"));
        assert!(said.success, "'{script}' failed: {}", said.text);
        said.text
    };
    done(INSTALL);
    done("vipd check && vipd --version && id vipd");
    done("apt-get purge --yes vipd; ! id vipd; test ! -e /etc/vipd");
    done(
        "dpkg --purge --force-depends --force-remove-essential systemd systemd-sysv libpam-systemd dbus-user-session || true",
    );
    done("dpkg -P --force-all systemd systemd-sysv; ! command -v systemctl");
    done("dpkg --install --force-depends vipd.deb && vipd check");
    done("dpkg --purge vipd; test ! -e /etc/vipd");
    let said = machine.run_switched_off(
        "dpkg-deb -R vipd.deb other; sed -i 's/^Architecture:.*/Architecture: riscv64/' other/DEBIAN/control
         dpkg-deb -b -Znone other other.deb && dpkg -i other.deb",
    );
    let expected = "package architecture (riscv64) does not match system";
    assert!(!said.success && said.text.contains(expected), "{}", said.text);
}
