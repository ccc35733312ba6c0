//! Changes by a reload: everything that may differ between the nodes of a group.

use std::net::{IpAddr, Ipv6Addr};

use fastrand::Rng;
use vipd::model::{
    Authentication, Config, Family, HmacMode, InstanceConfig, Interval, Network, Preempt, Priority,
    Route, RouteKind, RoutingTable, Transport, Version, VirtualAddress,
};
use vipd::time::Span;

use crate::group::{
    authentication, config, interface_of, other_multicast_groups, other_virtual_router_id, unicast,
};
use crate::hooks;
use crate::schedule::{Group, Machines, Schedule, draw_lease};

/// The configuration of a node at first, and again once everything is repaired.
pub(crate) fn whole(group: &Group, machines: &Machines, node: usize) -> Config {
    let mut config = config(group, node);
    let instance = &mut config.instances[0];
    instance.advertisement_interval = machines.intervals[node];
    instance.maximum_interval = machines.maximum_intervals[node];
    config
}

impl Schedule {
    /// The whole configuration of a node, with what is drawn from this seed.
    pub(crate) fn reloaded(&self, node: usize, seed: u64) -> Config {
        let whole = whole(&self.group, &self.machines, node);
        self.otherwise(whole, &mut Rng::with_seed(seed))
    }

    fn otherwise(&self, mut config: Config, rng: &mut Rng) -> Config {
        let mut one_in = |many: u8| rng.u8(..many) == 0;
        // Some of the checks go; the next reload may bring them back.
        config.tracks.retain(|_| !one_in(4));
        for track in &mut config.tracks {
            if one_in(4) {
                track.cost = if track.cost.is_some() { None } else { Some(40) };
            }
        }
        let tracks = config.tracks.iter().map(|track| track.name.clone()).collect();
        let instance = &mut config.instances[0];
        instance.tracks = tracks;
        instance.announce_refresh = Span::from_secs(rng.u64(..4) * 20);
        self.instance_otherwise(instance, rng);
        self.message_otherwise(instance, rng);
        self.paths_otherwise(instance, rng);
        // After what recorded schedules draw.
        self.mode_otherwise(instance, rng);
        routes_otherwise(instance, rng);
        config
    }

    /// Turns authentication off or on, or does half of it, as when keys are introduced.
    fn mode_otherwise(&self, instance: &mut InstanceConfig, rng: &mut Rng) {
        if !self.group.wire.signed || rng.u8(..4) != 0 {
            return;
        }
        let modes = [None, Some(HmacMode::ReceiveOnly), Some(HmacMode::Permissive)];
        let mode = rng.choice(modes).expect("three");
        match (&mut instance.authentication, mode) {
            (Authentication::Hmac(hmac), Some(mode)) => hmac.mode = mode,
            (authentication, _) => *authentication = Authentication::None,
        }
    }

    /// Changes the form of the advertisements, what is made of them, and when the node may begin.
    fn message_otherwise(&self, instance: &mut InstanceConfig, rng: &mut Rng) {
        let mut one_in = |many: u8| rng.u8(..many) == 0;
        let changes = [one_in(6), one_in(6), one_in(4), one_in(4)];
        let [version, keys, maximum_interval, hold_down] = changes;
        if version && self.may_change_version() {
            let is_v3 = instance.version == Version::V3;
            instance.version = if is_v3 { Version::V2 } else { Version::V3 };
            instance.maximum_interval = instance.advertisement_interval;
        }
        if keys && self.group.wire.signed {
            let all: [&[u8]; 3] = [&[2, 1], &[1, 2], &[2]];
            instance.authentication = authentication(rng.choice(all).expect("three"));
        }
        if maximum_interval && instance.version == Version::V3 {
            let own = instance.advertisement_interval;
            instance.maximum_interval = rng.choice([own, Interval::LONGEST_V3]).expect("two");
        }
        if hold_down {
            instance.hold_down = self.group.interval.span().times(rng.u64(0..4));
        }
    }

    /// Changes the way of the advertisements: by which interfaces, and to whom.
    fn paths_otherwise(&self, instance: &mut InstanceConfig, rng: &mut Rng) {
        let mut one_in = |many: u8| rng.u8(..many) == 0;
        let [transport, paths] = [one_in(6), one_in(6)];
        if transport {
            let all = [Transport::STANDARD, other_multicast_groups(), unicast(&self.group)];
            instance.transport = rng.choice(all).expect("three");
        }
        if paths && self.group.wire.second_path {
            let [one, other] = [interface_of(0), interface_of(1)];
            let all = [vec![one.clone()], vec![other.clone()], vec![other, one]];
            let mut all = rng.choice(all).expect("three").into_iter();
            instance.interface = all.next().expect("one at least");
            instance.further_interfaces = all.collect();
        }
    }

    /// True if a reload may change the protocol's version: version 2 has whole seconds, one
    /// interval for all, and only IPv4.
    pub(crate) fn may_change_version(&self) -> bool {
        let Self { group, machines, .. } = self;
        let has_v2 = group.wire.families() == [Family::V4] && !group.wire.signed;
        has_v2 && !machines.drift && group.interval.centiseconds().is_multiple_of(100)
    }

    fn instance_otherwise(&self, instance: &mut InstanceConfig, rng: &mut Rng) {
        let mut one_in = |many: u8| rng.u8(..many) == 0;
        let changes = [one_in(4), one_in(4), one_in(4), one_in(4), one_in(4), one_in(4), one_in(8)];
        let [priority, interval, preempt, lease, notify, addresses, virtual_router] = changes;
        if priority {
            let number = rng.choice([30, 80, 100, 180, 254]).expect("not empty");
            instance.priority = Priority::try_from(number).expect("valid");
        }
        if interval && self.machines.drift {
            let own = self.group.interval.centiseconds();
            let other = rng.choice([own, own * 2]).expect("two");
            instance.advertisement_interval = Interval::try_from(other).expect("valid");
        }
        if preempt {
            let after = Preempt::After(self.group.interval.span().times(rng.u64(1..12)));
            instance.preempt = rng.choice([Preempt::Never, Preempt::Always, after]).expect("three");
        }
        if lease {
            instance.lease = draw_lease(rng, instance.version, self.group.interval);
        }
        if notify {
            instance.notify = hooks::draw(rng);
        }
        if addresses {
            let other = another(&instance.addresses[0]);
            instance.addresses.push(other);
            // An IPv6 virtual router must have its link-local address, and a dual one both
            // families.
            let may_go = !self.group.wire.dual && instance.addresses[0].address.is_ipv4();
            if may_go && rng.bool() {
                instance.addresses.remove(0);
            }
        }
        if virtual_router {
            instance.virtual_router_id = other_virtual_router_id();
        }
    }
}

/// Brings a route, takes it away, or gives it another gateway: to the kernel that is the same
/// route.
fn routes_otherwise(instance: &mut InstanceConfig, rng: &mut Rng) {
    if rng.u8(..3) != 0 {
        return;
    }
    let gateway = rng.u8(1..3);
    let (to, prefix, via) = match instance.leading_family() {
        Family::V4 => ([10, 9, 0, 0].into(), 16, [10, 0, 0, gateway].into()),
        Family::V6 => {
            let network = "2001:db8:9::".parse().expect("an address");
            let via = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, gateway.into());
            (network, 48, via.into())
        }
    };
    instance.routes.push(Route {
        to: Network { address: to, prefix },
        kind: RouteKind::Unicast,
        via: Some(via),
        dev: Some(instance.interface.clone()),
        source: None,
        table: RoutingTable::MAIN,
        metric: 0,
        scope: None,
        mtu: None,
    });
}

/// The next address. For IPv6 it is in another network.
fn another(address: &VirtualAddress) -> VirtualAddress {
    let address_of = match address.address {
        IpAddr::V4(own) => IpAddr::from((u32::from(own) + 1).to_be_bytes()),
        IpAddr::V6(_) => "2001:db8::100".parse().expect("an address"),
    };
    VirtualAddress { address: address_of, ..address.clone() }
}
