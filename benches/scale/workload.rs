//! The numbers of routers and their intervals.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;
use std::time::Duration;

/// The first byte of all virtual addresses, and the second byte of those on the first interface.
const FIRST: u8 = 10;
const SECOND: u8 = 128;

/// Virtual routers on some interfaces, one address each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Workload {
    /// The number of routers.
    pub(crate) routers: usize,
    /// The advertisement interval.
    pub(crate) interval: Duration,
    /// The number of interfaces, each on a segment of its own.
    pub(crate) interfaces: usize,
}

/// All workloads, in the order of the page.
pub(crate) const WORKLOADS: [Workload; 4] = [
    Workload { routers: 255, interval: Duration::from_millis(100), interfaces: 4 },
    Workload { routers: 1_000, interval: Duration::from_millis(100), interfaces: 4 },
    Workload { routers: 1_000, interval: Duration::from_secs(1), interfaces: 4 },
    Workload { routers: 4_000, interval: Duration::from_secs(1), interfaces: 16 },
];

/// One virtual router.
#[derive(Clone, Copy, Debug)]
pub(crate) struct VirtualRouter {
    /// The number of its interface.
    pub(crate) interface: usize,
    /// Its ID on that interface.
    pub(crate) id: u8,
}

impl VirtualRouter {
    /// The address that moves.
    pub(crate) fn address(self) -> Ipv4Addr {
        let second = SECOND + u8::try_from(self.interface).expect("few interfaces");
        Ipv4Addr::new(FIRST, second, 0, self.id)
    }

    /// The name of its interface on each node.
    pub(crate) fn interface_name(self) -> String {
        interface_name(self.interface)
    }
}

/// The name of an interface on each node.
pub(crate) fn interface_name(number: usize) -> String {
    format!("eth{number}")
}

/// Tells the addresses of virtual routers from those of the nodes.
pub(crate) fn is_virtual(address: Ipv4Addr) -> bool {
    let [first, second, ..] = address.octets();
    first == FIRST && second >= SECOND
}

impl Workload {
    /// True for the largest one, which has other targets: no advertisement is missed in a minute,
    /// and a stop of the daemon moves all addresses.
    pub(crate) fn is_largest(self) -> bool {
        self.interfaces > 4
    }

    /// The routers, interface by interface.
    pub(crate) fn all(self) -> impl Iterator<Item = VirtualRouter> {
        (0..self.interfaces).flat_map(move |interface| self.on(interface))
    }

    /// The routers of an interface.
    pub(crate) fn on(self, interface: usize) -> impl Iterator<Item = VirtualRouter> {
        let rest = usize::from(interface < self.routers % self.interfaces);
        let count = u8::try_from(self.routers / self.interfaces + rest).expect("at most 255");
        (1..=count).map(move |id| VirtualRouter { interface, id })
    }

    /// The lease of vipd's addresses by default: four intervals in whole seconds.
    pub(crate) fn lease(self) -> Duration {
        Duration::from_secs(
            (self.interval * 4).as_millis().div_ceil(1_000).try_into().expect("few"),
        )
    }

    /// For people.
    pub(crate) fn title(self) -> String {
        let routers = match self.routers {
            few @ ..1_000 => few.to_string(),
            many => format!("{},{:03}", many / 1_000, many % 1_000),
        };
        format!("{routers} × {} s", self.interval.as_secs_f64())
    }
}

/// The name on the command line.
impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{:?}", self.routers, self.interval)
    }
}

impl FromStr for Workload {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = WORKLOADS.into_iter().find(|workload| workload.to_string() == name);
        found.ok_or_else(|| {
            format!("there are {}", WORKLOADS.map(|workload| workload.to_string()).join(", "))
        })
    }
}
