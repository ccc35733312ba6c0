//! vipd and FRR's vrrpd in one group.

use crate::frr::Frr;
use crate::lab::{Addresses, Keepalived, Lab, RouterSettings};
use crate::router::Vipd;
use crate::scenario::{
    failover, failover_of, learnt_interval, no_preemption, reunion, shortest_interval,
};

/// Proves the lab: what the scenario asks holds between FRR and keepalived.
pub(crate) fn with_keepalived(lab: &Lab) {
    failover::<Frr, Keepalived>(lab, 3);
}

/// Rule: vipd in front of FRR, VRRPv2.
pub(crate) fn v2_vipd_preferred(lab: &Lab) {
    failover::<Vipd, Frr>(lab, 2);
}

/// Rule: vipd behind FRR, VRRPv2.
pub(crate) fn v2_frr_preferred(lab: &Lab) {
    failover::<Frr, Vipd>(lab, 2);
}

/// Rule: vipd in front of FRR, VRRPv3.
pub(crate) fn v3_vipd_preferred(lab: &Lab) {
    failover::<Vipd, Frr>(lab, 3);
}

/// Rule: vipd behind FRR, VRRPv3.
pub(crate) fn v3_frr_preferred(lab: &Lab) {
    failover::<Frr, Vipd>(lab, 3);
}

/// Rule: `preempt: never` leaves an FRR router of lower priority alone.
pub(crate) fn vipd_does_not_preempt(lab: &Lab) {
    no_preemption::<Vipd, Frr>(lab);
}

/// Rule: an active vipd of lower priority goes on while FRR without preemption is there.
pub(crate) fn frr_does_not_preempt(lab: &Lab) {
    no_preemption::<Frr, Vipd>(lab);
}

/// Rule: of two active routers the better one stays, here ours, and takes the client back.
pub(crate) fn reunion_vipd_preferred(lab: &Lab) {
    reunion::<Vipd, Frr>(lab, [200, 100]);
}

/// Rule: of two active routers the better one stays, here theirs.
pub(crate) fn reunion_frr_preferred(lab: &Lab) {
    reunion::<Frr, Vipd>(lab, [200, 100]);
}

fn both(addresses: Addresses) -> [RouterSettings; 2] {
    [200, 100].map(|priority| RouterSettings::moving(addresses, priority))
}

/// Rule: vipd in front of FRR over IPv6.
pub(crate) fn ipv6_vipd_preferred(lab: &Lab) {
    failover_of::<Vipd, Frr>(lab, both(Addresses::Ipv6));
}

/// Rule: vipd behind FRR over IPv6.
///
/// The first election takes 1 s or 9 s. FRR 8.4.4 announces once, when it becomes active, but has no
/// address to advertise from for another 200 ms, because its macvlan is only getting its carrier. If
/// vipd's timer ends within those, vipd takes over and announces, hears FRR and yields (priority 0), which
/// FRR answers by an advertisement and no announcement. The client goes on with vipd's Ethernet address
/// until its neighbour cache has asked there in vain (RFC 4861: 5 s, then three times 1 s).
pub(crate) fn ipv6_frr_preferred(lab: &Lab) {
    failover_of::<Frr, Vipd>(lab, both(Addresses::Ipv6));
}

/// Rule: an FRR router without link-local address understands vipd, which has one, and the other way
/// round.
pub(crate) fn ipv6_without_link_local(lab: &Lab) {
    let [ours, _] = both(Addresses::Ipv6);
    let [_, theirs] = both(Addresses::Ipv6Alone);
    failover_of::<Vipd, Frr>(lab, [ours, theirs]);
}

/// Rule: vipd with both families in front of FRR's virtual router of both.
pub(crate) fn dual_vipd_preferred(lab: &Lab) {
    failover_of::<Vipd, Frr>(lab, both(Addresses::Both));
}

/// Rule: vipd with both families behind FRR.
pub(crate) fn dual_frr_preferred(lab: &Lab) {
    failover_of::<Frr, Vipd>(lab, both(Addresses::Both));
}

/// Rule: with advertisements every 10 ms vipd in front of FRR is steady, and is replaced at once.
pub(crate) fn shortest_interval_vipd_preferred(lab: &Lab) {
    shortest_interval::<Vipd, Frr>(lab);
}

/// Rule: the same behind FRR.
pub(crate) fn shortest_interval_frr_preferred(lab: &Lab) {
    shortest_interval::<Frr, Vipd>(lab);
}

/// Rule: FRR learns the interval that vipd advertises (RFC 9568 section 6.1).
pub(crate) fn frr_learns_the_interval(lab: &Lab) {
    learnt_interval::<Vipd, Frr>(lab);
}

/// Rule: vipd learns the interval that FRR advertises.
pub(crate) fn vipd_learns_the_interval(lab: &Lab) {
    learnt_interval::<Frr, Vipd>(lab);
}
