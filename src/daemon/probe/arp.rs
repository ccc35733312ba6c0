//! `arp`: other machines answer ARP requests (RFC 826), whatever firewall they have.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use tokio::time::interval;

use super::desk::Desk;
use super::ping::Witnesses;
use crate::daemon::conflicts::ConflictSocket;
use crate::daemon::netlink::look_up;
use crate::daemon::socket::{FrameSocket, Readiness};
use crate::engine::ProbeResult;
use crate::model::{ArpProbe, Family, Mac};
use crate::vrrp::frame::{arp_probe, arp_sender};

/// How often the silent ones are asked again within one look: broadcasts get lost.
const AGAIN: Duration = Duration::from_millis(200);

/// Looks once.
pub(crate) async fn look(probe: &ArpProbe, desk: &Desk) -> ProbeResult {
    let name = &probe.interface;
    let failed = |what: &str| ProbeResult::Failed(format!("{name} {what}"));
    let found = match look_up(name).await {
        Ok(Some(found)) => found,
        Ok(None) => return failed("does not exist"),
        Err(error) => return failed(&format!("cannot be looked up: {error}")),
    };
    let Some(mac) = found.mac.filter(|_| found.carrier) else {
        let what = if found.carrier { "has no Ethernet address" } else { "has no carrier" };
        return failed(what);
    };
    match ask(probe, found.index, mac, desk).await {
        Ok(result) => result,
        Err(error) => failed(&format!("does not carry ARP: {error}")),
    }
}

/// Asks all of them at once, and the silent ones again, until that decides; for ever, where it
/// does not.
async fn ask(probe: &ArpProbe, index: u32, mac: Mac, desk: &Desk) -> io::Result<ProbeResult> {
    let targets: Vec<IpAddr> = probe.targets.iter().copied().map(Into::into).collect();
    let socket = ConflictSocket::open(Family::V4, index, Some(mac), &targets)?;
    let readiness = Readiness::of(&socket)?;
    let frames = FrameSocket::open()?;
    let mut silent = probe.targets.clone();
    let mut witnesses = Witnesses::new(silent.clone(), probe.require);
    let mut again = interval(AGAIN);
    loop {
        desk.doing.set(witnesses.waiting());
        let mut heard = Vec::new();
        tokio::select! {
            () = poll_fn(|context| readiness.poll(context)) => {
                if socket.read(&mut heard)? {
                    readiness.clear();
                }
            }
            _ = again.tick() => {
                for target in &silent {
                    frames.send(index, &arp_probe(mac, *target))?;
                }
            }
        }
        for (from, sender) in heard.iter().filter_map(|frame| arp_sender(frame)) {
            if let Some(result) = answered(&mut silent, &mut witnesses, from, sender) {
                return Ok(result);
            }
        }
    }
}

/// Takes in an answer. One that has answered before says nothing new.
fn answered(
    silent: &mut Vec<Ipv4Addr>,
    witnesses: &mut Witnesses<Ipv4Addr>,
    from: Mac,
    sender: Ipv4Addr,
) -> Option<ProbeResult> {
    let place = silent.iter().position(|target| *target == sender)?;
    silent.swap_remove(place);
    witnesses.heard(&sender, Ok(format!("{sender} is at {from}")))
}
