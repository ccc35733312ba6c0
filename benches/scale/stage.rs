//! Two nodes on a number of segments.

use std::fs::File;
use std::net::Ipv4Addr;
use std::path::Path;
use std::thread;

use nix::ifaddrs::getifaddrs;
use nix::sched::{CloneFlags, setns};

use crate::lab::{Host, Lab, Segment};
use crate::workload::{Workload, interface_name, is_virtual};

/// The numbers of the nodes, and of the client's hosts.
pub(crate) const ACTIVE: u8 = 12;
pub(crate) const STANDBY: u8 = 11;
pub(crate) const CLIENT: u8 = 1;

/// The priorities of the active node and of the other one.
pub(crate) const PRIORITIES: [u8; 2] = [200, 100];

/// The address of a node on one of its interfaces.
pub(crate) fn own_address(interface: usize, node: u8) -> Ipv4Addr {
    let [a, b, c] = network(interface);
    Ipv4Addr::new(a, b, c, node)
}

fn network(interface: usize) -> [u8; 3] {
    [10, 64, u8::try_from(interface).expect("few interfaces")]
}

/// The nodes and the segments.
pub(crate) struct Stage {
    /// The segments, in the order of the interfaces.
    pub(crate) segments: Vec<Segment>,
    /// The node that is active.
    pub(crate) active: Host,
    /// The other one.
    pub(crate) standby: Host,
}

impl Stage {
    /// The nodes, without programs.
    pub(crate) fn new(lab: &Lab, workload: Workload) -> Self {
        let segments: Vec<Segment> = (0..workload.interfaces)
            .map(|number| Segment::another(lab, &number.to_string(), network(number)))
            .collect();
        let [active, standby] = [ACTIVE, STANDBY].map(|number| segments[0].host(number));
        for (number, segment) in segments.iter().enumerate().skip(1) {
            segment.connect(&active, &interface_name(number));
            segment.connect(&standby, &interface_name(number));
        }
        Self { segments, active, standby }
    }
}

/// The number of virtual addresses that a node has.
pub(crate) fn held(host: &Host) -> usize {
    let all = host.inside(getifaddrs).expect("the list of addresses");
    let addresses = all.filter_map(|interface| Some(interface.address?.as_sockaddr_in()?.ip()));
    addresses.filter(|address| is_virtual(*address)).count()
}

/// Does `work` at a segment's switch: sockets that are opened there stay there.
pub(crate) fn at_switch<T: Send>(segment: &Segment, work: impl FnOnce() -> T + Send) -> T {
    let path = Path::new("/run/netns").join(segment.switch());
    let namespace = File::open(path).expect("the switch's namespace");
    // Only this thread enters the namespace.
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            setns(&namespace, CloneFlags::CLONE_NEWNET).expect("the way into the namespace");
            work()
        });
        thread.join().expect("the work at the switch")
    })
}
