//! The other routers. What a stranger puts on the wire must not fill the scraper's memory: source
//! addresses are the sender's choice.

use std::cmp::Reverse;
use std::fmt;

use super::families::{Families, Labels};
use crate::engine::PeerStatus;
use crate::engine::status::InstanceStatus;

/// How many routers that are no configured nodes are shown for each instance: those of which the
/// most packets were accepted, which one-off addresses never are.
const STRANGERS: usize = 8;

pub(super) fn write(families: &mut Families<'_>, instances: &[&InstanceStatus]) -> fmt::Result {
    let peers: Vec<(Labels, &PeerStatus)> = instances
        .iter()
        .flat_map(|instance| shown(instance).into_iter().map(|peer| (labels(instance, peer), peer)))
        .collect();
    families.seconds(
        "vipd_peer_heard_age",
        "How long ago a router was heard last. A backup is not heard: it says nothing.",
        peers.iter().map(|(labels, peer)| (labels.clone(), peer.age)),
    )?;
    families.gauge(
        "vipd_peer_priority",
        "The priority that a router advertised last; 0: it stops being active.",
        peers.iter().filter_map(|(labels, peer)| {
            Some((labels.clone(), u64::from(peer.advertised.as_ref()?.priority)))
        }),
    )?;
    families.counter(
        "vipd_peer_advertisements_accepted",
        "Advertisements of a router that were accepted.",
        peers.iter().map(|(labels, peer)| (labels.clone(), peer.accepted)),
    )?;
    families.counter(
        "vipd_peer_advertisements_refused",
        "Advertisements of a router that were refused.",
        peers.iter().map(|(labels, peer)| (labels.clone(), peer.refused)),
    )?;
    families.gauge(
        "vipd_instance_peers",
        "How many other routers are remembered, those included that are not shown one by one.",
        instances.iter().map(|instance| {
            let name = vec![("vrrp_instance", instance.name.to_string())];
            (name, instance.peers.len() as u64)
        }),
    )
}

/// Configured nodes, and a few others.
fn shown(instance: &InstanceStatus) -> Vec<&PeerStatus> {
    let (mut nodes, mut others): (Vec<_>, Vec<_>) =
        instance.peers.iter().partition(|peer| peer.peer.name.is_some());
    others.retain(|peer| peer.accepted > 0);
    others.sort_by_key(|peer| Reverse(peer.accepted));
    others.truncate(STRANGERS);
    nodes.append(&mut others);
    nodes
}

fn labels(instance: &InstanceStatus, peer: &PeerStatus) -> Labels {
    let name = peer.peer.name.as_ref().map(ToString::to_string);
    vec![
        ("vrrp_instance", instance.name.to_string()),
        ("peer", peer.peer.address.to_string()),
        ("node", name.unwrap_or_default()),
    ]
}
