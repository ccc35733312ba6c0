//! What an instance sends: its advertisement on each of its paths, to everybody whom it is for.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::super::authentication;
use super::super::event::{Action, SystemError};
use super::super::held::Farewell;
use super::super::links::{Links, is_near};
use super::{Context, Instance};
use crate::model::{
    ChecksumStyle, Config, Family, InstanceConfig, InterfaceName, Path, Transport, Version,
};
use crate::vrrp::auth::Sequence;
use crate::vrrp::packet::{Advertisement, ChecksumForm, multicast_group};

/// From where to where one packet goes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ends {
    pub(super) interface: InterfaceName,
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
}

/// Advertisements that failed one after the other, by where they were to go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct FailedSends(BTreeMap<(InterfaceName, IpAddr), Failures>);

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Failures {
    in_a_row: u32,
    last_failed: bool,
}

impl FailedSends {
    /// Another one is sent there: where the last one got through, it is the first again.
    fn another(&mut self, to: &Ends) {
        if self.0.is_empty() {
            return;
        }
        if let Some(failures) = self.0.get_mut(&(to.interface.clone(), to.destination))
            && !std::mem::take(&mut failures.last_failed)
        {
            failures.in_a_row = 0;
        }
    }

    /// One has failed: how many have in a row.
    pub(super) fn failed(&mut self, interface: &InterfaceName, destination: IpAddr) -> u32 {
        let failures = self.0.entry((interface.clone(), destination)).or_default();
        failures.last_failed = true;
        failures.in_a_row = failures.in_a_row.saturating_add(1);
        failures.in_a_row
    }

    /// Whether at least so many have failed in a row on the way there.
    fn reaches(&self, to: &Ends, count: u32) -> bool {
        let failures = self.0.get(&(to.interface.clone(), to.destination));
        failures.is_some_and(|failures| failures.in_a_row >= count)
    }
}

/// The advertisement as it goes out again and again, on each way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Prepared {
    /// The basis that it was made from; `None`: nothing is prepared.
    basis: Option<Basis>,
    ways: Vec<Way>,
}

/// All that a message depends on besides the configuration, which counts as a change of the links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Basis {
    priority: u8,
    checksum: ChecksumForm,
    links: u64,
    devices: u64,
}

/// One way, and the message without its trailer.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Way {
    ends: Ends,
    through: Option<InterfaceName>,
    message: Result<Vec<u8>, SystemError>,
}

impl Instance {
    /// Sends an advertisement with this priority on every path.
    pub(super) fn advertise(&mut self, context: &Context<'_>, priority: u8, out: &mut Vec<Action>) {
        // Where another router answers until it hears this one, nothing is said yet.
        if self.life.pending().is_some_and(|pending| pending.silent) {
            return;
        }
        let prepared = self.prepared(context, priority);
        for Way { ends, through, message } in &prepared.ways {
            let Ends { interface, source, destination } = ends;
            let message = match message {
                Ok(message) => message,
                Err(error) => {
                    self.send_failed(context, interface, *destination, error, out);
                    continue;
                }
            };
            let mut message = message.clone();
            let sequence = self.authenticator.stamp(context.now.wall, &self.config);
            message.extend(self.trailer(sequence));
            self.counters.advertisements_sent += 1;
            self.counters.priority_zero_sent += u64::from(priority == 0);
            self.failed_sends.another(ends);
            out.push(Action::Send {
                interface: interface.clone(),
                through: through.clone(),
                source: *source,
                destination: *destination,
                message,
            });
        }
        self.prepared = prepared;
    }

    /// The advertisement with this priority: the last one, where nothing has changed.
    fn prepared(&mut self, context: &Context<'_>, priority: u8) -> Prepared {
        let basis = Some(Basis {
            priority,
            checksum: self.checksum,
            links: context.links.changes(),
            devices: self.service.devices().changes(),
        });
        let last = std::mem::take(&mut self.prepared);
        if last.basis == basis {
            return last;
        }
        let ways = self.open_ends(context).into_iter().map(|ends| Way {
            message: self.message(&ends, priority),
            through: self.through(&ends),
            ends,
        });
        Prepared { basis, ways: ways.collect() }
    }

    /// The trailer with this sequence, where there is one.
    fn trailer(&self, sequence: Option<Sequence>) -> impl Iterator<Item = u8> + use<> {
        let trailer = authentication::trailer(&self.config, sequence.unwrap_or_default());
        trailer.into_iter().flatten()
    }

    /// The last words of a daemon that has died, ready to be sent but for a time stamp.
    pub(super) fn farewells(&self, context: &Context<'_>) -> Vec<Farewell> {
        let secret = authentication::sending_secret(&self.config.authentication);
        let farewells = self.ends(context).into_iter().filter_map(|ends| {
            let mut message = self.message(&ends, 0).ok()?;
            message.extend(self.trailer(None));
            let (through, secret) = (self.through(&ends), secret.cloned());
            let Ends { interface, source, destination } = ends;
            Some(Farewell { interface, through, source, destination, message, secret })
        });
        farewells.collect()
    }

    /// The advertisement with this priority, without its trailer.
    fn message(&self, ends: &Ends, priority: u8) -> Result<Vec<u8>, SystemError> {
        let family = Family::of(ends.source);
        let advertisement = Advertisement {
            version: self.config.version,
            virtual_router_id: self.config.virtual_router_id,
            priority,
            interval: self.config.advertisement_interval,
            addresses: self.config.addresses_of(family).map(|a| a.address).collect(),
            authentication: authentication::field(&self.config.authentication),
        };
        advertisement
            .encode(ends.source, ends.destination, self.checksum)
            .map_err(|error| SystemError { errno: 0, text: error.to_string() })
    }

    /// The device by which a packet leaves where not by the interface itself. Unicast may have to
    /// go to the next router, to which no route leads from a device.
    fn through(&self, ends: &Ends) -> Option<InterfaceName> {
        if self.config.transport.is_unicast() {
            return None;
        }
        self.service.devices().through(&ends.interface, Family::of(ends.source))
    }

    /// Where its advertisements go now: on paths that cannot be used, nowhere.
    fn ends(&self, context: &Context<'_>) -> Vec<Ends> {
        let Context { links, config, .. } = context;
        let usable = self.config.paths().filter(|path| links.fault(&path.interface).is_none());
        usable.flat_map(|path| ends(links, config, &self.config, &path)).collect()
    }

    /// The same without the paths that have no socket.
    fn open_ends(&self, context: &Context<'_>) -> Vec<Ends> {
        let is_open = |ends: &Ends| {
            let (interface, family) = (ends.interface.clone(), Family::of(ends.source));
            context.links.listening.is_open(&Path { interface, family })
        };
        self.ends(context).into_iter().filter(is_open).collect()
    }

    /// True if it has a path on which others may hear it.
    pub(super) fn can_be_heard(&self, context: &Context<'_>) -> bool {
        !self.open_ends(context).is_empty()
    }

    /// Its own address on a path, as seen by who sends from `other`.
    pub(super) fn own_address(
        &self,
        context: &Context<'_>,
        interface: &InterfaceName,
        other: IpAddr,
    ) -> Option<IpAddr> {
        context.links.source(context.config, &self.config, interface, other)
    }

    /// Which of its paths this is.
    pub(super) fn path(&self, interface: &InterfaceName, other: IpAddr) -> Option<usize> {
        let family = Family::of(other);
        self.config.paths().position(|path| path.interface == *interface && path.family == family)
    }

    /// Whether advertisements fail on all ways, so many in a row at the least.
    pub(super) fn is_unheard(&self, context: &Context<'_>, failures: u32) -> bool {
        self.open_ends(context).iter().all(|ends| self.failed_sends.reaches(ends, failures))
    }

    /// Whether this message is one of ours (its second byte is the virtual router ID).
    pub(super) fn has_sent(
        &self,
        interface: &InterfaceName,
        source: IpAddr,
        message: &[u8],
    ) -> bool {
        self.path(interface, source).is_some()
            && message.get(1) == Some(&self.config.virtual_router_id.get())
    }
}

/// How it sums its advertisements while it has not heard how the others do.
pub(super) fn checksum_form(config: &InstanceConfig) -> ChecksumForm {
    match (config.version, config.checksum) {
        (Version::V2, _) | (Version::V3, ChecksumStyle::Rfc9568) => ChecksumForm::Message,
        (Version::V3, _) => ChecksumForm::WithPseudoHeader,
    }
}

/// From where to where the advertisements of an instance go on one path.
fn ends(links: &Links, config: &Config, instance: &InstanceConfig, path: &Path) -> Vec<Ends> {
    let destinations = match &instance.transport {
        Transport::Multicast { .. } => vec![group(instance, path)],
        Transport::Unicast { peers, .. } => peers_on(links, instance, peers, path),
    };
    let ends = destinations.into_iter().filter_map(|destination| {
        let source = links.source(config, instance, &path.interface, destination)?;
        Some(Ends { interface: path.interface.clone(), source, destination })
    });
    ends.collect()
}

/// Where multicast goes on a path.
pub(super) fn group(instance: &InstanceConfig, path: &Path) -> IpAddr {
    instance.transport.group(path.family).unwrap_or_else(|| multicast_group(path.family))
}

/// The peers that are reached on a path: those in a network of its interface. One that is in none
/// of the networks of all paths is behind a router: the first path is the way to it. This node is
/// no peer of its own.
fn peers_on(
    links: &Links,
    instance: &InstanceConfig,
    peers: &[IpAddr],
    path: &Path,
) -> Vec<IpAddr> {
    let near = |interface: &InterfaceName, peer: IpAddr| {
        links.get(interface).is_some_and(|link| is_near(link, peer))
    };
    let is_first = path.interface == instance.interface;
    let others = peers.iter().copied().filter(|peer| {
        let is_of_family = Family::of(*peer) == path.family;
        is_of_family && !links.has(instance, *peer)
    });
    let reached = others.filter(|peer| {
        let interfaces = std::iter::once(&instance.interface).chain(&instance.further_interfaces);
        near(&path.interface, *peer)
            || is_first && !interfaces.into_iter().any(|interface| near(interface, *peer))
    });
    reached.collect()
}
