//! What the address families ask of an instance: of IPv6 a link-local address first.

use super::fields::LinkLocal;
use super::problem::{Marked, Problems, Wrong};
use super::section::{Given, Section};
use crate::model::{Family, InterfaceName, Priority, Scope, VirtualAddress, Vrid};

/// How many IPv6 addresses an advertisement carries in one packet of 1500 bytes: they are less
/// the IPv6 header (40), the fixed part (8) and room for an authentication trailer (28).
const MOST_IPV6: usize = (1500 - 40 - 8 - 28) / 16;

/// Whether one of the addresses is of that family.
pub(super) fn has(addresses: &[Marked<VirtualAddress>], family: Family) -> bool {
    addresses.iter().any(|address| Family::of(address.value.address) == family)
}

/// Refuses what a family does not allow, and brings addresses into the order of advertisements:
/// those of IPv4, then those of IPv6 with the link-local ones of the interface first. Where there
/// is none, that of the virtual router is added (RFC 9568 section 5.2.9).
pub(super) fn settle(
    section: &Section<'_>,
    addresses: &mut Vec<Marked<VirtualAddress>>,
    interface: Option<&InterfaceName>,
    id: Option<Vrid>,
    priority: &Given<Priority>,
    problems: &mut Problems<'_>,
) {
    let choice = section.take("link_local", problems);
    if !has(addresses, Family::V6) {
        if let (true, Given::Right(choice)) = (has(addresses, Family::V4), &choice) {
            let wrong = Wrong::new("has no meaning for IPv4 addresses");
            problems.add(&choice.spot, wrong.hint("leave it out"));
        }
        return;
    }
    let is_first = |address: &VirtualAddress| {
        let dev = address.dev.as_ref();
        address.is_link_local() && dev.is_none_or(|dev| Some(dev) == interface)
    };
    let is_ipv6 = |address: &VirtualAddress| Family::of(address.address) == Family::V6;
    addresses.sort_by_key(|address| (is_ipv6(&address.value), !is_first(&address.value)));
    let has_one = addresses.iter().any(|address| is_first(&address.value));
    let start = addresses.iter().take_while(|address| !is_ipv6(&address.value)).count();
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
            _ => {
                let own = id.map(|id| own(id, spot.clone()));
                addresses.splice(start..start, own).for_each(drop);
            }
        }
    }
    let count = addresses.len() - start;
    if count > MOST_IPV6 {
        let what = format!(
            "comes to {count} IPv6 addresses with the link-local one; an advertisement carries {MOST_IPV6}"
        );
        problems.add(&spot, Wrong::new(what).hint(super::address::MOVE_SOME));
    }
}

fn own(id: Vrid, spot: super::problem::Spot) -> Marked<VirtualAddress> {
    let address = id.link_local().into();
    let (dev, label, scope) = (None, None, Scope::Global);
    Marked { value: VirtualAddress { address, prefix: 128, dev, label, scope }, spot }
}
