//! What the address family asks of an instance: one family, and of IPv6 a link-local address first.

use serde::Deserialize;

use super::problem::{Marked, Problems, Wrong};
use super::section::{Given, Section};
use crate::model::{Family, InterfaceName, Priority, Scope, VirtualAddress, Vrid};

/// How many IPv6 addresses an advertisement carries in one packet of 1500 bytes: they are less
/// the IPv6 header (40), the fixed part (8) and room for an authentication trailer (28).
const MOST_IPV6: usize = (1500 - 40 - 8 - 28) / 16;

/// Whether an instance gets a link-local address that its configuration does not list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum LinkLocal {
    Auto,
    Off,
}

/// The family of the addresses: that of the first one.
pub(super) fn of(addresses: &[Marked<VirtualAddress>]) -> Option<Family> {
    addresses.first().map(|first| Family::of(first.value.address))
}

/// Refuses what a family does not allow, and brings IPv6 addresses into the order of an
/// advertisement: the link-local ones of the interface first. Where there is none, that of the
/// virtual router is added (RFC 9568 section 5.2.9).
pub(super) fn settle(
    section: &Section<'_>,
    addresses: &mut Vec<Marked<VirtualAddress>>,
    interface: Option<&InterfaceName>,
    id: Option<Vrid>,
    priority: &Given<Priority>,
    problems: &mut Problems<'_>,
) {
    let choice = section.take("link_local", problems);
    refuse_mixture(addresses, problems);
    if of(addresses) != Some(Family::V6) {
        if let (Some(_), Given::Right(choice)) = (of(addresses), &choice) {
            let wrong = Wrong::new("has no meaning for IPv4 addresses");
            problems.add(&choice.spot, wrong.hint("leave it out"));
        }
        return;
    }
    let is_first = |address: &VirtualAddress| {
        let dev = address.dev.as_ref();
        address.is_link_local() && dev.is_none_or(|dev| Some(dev) == interface)
    };
    addresses.sort_by_key(|address| !is_first(&address.value));
    let has_one = addresses.first().is_some_and(|first| is_first(&first.value));
    let spot = section.spot_of("addresses").unwrap_or_else(|| section.spot().clone());
    if !has_one && choice.or(LinkLocal::Auto) == Some(LinkLocal::Auto) {
        match priority {
            Given::Right(priority) if priority.value.is_owner() => {
                let wrong = Wrong::new(
                    "has no link-local address, with which the advertisements of an address owner \
                     must start (RFC 9568 section 5.2.9)",
                );
                problems.add(&spot, wrong.hint("list the one that this machine has there"));
            }
            _ => addresses.splice(0..0, id.map(|id| own(id, spot.clone()))).for_each(drop),
        }
    }
    if addresses.len() > MOST_IPV6 {
        let what = format!(
            "comes to {} IPv6 addresses with the link-local one; an advertisement carries {MOST_IPV6}",
            addresses.len()
        );
        problems.add(&spot, Wrong::new(what).hint(super::address::MOVE_SOME));
    }
}

fn own(id: Vrid, spot: super::problem::Spot) -> Marked<VirtualAddress> {
    let address = id.link_local().into();
    let (dev, label, scope) = (None, None, Scope::Global);
    Marked { value: VirtualAddress { address, prefix: 128, dev, label, scope }, spot }
}

/// A virtual router is of one family (RFC 9568 section 1.7): both would be two of them.
fn refuse_mixture(addresses: &[Marked<VirtualAddress>], problems: &mut Problems<'_>) {
    let Some(first) = addresses.first() else { return };
    let family = Family::of(first.value.address);
    let Some(other) = addresses.iter().find(|a| Family::of(a.value.address) != family) else {
        return;
    };
    let what = format!(
        "{} is {}, and {} in line {} is {family}: IPv4 and IPv6 in one instance (dual stack) is not \
         supported by this version of vipd yet",
        other.value.address,
        Family::of(other.value.address),
        first.value.address,
        first.spot.place.line,
    );
    let hint = "make two instances of it, which may have the same virtual_router_id, and put them \
                into one sync group";
    problems.add(&other.spot, Wrong::new(what).hint(hint));
}
