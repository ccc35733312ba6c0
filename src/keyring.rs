//! The secrets of this node, and the two things that take them: judging what has arrived, and
//! completing what is sent.
//!
//! The engine has no secret. It decides who may be heard, when and why, and is told of each packet
//! whether the sender knows the secret ([`Proof`]); what it sends lacks the code that only a key
//! can make. So a recording holds no secret, and replays without any: the verdicts are in it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::engine::{Action, Input, Packet};
use crate::model::{Family, InstanceConfig, InterfaceName, Key, KeyId, Password, Path, Vrid};
use crate::vrrp::auth::{Proof, Sequence, Trailer, unsigned};
use crate::vrrp::packet::{
    ChecksumForm, Datagram, blank_password, fill_in_password, put_checksum, split_trailer,
    virtual_router_id,
};

/// Which virtual router a secret is of, as packets name it.
pub type Place = (InterfaceName, Family, Vrid);

/// Where the packets of an instance are: its paths.
pub fn places(instance: &InstanceConfig) -> impl Iterator<Item = Place> {
    let id = instance.virtual_router_id;
    instance.paths().map(move |Path { interface, family }| (interface, family, id))
}

/// The secrets of one virtual router. They are wiped from memory when they are dropped.
#[derive(Debug)]
pub enum Secrets {
    /// The password of version 2.
    Password(Password),
    /// The keys by their numbers.
    Keys(BTreeMap<KeyId, Key>),
}

impl Secrets {
    fn contradicts(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Keys(ours), Self::Keys(theirs)) => {
                ours.iter().any(|(id, key)| theirs.get(id).is_some_and(|other| other != key))
            }
            (Self::Password(ours), Self::Password(theirs)) => ours != theirs,
            _ => false,
        }
    }
}

/// The secrets of all virtual routers that have some.
#[derive(Debug, Default)]
pub struct KeyRing {
    routers: BTreeMap<Place, Arc<Secrets>>,
    /// Those of virtual routers that the configuration has no more: they may be on their way out.
    leaving: BTreeMap<Place, Arc<Secrets>>,
}

impl KeyRing {
    /// Adds the secrets of a virtual router, which are the same on all of its paths.
    pub fn put(&mut self, places: impl IntoIterator<Item = Place>, secrets: Secrets) {
        let secrets = Arc::new(secrets);
        self.routers.extend(places.into_iter().map(|place| (place, Arc::clone(&secrets))));
    }

    /// Takes those of another configuration instead. Those of virtual routers that it doesn't have
    /// and that are there yet ([`Engine::instances`](crate::engine::Engine::instances)) are kept
    /// until the next time, for their farewells.
    pub fn replace<'a>(&mut self, new: Self, there: impl Iterator<Item = &'a InstanceConfig>) {
        let there: BTreeSet<Place> = there.flat_map(places).collect();
        let old = std::mem::replace(&mut self.routers, new.routers);
        let leaving = std::mem::take(&mut self.leaving);
        let all = leaving.into_iter().chain(old);
        let needed = all.filter(|(at, _)| there.contains(at) && !self.routers.contains_key(at));
        self.leaving = needed.collect();
    }

    /// Whether a virtual router has another password than in the other one, or another key under a
    /// number that both have.
    pub fn differs(&self, other: &Self, instance: &InstanceConfig) -> bool {
        places(instance).any(|place| {
            let both = self.routers.get(&place).zip(other.routers.get(&place));
            both.is_some_and(|(ours, theirs)| ours.contradicts(theirs))
        })
    }

    /// Takes a virtual router's secrets from another ring, instead of its own ones. Whether that
    /// one has them on all of its paths.
    pub fn adopt(&mut self, other: &Self, instance: &InstanceConfig) -> bool {
        let found = places(instance).map(|place| {
            let secrets = other.routers.get(&place)?;
            Some((place, Arc::clone(secrets)))
        });
        let found: Option<Vec<_>> = found.collect();
        let has_all = found.is_some();
        self.routers.extend(found.into_iter().flatten());
        has_all
    }

    /// Says if no virtual router has secrets.
    fn is_empty(&self) -> bool {
        self.routers.is_empty() && self.leaving.is_empty()
    }

    fn of(&self, place: &Place) -> Option<&Secrets> {
        self.routers.get(place).or_else(|| self.leaving.get(place)).map(Arc::as_ref)
    }

    /// Judges a packet, before the engine gets it. A password is taken out of it: inputs are
    /// recorded.
    pub fn receive(&self, input: &mut Input) {
        match input {
            Input::Received { interface, packet, proof, .. } => {
                *proof = self.judge(interface, packet);
                if let Packet::V4 { bytes } = packet {
                    let header = Datagram::from_ipv4(bytes).map(|d| bytes.len() - d.message.len());
                    let message = header.ok().and_then(|start| bytes.get_mut(start..));
                    if let Some(message) = message {
                        blank_password(message);
                    }
                }
            }
            Input::Failed { action, .. } => {
                if let Action::Send { message, .. } = action.as_mut() {
                    blank_password(message);
                }
            }
            _ => {}
        }
    }

    fn judge(&self, interface: &InterfaceName, packet: &Packet) -> Proof {
        if self.is_empty() {
            return Proof::None;
        }
        let Ok(datagram) = packet.datagram() else { return Proof::None };
        self.prove(interface, &datagram).unwrap_or_default()
    }

    fn prove(&self, interface: &InterfaceName, datagram: &Datagram<'_>) -> Option<Proof> {
        let (_, virtual_router_id) = virtual_router_id(datagram).ok()?;
        let place = (interface.clone(), datagram.family(), virtual_router_id);
        let (message, trailer) = split_trailer(datagram).ok()?;
        match self.of(&place)? {
            Secrets::Password(password) => {
                let field = message.last_chunk()?;
                Some(Proof::of(password.is(field)))
            }
            Secrets::Keys(keys) => {
                let trailer = Trailer::read(trailer?)?;
                let key = keys.get(&KeyId::try_from(trailer.key).ok()?)?;
                Some(Proof::of(trailer.is_right(key, datagram.source, message)))
            }
        }
    }

    /// Completes the messages that are to be sent: the code into the trailer, the password into its
    /// field, and the checksum where it covers these.
    pub fn complete(&self, actions: &mut [Action]) {
        if self.is_empty() {
            return;
        }
        for action in actions {
            if let Action::Send { interface, source, destination, message, .. } = action {
                let ends = (*source, *destination);
                // What lacks its key stays as it is, and the others refuse it.
                let _ = self.complete_message(interface, ends, message);
            }
        }
    }

    /// Completes one message for a packet between two addresses; `None` where there is nothing to
    /// complete, or nothing to complete it with.
    pub fn complete_message(
        &self,
        interface: &InterfaceName,
        ends: (IpAddr, IpAddr),
        message: &mut [u8],
    ) -> Option<()> {
        let (source, destination) = ends;
        let datagram = Datagram { source, destination, ttl: 255, message };
        let (_, virtual_router_id) = virtual_router_id(&datagram).ok()?;
        let secrets = self.of(&(interface.clone(), datagram.family(), virtual_router_id))?;
        let (inner, trailer) = split_trailer(&datagram).ok()?;
        let length = inner.len();
        match secrets {
            Secrets::Password(password) => fill_in_password(message, password.field()),
            Secrets::Keys(keys) => {
                let unsigned = Trailer::read(trailer?)?;
                let key = keys.get(&KeyId::try_from(unsigned.key).ok()?)?;
                let signed = unsigned.signed(key, source, inner)?;
                message.get_mut(length..)?.copy_from_slice(&signed);
                match Family::of(source) {
                    // The checksum does not cover the trailer.
                    Family::V4 => Some(()),
                    Family::V6 => {
                        put_checksum(source, destination, ChecksumForm::WithPseudoHeader, message)
                    }
                }
            }
        }
    }
}

/// Gives a message its sequence, where it has a trailer, in which the code is missing. `None` where
/// that is no message.
pub fn restamp(ends: (IpAddr, IpAddr), sequence: Sequence, message: &mut [u8]) -> Option<()> {
    let datagram = Datagram { source: ends.0, destination: ends.1, ttl: 255, message };
    let (inner, trailer) = split_trailer(&datagram).ok()?;
    let length = inner.len();
    if let Some(trailer) = trailer {
        let key = KeyId::try_from(Trailer::read(trailer)?.key).ok()?;
        message.get_mut(length..)?.copy_from_slice(&unsigned(key, sequence));
    }
    Some(())
}
