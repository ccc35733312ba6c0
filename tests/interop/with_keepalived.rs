//! vipd and keepalived in one group.

use crate::lab::Keepalived;
use crate::lab::Lab;
use crate::router::{Settings, Vipd};
use crate::scenario::{failover, failover_of, no_preemption, replacement, reunion};

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
fn with_password() -> [Settings; 2] {
    [200, 100].map(|priority| Settings::new(2, priority).with_password("s3cr3t"))
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
