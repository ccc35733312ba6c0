//! `vipd replay`: a recorded incident, step by step, with this version's engine.

use std::fs::File;
use std::io::{self, BufReader, Write};
use std::path::Path;

use super::exit::Exit;
use crate::engine::{Action, Change, Input, ProbeResult};
use crate::time::Mono;
use crate::trace::{Reader, ReplayError, Step, Unreadable, replay};

/// Replays and says so on standard output.
pub(crate) fn main(path: &Path) -> Exit {
    let mut out = io::stdout().lock();
    let result = File::open(path)
        .map_err(Unreadable::File)
        .and_then(|file| Reader::new(BufReader::new(file)))
        .map_err(ReplayError::from)
        .and_then(|recording| {
            let start = recording.header().now.mono;
            replay(recording, |step| {
                // Nobody is left to hear of an output that is closed.
                let _ = writeln!(out, "{}", brief(step, start));
            })
        });
    let (text, exit) = match result {
        Ok(replayed) => {
            let end = replayed.cut_short.map(|why| format!(" (incomplete: {why})"));
            (format!("{} steps, all the same{}", replayed.steps, end.unwrap_or_default()), Exit::Ok)
        }
        Err(ReplayError::Differs(difference)) => (difference.to_string(), Exit::Differs),
        Err(ReplayError::Unreadable(error)) => {
            (format!("{}: cannot be replayed: {error}", path.display()), Exit::Data)
        }
    };
    let _ = writeln!(out, "{text}");
    exit
}

/// One line: when since the start, what happened, what was done.
fn brief(step: &Step, start: Mono) -> String {
    let since = step.at.mono.since(start).nanos();
    let (seconds, micros) = (since / 1_000_000_000, since / 1_000 % 1_000_000);
    let mut line = format!("{seconds:>6}.{micros:06}  {}", input(&step.input));
    for (place, action) in step.actions.iter().enumerate() {
        line.push_str(if place == 0 { "  =>  " } else { "; " });
        line.push_str(&self::action(action));
    }
    line
}

fn input(input: &Input) -> String {
    match input {
        Input::Link { interface, link: None } => format!("{interface} is missing"),
        Input::Link { interface, link: Some(link) } => {
            let state = match (link.up, link.carrier) {
                (false, _) => "down",
                (true, false) => "without carrier",
                (true, true) => "up",
            };
            format!("{interface} (index {}) is {state}", link.index)
        }
        Input::Received { interface, .. } => format!("a packet on {interface}"),
        Input::AddressGone { interface, address, .. } => {
            format!("{address} is gone from {interface}")
        }
        Input::RoutingRestored { routing } => format!("{routing} had gone"),
        Input::Conflict { interface, .. } => format!("a conflict about an address on {interface}"),
        Input::Standby { instance, force, .. } => {
            let who = instance.as_ref().map_or("all instances", |name| name.as_str());
            format!("put {who} on standby{}", if *force { " by force" } else { "" })
        }
        Input::Online { instance, .. } => {
            let who = instance.as_ref().map_or("all instances", |name| name.as_str());
            format!("put {who} online")
        }
        Input::Handover { instance, to: None, .. } => format!("hand over {instance}"),
        Input::Handover { instance, to: Some(to), .. } => format!("hand over {instance} to {to}"),
        Input::Probed { track, number, result: ProbeResult::Passed(detail) } => {
            format!("probe {track} ({number}) passed: {detail}")
        }
        Input::Probed { track, number, result: ProbeResult::Failed(reason) } => {
            format!("probe {track} ({number}) failed: {reason}")
        }
        Input::Stirred { track } => format!("what {track} looks at may have changed"),
        Input::Hooked { owner, number, result: ProbeResult::Passed(text) } => {
            format!("hook {number} of {owner} ended: {text}")
        }
        Input::Hooked { owner, number, result: ProbeResult::Failed(reason) } => {
            format!("hook {number} of {owner} failed: {reason}")
        }
        Input::Failed { action, error } => {
            format!("failed: {}: {}", self::action(action), error.text)
        }
        Input::Listening { interface, family, missing } if missing.is_empty() => {
            format!("listening on {interface} ({family})")
        }
        Input::Listening { interface, family, missing } => {
            format!("listening on {interface} ({family}) but for {} groups", missing.len())
        }
        Input::Reload { config } => {
            format!("a new configuration with {} instances", config.instances.len())
        }
        Input::Resumed { length } => format!("resumed after a suspension of {length}"),
        Input::Deadline => "deadline".to_owned(),
        Input::Stop => "stop".to_owned(),
    }
}

fn action(action: &Action) -> String {
    match action {
        Action::Listen { interface, family, .. } => format!("listen on {interface} ({family})"),
        Action::StopListening { interface, family } => {
            format!("stop listening on {interface} ({family})")
        }
        Action::Send { interface, source, destination, .. } => {
            format!("send {source} -> {destination} on {interface}")
        }
        Action::WriteDown { routers } => {
            let names: Vec<_> = routers.iter().map(|router| router.instance.as_str()).collect();
            format!("write down [{}]", names.join(", "))
        }
        Action::Change(Change::AddAddress { interface, address, .. }) => {
            format!("add {address} to {interface}")
        }
        Action::Change(Change::RemoveAddress { interface, address }) => {
            format!("remove {address} from {interface}")
        }
        Action::Change(Change::AddRouting { routing, again: false, .. }) => {
            format!("add {routing}")
        }
        Action::Change(Change::AddRouting { routing, again: true, .. }) => {
            format!("look after {routing}")
        }
        Action::Change(Change::RemoveRouting { routing }) => format!("remove {routing}"),
        Action::Change(Change::AddDevice { device }) => format!("add device {device}"),
        Action::Change(Change::RemoveDevice { device }) => format!("remove device {device}"),
        Action::Change(Change::SetDevice { device, up: true }) => format!("take {device} up"),
        Action::Change(Change::SetDevice { device, up: false }) => format!("take {device} down"),
        Action::Announce { interface, .. } => format!("announce on {interface}"),
        Action::Watch { interface, addresses } => {
            format!("watch {} addresses on {interface}", addresses.len())
        }
        Action::Probe { track, number } => format!("probe {track} ({number})"),
        Action::CancelProbe { track, number } => format!("cancel probe {track} ({number})"),
        Action::Hook { owner, number, call } => {
            format!("hook {number} of {owner}: {}", call.event.phase())
        }
        Action::CancelHook { owner, number } => format!("cancel hook {number} of {owner}"),
        Action::Answer { answer, .. } => format!("answer '{answer}'"),
        Action::Report(event) => format!("report '{}'", event.line()),
        Action::Exit => "exit".to_owned(),
    }
}
