//! `vipd release`: removes what a daemon that is dead has left on the system, and says to the
//! other routers what it could not say any more.
//!
//! **First rules, routes and addresses go, then priority 0 is sent.** From the farewell on a backup
//! waits for its skew time alone, which may be less than a millisecond, whereas a removal may have
//! to wait for a lock of the kernel's. So the other way round two nodes could have an address. This
//! way the addresses are missing for as long as the removal takes (some milliseconds) and the skew
//! time, and while the kernel keeps us waiting this node still serves.
//!
//! **Devices with virtual MAC addresses go last**: the farewell leaves by them. Then the kernel's
//! settings that they needed are put back.
//!
//! **Where none of a virtual router's addresses was there any more, nothing is said.** Their lease
//! has run out, so a backup has taken over, and priority 0 would only have the others doubt it.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use nix::net::if_::if_nametoindex;

use super::cli::ReleaseOptions;
use super::clock;
use super::exit::Exit;
use super::held::{HeldFile, Unreadable};
use super::netlink::{Removable, Removal, remove_devices_now, remove_now};
use super::permission;
use super::runtime::{self, Refusal, RuntimeDirectory};
use super::secrets::{self, Unusable};
use super::settings;
use super::socket::{Outgoing, Sender};
use crate::engine::{Farewell, HeldAddress, HeldRouter, SystemError};
use crate::keyring::{KeyRing, Place, restamp};
use crate::model::{AntiReplay, Family, InstanceName, InterfaceName, Routing, VirtualDevice};
use crate::vrrp::auth::Stamper;
use crate::vrrp::packet::{Datagram, MULTICAST_TTL, virtual_router_id};

/// How far apart a farewell is sent again: multicast is lost in bursts. Short, because a backup
/// that has heard the first one starts its skew time anew.
const AGAIN: Duration = Duration::from_millis(2);

/// So many addresses are told of one by one, and of the others those that are left.
const TOLD: u32 = 8;

/// What became of one virtual router.
#[derive(Debug)]
struct Released {
    instance: InstanceName,
    addresses: Vec<(HeldAddress, Removal)>,
    routing: Vec<(Routing, Removal)>,
    devices: Vec<(VirtualDevice, Removal)>,
    /// Whether it could be said to the others; `None` where there was nothing to say.
    farewell: Option<io::Result<()>>,
}

/// Releases and says so on standard output.
pub(crate) fn main(options: &ReleaseOptions) -> Exit {
    let path = runtime::path(options.runtime.directory.as_deref());
    if matches!(path.try_exists(), Ok(false)) {
        return nothing();
    }
    match RuntimeDirectory::take_over(path) {
        Ok(directory) => release(&directory),
        Err(refusal) => {
            eprintln!("{refusal}");
            if let Refusal::Busy { .. } = refusal {
                eprintln!("  it holds what is written down itself: to release it, stop that one");
            }
            refusal.exit()
        }
    }
}

fn release(directory: &RuntimeDirectory) -> Exit {
    let file = &directory.held();
    let routers = match file.read() {
        Ok(routers) if routers.is_empty() && !settings::are_changed(directory.directory()) => {
            return nothing();
        }
        Ok(routers) => routers,
        Err(error) => {
            eprintln!("vipd: {error}");
            return match error {
                Unreadable::File { .. } => Exit::System,
                Unreadable::Content { .. } => Exit::Data,
            };
        }
    };
    if let Err(missing) = permission::check() {
        eprintln!("{missing}");
        return Exit::Permission;
    }
    let released = sweep(file, &routers);
    let written = file.write(&left(&routers, &released));
    let mut out = io::stdout().lock();
    for released in &released {
        // Nobody is left to hear of an output that is closed.
        let _ = writeln!(out, "{released}");
    }
    if let Err(error) = &written {
        eprintln!("vipd: {}: cannot be brought up to date: {error}", file.path().display());
    }
    let settings = settings::restore_all(directory.directory());
    match &settings {
        Ok(restored) => restored.iter().for_each(|one| drop(writeln!(out, "{one}"))),
        Err(error) => eprintln!("vipd: settings of the kernel are not put back: {error}"),
    }
    let restored = settings.is_ok_and(|all| !all.iter().any(settings::Restored::failed));
    let complete = restored && released.iter().all(Released::is_complete);
    if complete && written.is_ok() { Exit::Ok } else { Exit::System }
}

fn nothing() -> Exit {
    let _ = writeln!(io::stdout(), "nothing to release");
    Exit::Ok
}

/// The same for a daemon that starts, as lines of its log. Whatever comes of it the daemon starts:
/// it is one more node that can serve, and takes off itself what its configuration names.
pub(crate) fn sweep_at_start(directory: &RuntimeDirectory) {
    sweep_routers(&directory.held());
    match settings::restore_all(directory.directory()) {
        Ok(restored) => {
            for one in restored {
                tracing::warn!("left by a vipd that did not end in an orderly way: {one}");
            }
        }
        Err(error) => tracing::warn!("settings of the kernel are not put back: {error}"),
    }
}

fn sweep_routers(file: &HeldFile) {
    let routers = match file.read() {
        Ok(routers) if routers.is_empty() => return,
        Ok(routers) => routers,
        Err(error) => {
            tracing::warn!("what a vipd before this one left on the system is not known: {error}");
            return;
        }
    };
    let released = sweep(file, &routers);
    for released in &released {
        tracing::warn!("left by a vipd that did not end in an orderly way: {released}");
    }
    if let Err(error) = file.write(&left(&routers, &released)) {
        tracing::warn!("{}: cannot be brought up to date: {error}", file.path().display());
    }
}

/// Removes rules, routes and addresses, then says farewell.
fn sweep(file: &HeldFile, routers: &[HeldRouter]) -> Vec<Released> {
    // Before anything is touched: a file may have to be read.
    let mut farewells = Farewells::new(file.configuration().as_deref(), routers);
    // Without its addresses an address owner (priority 255) has nothing to send from.
    let early = routers.iter().map(|r| r.farewells.as_slice()).zip(routers);
    let early = early.map(|(all, router)| if sends_from_its_own(router) { all } else { &[] });
    let said = farewells.say(&early.collect::<Vec<_>>());

    let mut released: Vec<Released> = routers
        .iter()
        .zip(remove(routers))
        .zip(said)
        .map(|((router, (addresses, routing)), farewell)| Released {
            instance: router.instance.clone(),
            addresses,
            routing,
            devices: Vec::new(),
            farewell,
        })
        .collect();

    let late = routers.iter().zip(&released).map(|(router, released)| {
        let is_due = released.farewell.is_none() && released.was_there();
        if is_due { router.farewells.as_slice() } else { &[] }
    });
    let said = farewells.say(&late.collect::<Vec<_>>());
    for (released, said) in released.iter_mut().zip(said) {
        released.farewell = released.farewell.take().or(said);
    }

    let devices: Vec<&VirtualDevice> = routers.iter().flat_map(|r| &r.devices).collect();
    let mut removals = remove_devices_now(&devices).into_iter();
    for (router, released) in routers.iter().zip(&mut released) {
        released.devices = router.devices.iter().cloned().zip(removals.by_ref()).collect();
    }
    released
}

type Removals = (Vec<(HeldAddress, Removal)>, Vec<(Routing, Removal)>);

/// Removes what is held for each of the routers: all rules and routes first, the last one that was
/// added before the others, as far as one list tells.
fn remove(routers: &[HeldRouter]) -> Vec<Removals> {
    let routing = || routers.iter().flat_map(|r| r.routing.iter().rev());
    let addresses = routers.iter().flat_map(|r| &r.addresses).map(Removable::Address);
    let things: Vec<Removable<'_>> = routing().map(Removable::Routing).chain(addresses).collect();
    let mut removals = remove_now(&things).into_iter();
    let mut of_routing: Vec<Vec<(Routing, Removal)>> = routers
        .iter()
        .map(|r| r.routing.iter().rev().cloned().zip(removals.by_ref()).collect())
        .collect();
    let mut result = Vec::new();
    for (router, routing) in routers.iter().zip(of_routing.drain(..)) {
        let addresses = router.addresses.iter().cloned().zip(removals.by_ref()).collect();
        result.push((addresses, routing));
    }
    result
}

fn sends_from_its_own(router: &HeldRouter) -> bool {
    let mut addresses = router.addresses.iter().map(|held| held.address.address);
    addresses.any(|own| router.farewells.iter().any(|farewell| farewell.source == own))
}

/// What has to stay written down: what could not be removed. The farewell has been said.
fn left(routers: &[HeldRouter], released: &[Released]) -> Vec<HeldRouter> {
    let left = routers.iter().zip(released).map(|(router, released)| HeldRouter {
        instance: router.instance.clone(),
        addresses: released.failed().map(|(held, _)| held.clone()).collect(),
        routing: released.failed_routing().map(|(routing, _)| routing.clone()).rev().collect(),
        farewells: Vec::new(),
        devices: released.failed_devices().map(|(device, _)| device.clone()).collect(),
    });
    left.filter(|router| {
        !router.addresses.is_empty() || !router.routing.is_empty() || !router.devices.is_empty()
    })
    .collect()
}

impl Released {
    fn was_there(&self) -> bool {
        let mut removals = self.addresses.iter().map(|(_, removal)| removal);
        self.addresses.is_empty() || removals.any(|removal| *removal != Removal::Absent)
    }

    fn failed(&self) -> impl Iterator<Item = (&HeldAddress, &SystemError)> {
        self.addresses.iter().filter_map(|(held, removal)| Some((held, removal.error()?)))
    }

    fn failed_routing(&self) -> impl DoubleEndedIterator<Item = (&Routing, &SystemError)> {
        self.routing.iter().filter_map(|(routing, removal)| Some((routing, removal.error()?)))
    }

    fn failed_devices(&self) -> impl Iterator<Item = (&VirtualDevice, &SystemError)> {
        self.devices.iter().filter_map(|(device, removal)| match removal {
            Removal::Failed(error) => Some((device, error)),
            Removal::Done | Removal::Absent => None,
        })
    }

    fn is_complete(&self) -> bool {
        self.failed().next().is_none()
            && self.failed_routing().next().is_none()
            && self.failed_devices().next().is_none()
    }
}

/// One line for each virtual router.
impl fmt::Display for Released {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.instance)?;
        for (routing, removal) in &self.routing {
            match removal {
                Removal::Done => write!(f, " {routing} removed,")?,
                Removal::Absent => write!(f, " {routing} had gone already,")?,
                Removal::Failed(error) => write!(
                    f,
                    " {routing} CANNOT be removed: {} (by hand: {}),",
                    error.text,
                    routing.removal()
                )?,
            }
        }
        let (mut told, mut untold) = (0, 0);
        for (HeldAddress { interface, address }, removal) in &self.addresses {
            // Of a thousand that went as they should, nobody reads more than a few.
            told += 1;
            match removal {
                Removal::Done | Removal::Absent if told > TOLD => untold += 1,
                Removal::Done => write!(f, " {address} taken off {interface},")?,
                Removal::Absent => write!(f, " {address} had gone from {interface} already,")?,
                Removal::Failed(error) => write!(
                    f,
                    " {address} CANNOT be taken off {interface}: {} (by hand: ip address del \
                     {address} dev {interface}),",
                    error.text
                )?,
            }
        }
        if untold > 0 {
            write!(f, " and {untold} more addresses,")?;
        }
        for (device, removal) in &self.devices {
            match removal {
                Removal::Done => write!(f, " device {device} removed,")?,
                Removal::Absent => write!(f, " device {device} had gone already,")?,
                Removal::Failed(error) => write!(
                    f,
                    " device {device} CANNOT be removed: {} (by hand: ip link del {device}),",
                    error.text
                )?,
            }
        }
        match &self.farewell {
            Some(Ok(())) => f.write_str(" priority 0 sent"),
            Some(Err(error)) => write!(
                f,
                " priority 0 could not be sent ({error}): another node takes over when it has \
                 missed this one for long enough"
            ),
            None => f.write_str(" nothing to tell the other nodes"),
        }
    }
}

/// The sockets to say farewell by, and the secrets that authenticated farewells lack.
#[derive(Debug, Default)]
struct Farewells {
    senders: BTreeMap<(InterfaceName, Family), Sender>,
    keys: KeyRing,
    /// Why there is no secret for a virtual router that needs one.
    without: BTreeMap<Place, Unusable>,
    stamper: Stamper,
}

impl Farewells {
    /// Reads the secrets from where they were when the farewells were written down.
    fn new(configuration: Option<&Path>, routers: &[HeldRouter]) -> Self {
        let mut farewells = Self::default();
        let all = routers.iter().flat_map(|router| {
            router.farewells.iter().map(|farewell| (&router.instance, farewell))
        });
        for (instance, farewell) in all {
            let Farewell { secret: Some(source), .. } = farewell else { continue };
            let Some(place) = place(farewell) else { continue };
            match secrets::of_farewell(instance, farewell, source, configuration) {
                Ok(secrets) => farewells.keys.put([place], secrets),
                Err(why) => drop(farewells.without.insert(place, why)),
            }
        }
        farewells
    }

    /// The farewell as it is sent: with a time stamp of now, and authenticated.
    fn complete(&mut self, farewell: &Farewell) -> io::Result<Vec<u8>> {
        let Farewell { interface, source, destination, secret, .. } = farewell;
        let mut message = farewell.message.clone();
        if secret.is_none() {
            return Ok(message);
        }
        if let Some(why) = place(farewell).and_then(|place| self.without.get(&place)) {
            return Err(io::Error::other(format!("it cannot be authenticated: {why}")));
        }
        let sequence = self.stamper.next(clock::now().wall, AntiReplay::Monotonic);
        let ends = (*source, *destination);
        let complete = restamp(ends, sequence, &mut message)
            .and_then(|()| self.keys.complete_message(interface, ends, &mut message));
        complete.map(|()| message).ok_or_else(|| io::Error::other("it cannot be authenticated"))
    }

    /// Says those of each router twice, all one after the other and then again; they may get lost
    /// on the way. What one router has said has been said where it got out on one of its ways.
    fn say(&mut self, farewells: &[&[Farewell]]) -> Vec<Option<io::Result<()>>> {
        let mut once = || -> Vec<_> {
            farewells.iter().map(|all| any(all.iter().map(|one| self.send(one)))).collect()
        };
        let first = once();
        if first.iter().flatten().next().is_none() {
            return first;
        }
        sleep(AGAIN);
        first.into_iter().zip(once()).map(|(first, again)| Some(first?.or(again?))).collect()
    }

    fn send(&mut self, farewell: &Farewell) -> io::Result<()> {
        // The third byte of each version is the priority. Whoever may write the list may not speak
        // for us.
        if farewell.message.get(2) != Some(&0) {
            return Err(io::Error::other("what is written down is no farewell"));
        }
        let message = self.complete(farewell)?;
        let Farewell { interface, through, source, destination, .. } = farewell;
        // Where the device is gone, its interface is as good: nobody looks where it comes from.
        let device = through.as_ref().filter(|name| if_nametoindex(name.as_str()).is_ok());
        let interface = device.unwrap_or(interface);
        let place = (interface.clone(), Family::of(*source));
        if !self.senders.contains_key(&place) {
            let index = if_nametoindex(interface.as_str())?;
            self.senders.insert(place.clone(), Sender::open(place.1, index)?);
        }
        let outgoing = Outgoing { destination: *destination, message: &message };
        let sent = self.senders.get(&place).map(|sender| sender.send(*source, &[outgoing]));
        sent.into_iter().flatten().collect()
    }
}

/// A success where there was one; `None` where there was nothing.
fn any(results: impl Iterator<Item = io::Result<()>>) -> Option<io::Result<()>> {
    // To the end: each of them is to be tried.
    results.fold(None, |before, result| match before {
        Some(Ok(())) => Some(Ok(())),
        _ => Some(result),
    })
}

fn place(farewell: &Farewell) -> Option<Place> {
    let Farewell { interface, source, destination, message, .. } = farewell;
    let datagram = Datagram::from_ipv6(*source, *destination, MULTICAST_TTL, message);
    let (_, virtual_router_id) = virtual_router_id(&datagram).ok()?;
    Some((interface.clone(), datagram.family(), virtual_router_id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::netlink::system_error;
    use crate::model::{Scope, VirtualAddress};

    fn held(last: u8) -> HeldAddress {
        let address = [10, 0, 0, last].into();
        let scope = Scope::Global;
        let address = VirtualAddress { address, prefix: 24, dev: None, label: None, scope };
        HeldAddress { interface: "eth0".try_into().unwrap(), address }
    }

    fn router(source: u8, addresses: &[u8]) -> HeldRouter {
        let farewell = Farewell {
            interface: "eth0".try_into().unwrap(),
            through: None,
            source: [10, 0, 0, source].into(),
            destination: [224, 0, 0, 18].into(),
            message: Vec::new(),
            secret: None,
        };
        HeldRouter {
            instance: "web".try_into().unwrap(),
            addresses: addresses.iter().map(|last| held(*last)).collect(),
            routing: Vec::new(),
            farewells: vec![farewell],
            devices: Vec::new(),
        }
    }

    /// Rule: what could not be removed stays written down, without a farewell that has been said,
    /// and is named with the error and the command that removes it by hand.
    #[test]
    fn only_what_is_left_stays_written_down() {
        let routers = [router(11, &[1, 2, 3]), router(11, &[4])];
        let refused = Removal::Failed(system_error(nix::libc::EPERM));
        let released = |addresses: &[(u8, Removal)]| Released {
            instance: "web".try_into().unwrap(),
            addresses: addresses.iter().map(|(last, r)| (held(*last), r.clone())).collect(),
            routing: Vec::new(),
            devices: Vec::new(),
            farewell: Some(Ok(())),
        };
        let released = [
            released(&[(1, Removal::Done), (2, refused), (3, Removal::Absent)]),
            released(&[(4, Removal::Done)]),
        ];
        assert_eq!(
            left(&routers, &released),
            [HeldRouter { farewells: Vec::new(), ..router(11, &[2]) }]
        );
        assert!(!released[0].is_complete() && released[1].is_complete());
        let line = released[0].to_string();
        assert!(line.contains("ip address del 10.0.0.2/24 dev eth0"), "{line}");
        assert_eq!(released[1].to_string(), "web: 10.0.0.4/24 taken off eth0, priority 0 sent");
    }

    /// Rule: an address owner says farewell while it has the address to say it from.
    #[test]
    fn owners_send_from_what_is_removed() {
        assert!(sends_from_its_own(&router(1, &[2, 1])));
        assert!(!sends_from_its_own(&router(11, &[1, 2])));
    }
}
