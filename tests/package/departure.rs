//! What an operator does with the active machine: nobody should notice.

use super::debian;
use super::lab::VIP;
use super::pair::{Bound, Pair};

/// `systemctl stop`, then `start`.
pub(crate) fn stopped(pair: &mut Pair<'_>) {
    let stop = |pair: &mut Pair<'_>, active: usize| {
        let machine = &pair.machines[active];
        machine.does("systemctl stop vipd");
        assert!(pair.is_free_of_it(active), "a stopped vipd has left the address");
        assert_eq!(machine.property("Result"), "success");
        machine.does("test ! -e /run/vipd");
    };
    pair.goes_through("systemctl stop", Bound::PLANNED, stop, |pair, active| {
        pair.machines[active].does("systemctl start vipd");
    });
}

/// `systemctl poweroff`, and it is switched on again.
pub(crate) fn shut_down(pair: &mut Pair<'_>) {
    let shut_down = |pair: &mut Pair<'_>, active: usize| pair.machines[active].shut_down();
    pair.goes_through("poweroff", Bound::PLANNED, shut_down, |pair, active| {
        pair.machines[active].boot();
    });
}

/// A file with mistakes is refused, and the status says so until it is mended.
pub(crate) fn reloaded_badly(pair: &mut Pair<'_>) {
    pair.stays("reload of a bad file", |pair, active| {
        let machine = &pair.machines[active];
        machine.does(
            "cp /etc/vipd/vipd.yaml /root/good && echo '  mistake: 1' >> /etc/vipd/vipd.yaml",
        );
        assert!(!machine.run("systemctl reload vipd").success, "the reload succeeds");
        machine
            .reports(&[": active (", "the configuration was not reloaded: /etc/vipd/vipd.yaml:"]);
        let shown = machine.run("systemctl status --no-pager --full vipd").text;
        assert!(shown.contains("instances.mistake: expected a mapping"), "{shown}");
        machine.does("cp /root/good /etc/vipd/vipd.yaml && systemctl reload vipd");
        machine.reports(&[": active ("]);
        assert!(!machine.status().contains("not reloaded"), "{}", machine.status());
    });
}

/// `apt install` of a newer package: the address moves first, and the file stays as it is.
pub(crate) fn upgraded(pair: &mut Pair<'_>) {
    let newer = debian::newer_package(pair.lab.directory());
    let upgrade = |pair: &mut Pair<'_>, active: usize| {
        let machine = &pair.machines[active];
        machine.bring(&newer, "vipd_newer.deb");
        machine.does("cp /etc/vipd/vipd.yaml /root/before");
        machine.does("apt-get install --yes ./vipd_newer.deb");
        let version = machine.does("dpkg-query --show --showformat='${Version}' vipd");
        assert!(version.ends_with("+newer"), "{version}");
        machine.does("cmp /etc/vipd/vipd.yaml /root/before && systemctl is-active vipd");
    };
    pair.goes_through("upgrade", Bound::PLANNED, upgrade, |_, _| {});
}

/// `apt remove`, then `apt purge`: no address and no file of ours is left.
pub(crate) fn removed(pair: &mut Pair<'_>) {
    let remove = |pair: &mut Pair<'_>, active: usize| {
        let machine = &pair.machines[active];
        machine.does("apt-get remove --yes vipd");
        assert!(pair.is_free_of_it(active), "a removed vipd has left the address");
        machine.does("test -e /etc/vipd/vipd.yaml && test ! -e /usr/sbin/vipd");
        machine.does("apt-get purge --yes vipd");
        nothing_is_left(pair, active);
    };
    let again = |pair: &mut Pair<'_>, active: usize| {
        let machine = &pair.machines[active];
        machine.does("mkdir -p /etc/vipd && cp /root/before /etc/vipd/vipd.yaml");
        machine.does("apt-get install --yes -o Dpkg::Options::=--force-confold ./vipd_newer.deb");
    };
    pair.goes_through("remove, purge, install", Bound::PLANNED, remove, again);
}

/// The end: both are purged, the active one last.
pub(crate) fn purged(pair: &Pair<'_>) {
    let active = pair.active();
    for place in [1 - active, active] {
        pair.machines[place].does("apt-get purge --yes vipd");
        nothing_is_left(pair, place);
    }
}

fn nothing_is_left(pair: &Pair<'_>, place: usize) {
    let machine = &pair.machines[place];
    assert!(pair.is_free_of_it(place), "{} keeps {VIP}", machine.name());
    let files = machine.does(
        "find / -xdev -path /proc -prune -o -iname '*vipd*' -print; ls -d /run/*vipd* 2>/dev/null; true",
    );
    // What other programs write down of everything they have seen, and what the test has brought.
    let others = ["/root/", "/var/log/", "/var/lib/systemd/", "/tmp/"];
    // The administrator's own file is in it.
    let others = [&others[..], &["/etc/systemd/system/vipd.service.d"]].concat();
    let ours = files.lines().filter(|file| !others.iter().any(|place| file.starts_with(place)));
    assert_eq!(ours.collect::<Vec<_>>(), [""; 0], "of {}", machine.name());
    let traces =
        machine.run("getent passwd vipd; getent group vipd; ip link show type macvlan").text;
    assert_eq!(traces, "", "of {}", machine.name());
}
