//! vipd and keepalived in one group.

use crate::lab::{Addresses, Agent, BOUND, Group, Keepalived, Lab, RouterSettings, VIP6, within};
use crate::router::{Router, Vipd};
use crate::scenario::{
    failover, failover_of, learnt_interval, no_preemption, replacement, reunion, reunion_of,
    shortest_interval, to_each_other,
};

/// Proves the lab: what the scenario asks holds between two keepalived.
pub(crate) fn among_themselves(lab: &Lab) {
    failover::<Keepalived, Keepalived>(lab, 3);
}

/// Rule: vipd in front of keepalived, VRRPv2.
pub(crate) fn v2_vipd_preferred(lab: &Lab) {
    failover::<Vipd, Keepalived>(lab, 2);
}

/// Rule: vipd behind keepalived, VRRPv2.
pub(crate) fn v2_keepalived_preferred(lab: &Lab) {
    failover::<Keepalived, Vipd>(lab, 2);
}

/// Rule: vipd in front of keepalived, VRRPv3.
pub(crate) fn v3_vipd_preferred(lab: &Lab) {
    failover::<Vipd, Keepalived>(lab, 3);
}

/// Rule: vipd behind keepalived, VRRPv3.
pub(crate) fn v3_keepalived_preferred(lab: &Lab) {
    failover::<Keepalived, Vipd>(lab, 3);
}

/// What a group with a password has: `auth_type PASS` of keepalived.
fn with_password() -> [RouterSettings; 2] {
    [200, 100].map(|priority| RouterSettings::new(2, priority).with_password("s3cr3t"))
}

/// Rule: vipd in front of keepalived, with a password.
pub(crate) fn password_vipd_preferred(lab: &Lab) {
    failover_of::<Vipd, Keepalived>(lab, with_password());
}

/// Rule: vipd behind keepalived, with a password.
pub(crate) fn password_keepalived_preferred(lab: &Lab) {
    failover_of::<Keepalived, Vipd>(lab, with_password());
}

/// Rule: `preempt: never` leaves a keepalived of lower priority alone.
pub(crate) fn vipd_does_not_preempt(lab: &Lab) {
    no_preemption::<Vipd, Keepalived>(lab);
}

/// Rule: an active vipd of lower priority goes on while keepalived with `nopreempt` is there.
pub(crate) fn keepalived_does_not_preempt(lab: &Lab) {
    no_preemption::<Keepalived, Vipd>(lab);
}

/// Rule: of two active routers the better one stays, here ours, and takes the client back from
/// the other (RFC 9568 section 6.4.3, and announcing again).
pub(crate) fn reunion_vipd_preferred(lab: &Lab) {
    reunion::<Vipd, Keepalived>(lab, [200, 100]);
}

/// Rule: of two active routers the better one stays, here theirs.
pub(crate) fn reunion_keepalived_preferred(lab: &Lab) {
    reunion::<Keepalived, Vipd>(lab, [200, 100]);
}

/// Rule: of two active routers with equal priorities the one with the higher address stays, and
/// both programs agree on which one that is (RFC 9568 section 6.4.3).
pub(crate) fn reunion_of_equals_vipd_higher(lab: &Lab) {
    reunion::<Vipd, Keepalived>(lab, [150, 150]);
}

/// The same with the higher address on keepalived's side.
pub(crate) fn reunion_of_equals_keepalived_higher(lab: &Lab) {
    reunion::<Keepalived, Vipd>(lab, [150, 150]);
}

/// Rule: a group of keepalived is replaced by vipd one node at a time, while it serves; VRRPv2 is
/// what keepalived speaks by default.
pub(crate) fn replaced_one_by_one(lab: &Lab) {
    replacement::<Keepalived, Vipd>(lab, 2);
}

fn both(addresses: Addresses) -> [RouterSettings; 2] {
    [200, 100].map(|priority| RouterSettings::moving(addresses, priority))
}

/// Rule: vipd in front of keepalived over IPv6, whose list has the link-local address that vipd adds.
pub(crate) fn ipv6_vipd_preferred(lab: &Lab) {
    failover_of::<Vipd, Keepalived>(lab, both(Addresses::Ipv6));
}

/// Rule: vipd behind keepalived over IPv6.
pub(crate) fn ipv6_keepalived_preferred(lab: &Lab) {
    failover_of::<Keepalived, Vipd>(lab, both(Addresses::Ipv6));
}

/// Rule: with `link_local: off` vipd joins a keepalived group that has no link-local address.
pub(crate) fn ipv6_without_link_local(lab: &Lab) {
    failover_of::<Vipd, Keepalived>(lab, both(Addresses::Ipv6Alone));
}

/// Rule: where keepalived lacks the link-local address that vipd adds, it drops vipd's
/// advertisements and both are active; vipd says why, and what to do.
pub(crate) fn ipv6_lists_differ(lab: &Lab) {
    let group = Group::ipv6(lab, &[12, 11]);
    let (ours, theirs) = (&group.nodes[0], &group.nodes[1]);
    let agent = Agent::start(ours, &group.config());
    group.taken_over_by(ours);
    let settings = RouterSettings::moving(Addresses::Ipv6Alone, 100);
    let _keepalived = <Keepalived as Router>::start(theirs, settings);
    within(BOUND, "both are active", || ours.holds(VIP6) && theirs.holds(VIP6));
    agent.reports(&["fe80::11", "only here: fe80::200:5eff:fe00:233", "link_local: off"]);
}

/// Rule: of two active routers the better one stays, over IPv6 too.
pub(crate) fn ipv6_reunion(lab: &Lab) {
    reunion_of::<Keepalived, Vipd>(lab, both(Addresses::Ipv6));
}

/// Rule: a dual-stack vipd is two virtual routers to keepalived: in front of its two instances, which
/// are in a sync group.
pub(crate) fn dual_vipd_preferred(lab: &Lab) {
    failover_of::<Vipd, Keepalived>(lab, both(Addresses::Both));
}

/// Rule: a dual-stack vipd behind keepalived's two instances.
pub(crate) fn dual_keepalived_preferred(lab: &Lab) {
    failover_of::<Keepalived, Vipd>(lab, both(Addresses::Both));
}

/// Rule: of two active routers the better one stays, with the addresses of both families.
pub(crate) fn dual_reunion(lab: &Lab) {
    reunion_of::<Vipd, Keepalived>(lab, both(Addresses::Both));
}

/// Rule: vipd in front of keepalived, by unicast.
pub(crate) fn unicast_vipd_preferred(lab: &Lab) {
    failover_of::<Vipd, Keepalived>(lab, to_each_other(both(Addresses::Ipv4)));
}

/// Rule: vipd behind keepalived, by unicast.
pub(crate) fn unicast_keepalived_preferred(lab: &Lab) {
    failover_of::<Keepalived, Vipd>(lab, to_each_other(both(Addresses::Ipv4)));
}

/// Rule: vipd in front of keepalived, by unicast over IPv6.
pub(crate) fn unicast_ipv6_vipd_preferred(lab: &Lab) {
    failover_of::<Vipd, Keepalived>(lab, to_each_other(both(Addresses::Ipv6)));
}

/// Rule: vipd behind keepalived, by unicast over IPv6.
pub(crate) fn unicast_ipv6_keepalived_preferred(lab: &Lab) {
    failover_of::<Keepalived, Vipd>(lab, to_each_other(both(Addresses::Ipv6)));
}

/// Rule: VRRPv2 with a password by unicast, as it is common where networks carry no multicast.
pub(crate) fn unicast_password(lab: &Lab) {
    failover_of::<Vipd, Keepalived>(lab, to_each_other(with_password()));
}

/// Rule: with advertisements every 10 ms vipd in front of keepalived is steady, and is replaced at once.
pub(crate) fn shortest_interval_vipd_preferred(lab: &Lab) {
    shortest_interval::<Vipd, Keepalived>(lab);
}

/// Rule: the same behind keepalived.
pub(crate) fn shortest_interval_keepalived_preferred(lab: &Lab) {
    shortest_interval::<Keepalived, Vipd>(lab);
}

/// Rule: keepalived learns the interval that vipd advertises (RFC 9568 section 6.1).
pub(crate) fn keepalived_learns_the_interval(lab: &Lab) {
    learnt_interval::<Vipd, Keepalived>(lab);
}

/// Rule: vipd learns the interval that keepalived advertises.
pub(crate) fn vipd_learns_the_interval(lab: &Lab) {
    learnt_interval::<Keepalived, Vipd>(lab);
}
