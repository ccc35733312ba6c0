//! News that need not be told, since later ones replace them.

use std::collections::BTreeMap;

use super::News;
use crate::engine::{Input, Link};
use crate::model::InterfaceName;

/// Leaves out each state of an interface that the next news about that interface supersede: another
/// state with nothing different but the addresses. Many addresses that come one after another would
/// otherwise lead to as many states with long lists. What has become of the interface itself, and
/// that an address is gone, is told in any case.
pub(super) fn leave_out_superseded(news: &mut Vec<News>) {
    // By interface the next state, seen from the end; `None`: something else comes next.
    let mut next: BTreeMap<InterfaceName, Option<Link>> = BTreeMap::new();
    let mut kept = Vec::with_capacity(news.len());
    while let Some(one) = news.pop() {
        match &one {
            News::Input(Input::Link { interface, link }) => {
                let after = next.insert(interface.clone(), link.clone());
                let both = link.as_ref().zip(after.as_ref().and_then(Option::as_ref));
                if both.is_some_and(|(link, after)| differ_in_addresses_alone(link, after)) {
                    continue;
                }
            }
            News::Input(Input::AddressGone { interface, .. }) => {
                next.insert(interface.clone(), None);
            }
            News::Input(_) | News::Trouble(_) => {}
        }
        kept.push(one);
    }
    kept.reverse();
    *news = kept;
}

fn differ_in_addresses_alone(one: &Link, other: &Link) -> bool {
    let Link { index, mac, up, carrier, mtu, addresses: _, unusable: _, forwards_ipv6 } = other;
    (one.index, one.mac, one.up, one.carrier) == (*index, *mac, *up, *carrier)
        && (one.mtu, one.forwards_ipv6) == (*mtu, *forwards_ipv6)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{LinkAddress, Loss};

    fn link(interface: &str, up: bool, last: &[u8]) -> Input {
        let address = |last: &u8| LinkAddress {
            address: [10, 0, 0, *last].into(),
            prefix: 24,
            secondary: false,
        };
        let link = Link {
            index: 2,
            mac: None,
            up,
            carrier: up,
            mtu: 1500,
            addresses: last.iter().map(address).collect(),
            unusable: Vec::new(),
            forwards_ipv6: false,
        };
        Input::Link { interface: interface.try_into().unwrap(), link: Some(link) }
    }

    fn left(inputs: &[Input]) -> Vec<Input> {
        let mut news: Vec<News> = inputs.iter().cloned().map(News::Input).collect();
        leave_out_superseded(&mut news);
        let input = |news| match news {
            News::Input(input) => input,
            News::Trouble(text) => panic!("{text}"),
        };
        news.into_iter().map(input).collect()
    }

    /// Rule: of states that differ in the addresses alone the last one is told, for each interface.
    #[test]
    fn the_last_list_of_addresses_counts() {
        let all = [
            link("eth0", true, &[1]),
            link("eth1", true, &[9]),
            link("eth0", true, &[1, 2]),
            link("eth0", true, &[1, 2, 3]),
        ];
        assert_eq!(left(&all), [all[1].clone(), all[3].clone()]);
    }

    /// Rule: an interface that was down for a moment, or missing, or has lost an address is told as
    /// such: the engine counts it, and puts back what is gone.
    #[test]
    fn what_became_of_an_interface_is_always_told() {
        let missing = Input::Link { interface: "eth0".try_into().unwrap(), link: None };
        let gone = Input::AddressGone {
            interface: "eth0".try_into().unwrap(),
            address: [10, 0, 0, 1].into(),
            loss: Loss::Removed,
        };
        let flap = [link("eth0", true, &[1]), link("eth0", false, &[1]), link("eth0", true, &[1])];
        assert_eq!(left(&flap), flap);
        let replaced = [link("eth0", true, &[1]), missing, link("eth0", true, &[1])];
        assert_eq!(left(&replaced), replaced);
        let lost = [link("eth0", true, &[2]), gone, link("eth0", true, &[1, 2])];
        assert_eq!(left(&lost), lost);
    }
}
