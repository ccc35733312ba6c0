//! Listening to the wires, and asking there.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::thread;
use std::time::{Duration, Instant};

use super::questions::Questions;
use crate::ctl::wire::{Heard, Seen, Wire};
use crate::model::Mac;

/// How often an address is asked for: broadcasts get lost (RFC 5227 section 1.1, `PROBE_NUM`; RFC 4861
/// section 10, `MAX_MULTICAST_SOLICIT`).
const PROBES: u32 = 3;

/// The pause between two probes.
const PAUSE: Duration = Duration::from_millis(300);

/// What was seen on a wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Observation {
    /// The interface's Ethernet address.
    pub(super) mac: Mac,
    /// For how long.
    pub(super) span: Duration,
    /// All advertisements, our own included, in their order.
    pub(super) heard: Vec<Heard>,
    /// Who says to have the addresses that were asked for, this machine left out.
    pub(super) answers: BTreeMap<IpAddr, BTreeSet<Mac>>,
}

/// Listens to all of these interfaces at once, and asks there for these addresses.
pub(super) fn observe(
    wanted: &BTreeMap<String, Questions>,
    span: Duration,
) -> BTreeMap<String, io::Result<Observation>> {
    thread::scope(|scope| {
        let started: Vec<_> = wanted
            .iter()
            .map(|(name, asked)| (name.clone(), scope.spawn(move || one(name, asked, span))))
            .collect();
        let joined = started.into_iter().map(|(name, thread)| {
            let broken = io::Error::other("the listening thread has ended");
            (name, thread.join().unwrap_or(Err(broken)))
        });
        joined.collect()
    })
}

fn one(name: &str, asked: &Questions, span: Duration) -> io::Result<Observation> {
    let wire = Wire::open(name)?;
    let mac = wire.mac();
    let mut seen = Observation { mac, span, heard: Vec::new(), answers: BTreeMap::new() };
    let start = Instant::now();
    let mut take = |what| match what {
        Seen::Advertisement(heard) => seen.heard.push(heard),
        Seen::Binding(from, address) if from != mac && asked.addresses.contains(&address) => {
            seen.answers.entry(address).or_default().insert(from);
        }
        Seen::Binding(..) => {}
    };
    let frames = asked.frames(mac);
    for number in 1..=PROBES {
        for frame in &frames {
            wire.send(frame)?;
        }
        wire.listen(start + PAUSE * number, &mut take)?;
    }
    wire.listen(start + span.max(PAUSE * PROBES), &mut take)?;
    Ok(seen)
}
