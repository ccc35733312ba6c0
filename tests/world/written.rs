//! The list for `vipd release`, of which each action changes a part.

use std::collections::BTreeMap;
use std::net::IpAddr;

use vipd::engine::HeldRouter;
use vipd::model::{InstanceName, InterfaceName, Routing};

/// The last word on each instance that holds something.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Written(BTreeMap<InstanceName, HeldRouter>);

impl Written {
    /// Takes in one action.
    pub(crate) fn note(&mut self, routers: &[HeldRouter]) {
        for router in routers {
            if router.is_empty() {
                self.0.remove(&router.instance);
            } else {
                self.0.insert(router.instance.clone(), router.clone());
            }
        }
    }

    pub(crate) fn routers(&self) -> impl Iterator<Item = &HeldRouter> {
        self.0.values()
    }

    /// True if an address is on the list, for this interface.
    pub(crate) fn has(&self, interface: &InterfaceName, address: IpAddr) -> bool {
        self.routers().any(|router| has(router, interface, address))
    }

    /// True if a route or a rule is on the list.
    pub(crate) fn has_routing(&self, routing: &Routing) -> bool {
        self.routers().any(|router| router.routing.contains(routing))
    }
}

pub(crate) fn has(router: &HeldRouter, interface: &InterfaceName, address: IpAddr) -> bool {
    let mut all = router.addresses.iter();
    all.any(|held| held.interface == *interface && held.address.address == address)
}
