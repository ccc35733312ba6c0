//! The order in which the nodes take over from one that says that it stops.
//!
//! A backup waits for its skew time after a farewell, so that the best one takes over and no two do
//! (RFC 9568, section 6.4.2). Where all routers are in `nodes` and have the priorities of their
//! places, each of them knows which one that is. It need not wait. If it is not there, the others
//! take over after their skew times, as ever.

use std::net::IpAddr;

use super::{Context, Instance};
use crate::model::{Config, Family, Priority};

impl Instance {
    /// The router at this address stops on one path, and so on all paths of that address' family:
    /// `nodes` says which addresses are one router. Of keepalived's two instances for the two
    /// families one may be in fault alone.
    pub(super) fn stops_on_all_paths(&mut self, context: &Context<'_>, source: IpAddr) {
        let config = context.config;
        if let Some(name) = config.node_at(source) {
            self.router.stops_on_all_paths(|other| {
                Family::of(other) == Family::of(source) && config.node_at(other) == Some(name)
            });
        }
    }

    /// True if this node is the first to take over from the one at this address.
    pub(super) fn is_first_after(&self, context: &Context<'_>, gone: IpAddr) -> bool {
        let config = context.config;
        let first = config.node_at(gone).and_then(|gone| config.first_after(gone));
        first.is_some_and(|first| Some(&first.name) == config.this_node.as_ref())
            && self.goes_by_the_list(config)
            && self.router.priority() == self.config.priority
    }

    /// The addresses of the node that is the first to take over from this one.
    pub(super) fn first_after_this(&self, context: &Context<'_>) -> Vec<IpAddr> {
        let config = context.config;
        let first = config.this_node.as_ref().and_then(|this| config.first_after(this));
        let first = first.filter(|_| self.goes_by_the_list(config));
        first.map(|first| first.addresses().collect()).unwrap_or_default()
    }

    /// True if the order of `nodes` is that of the priorities, as far as this node can know: it has
    /// the priority of its place, and no other router was ever heard.
    fn goes_by_the_list(&self, config: &Config) -> bool {
        let place = config.place().and_then(Priority::of_place);
        place == Some(self.config.priority) && self.peers.are_all_listed(config)
    }
}
