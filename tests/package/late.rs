//! Things that come to the machine later than vipd.

use std::thread::sleep;
use std::time::Duration;

use super::debian;
use super::lab::{Lab, Segment, VIP};
use super::machine::Machine;

/// So much later than vipd the address comes, or nobody waits for it any longer.
const LATER: Duration = Duration::from_secs(20);

const CONFIGURATION: &str = "nodes: { one: 10.77.0.11, two: 10.77.0.12 }\n\
    instances: { web: { interface: eth0, virtual_router_id: 51, addresses: [10.77.0.100/24] } }\n";

/// Switches a machine with the package on whose own address is not there.
fn without_its_address(lab: &Lab, segment: &Segment) -> Machine {
    let mut machine = Machine::new(lab, segment, "one", 11);
    machine.bring(&debian::package(), "vipd.deb");
    machine.boot();
    machine.does("apt-get install --yes ./vipd.deb");
    machine.write("/etc/vipd/vipd.yaml", CONFIGURATION);
    machine.shut_down();
    machine.host().run("ip address flush dev eth0");
    machine.boot();
    let waits = "waiting: this machine has none of the nodes' addresses (10.77.0.11, 10.77.0.12)";
    machine.reports(&["web: fault (priority ", waits]);
    assert_eq!(machine.property("SubState"), "running", "READY=1 does not wait for an address");
    sleep(LATER);
    let shown = machine.run("systemctl status --no-pager --full vipd").text;
    assert!(shown.contains("active (running)") && shown.contains(waits), "{shown}");
    assert_eq!(machine.property("NRestarts"), "0", "{shown}");
    assert!(!machine.host().holds(VIP), "an instance in fault has the address");
    machine
}

/// Rule: a machine whose own address comes 20 s after vipd takes part from then on, without a
/// restart.
///
/// Bug guarded: vipd ended with exit code 78, after which systemd does not start it again.
pub(crate) fn own_address(lab: &Lab) {
    let segment = Segment::new(lab);
    let machine = without_its_address(lab, &segment);
    machine.host().run("ip address add 10.77.0.11/24 dev eth0");
    machine.reports(&["web: active (priority 200) with 10.77.0.100/24 on eth0"]);
    assert_eq!(machine.property("NRestarts"), "0");
    machine.does("vipd check");
}

/// Rule: where it never comes, vipd goes on waiting, `systemctl status` says what for, and `vipd
/// check` tells it from a mistake of the file.
pub(crate) fn own_address_never(lab: &Lab) {
    let segment = Segment::new(lab);
    let machine = without_its_address(lab, &segment);
    let checked = machine.run("vipd check; echo exit code $?").text;
    assert!(checked.contains("not on this machine: nodes: this machine has none"), "{checked}");
    assert!(checked.contains("exit code 69"), "{checked}");
    machine.does("systemctl is-active vipd");
}
