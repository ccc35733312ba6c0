//! An agent: what it was given, what was done to it, and what it said of itself.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_yaml::Value;

use super::intervals::{Span, Times};

/// The lines that an agent has sent to its supervisor, with their times.
pub(crate) type Said = Arc<Mutex<Vec<(Instant, String)>>>;

/// The advertisement interval where the file has none.
const INTERVAL: Duration = Duration::from_secs(1);

/// An instance of its configuration.
#[derive(Clone)]
struct Instance {
    name: String,
    addresses: Vec<IpAddr>,
    interval: Duration,
}

/// An agent from its start to its end.
pub(crate) struct Life {
    pub(super) host: usize,
    pub(super) started: Instant,
    pub(super) ended: Option<Instant>,
    /// It was told to stop.
    stopping: Option<Instant>,
    frozen: Vec<(Instant, Option<Instant>)>,
    file: PathBuf,
    configured: Vec<(Instant, Vec<Instance>)>,
    said: Said,
}

/// The state that an agent reports of one of its instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It has the addresses, or is going to have them.
    Active,
    /// It takes over when nobody else is active.
    Backup,
    /// It may not: a fault, standby, a hold-down, a hook that is waited for, a departure.
    Out,
}

impl Life {
    pub(super) fn new(host: usize, file: &Path, said: Said, now: Instant) -> Self {
        let mut life = Self {
            host,
            started: now,
            ended: None,
            stopping: None,
            frozen: Vec::new(),
            file: file.to_owned(),
            configured: Vec::new(),
            said,
        };
        life.reloads(now);
        life
    }

    /// It reads its file.
    pub(super) fn reloads(&mut self, now: Instant) {
        let text = fs::read_to_string(&self.file).unwrap_or_default();
        // A file with mistakes changes nothing.
        if let Some(instances) = instances(&text) {
            self.configured.push((now, instances));
        }
    }

    pub(super) fn freezes(&mut self, now: Instant) {
        if self.frozen.last().is_none_or(|(_, thawed)| thawed.is_some()) {
            self.frozen.push((now, None));
        }
    }

    pub(super) fn thaws(&mut self, now: Instant) {
        if let Some((_, thawed @ None)) = self.frozen.last_mut() {
            *thawed = Some(now);
        }
    }

    pub(super) fn stops(&mut self, now: Instant) {
        self.stopping.get_or_insert(now);
    }

    pub(super) fn ends(&mut self, now: Instant) {
        self.ended.get_or_insert(now);
    }

    /// Says if it ended without having been told to.
    pub(super) fn was_killed(&self) -> bool {
        self.ended.is_some() && self.stopping.is_none()
    }

    /// The times at which it stood still.
    pub(super) fn still(&self, end: Instant) -> Times {
        let end = self.ended.unwrap_or(end);
        self.frozen.iter().map(|(from, until)| Span::new(*from, until.unwrap_or(end))).collect()
    }

    /// The times at which it ran.
    pub(super) fn running(&self, end: Instant) -> Times {
        let end = self.ended.unwrap_or(end);
        Times::all(Span::new(self.started, end)).but(&self.still(end))
    }

    /// The longest advertisement interval that it was given for an address, or for any.
    pub(super) fn interval(&self, address: Option<IpAddr>) -> Option<Duration> {
        let all = self.configured.iter().flat_map(|(_, instances)| instances);
        let of_it = all.filter(|one| address.is_none_or(|it| one.addresses.contains(&it)));
        of_it.map(|one| one.interval).max()
    }

    /// The times at which it was, by its own words, in one of these states with an address.
    pub(super) fn times_in(&self, states: &[State], address: IpAddr, end: Instant) -> Times {
        let said = self.states(address);
        let ends = said.iter().skip(1).map(|(at, _)| *at).chain([end]);
        let spans = said.iter().zip(ends).filter(|((_, state), _)| states.contains(state));
        spans.map(|((from, _), until)| Span::new(*from, until)).collect()
    }

    /// Each state that it named, with the time.
    pub(super) fn states(&self, address: IpAddr) -> Vec<(Instant, State)> {
        let lines = self.lines();
        let stopped = self.stopping.map(|at| (at, State::Out));
        let said = lines.iter().filter_map(|(at, line)| {
            let names = self.names(address, *at);
            let line = line.strip_prefix("STATUS=")?;
            Some((*at, state(line, &names)))
        });
        let until = self.stopping;
        let said = said.filter(|(at, _)| until.is_none_or(|until| *at < until));
        said.chain(stopped).collect()
    }

    /// Says if by its own words it has heard another active router.
    pub(super) fn hears_an_active_one(&self, at: Instant) -> bool {
        let lines = self.lines();
        let mut before = lines.iter().rev().skip_while(|(when, _)| *when >= at);
        let last = before.find_map(|(_, line)| line.strip_prefix("STATUS="));
        last.is_some_and(|line| line.contains(" is active"))
    }

    /// The lines that it sent to its supervisor.
    pub(super) fn lines(&self) -> Vec<(Instant, String)> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The instances that have had an address by the configuration of that time.
    fn names(&self, address: IpAddr, at: Instant) -> Vec<&str> {
        let before = self.configured.iter().rev().find(|(since, _)| *since <= at);
        let instances = before.map_or(&[][..], |(_, instances)| instances);
        let of_it = instances.iter().filter(|one| one.addresses.contains(&address));
        of_it.map(|one| one.name.as_str()).collect()
    }

    /// The times at which its configuration has had an address.
    pub(super) fn configured(&self, address: IpAddr, end: Instant) -> Times {
        let ends = self.configured.iter().skip(1).map(|(at, _)| *at).chain([end]);
        let has = |instances: &[Instance]| {
            instances.iter().any(|instance| instance.addresses.contains(&address))
        };
        let spans = self.configured.iter().zip(ends).filter(|((_, instances), _)| has(instances));
        spans.map(|((from, _), until)| Span::new(*from, until)).collect()
    }
}

/// The state of the instances with these names in the status line. Of many instances it names only
/// those that somebody should look at.
fn state(line: &str, names: &[&str]) -> State {
    let of_one = |name: &&str| -> State {
        let start = format!("{name}: ");
        let found = line.split("; ").position(|part| part.starts_with(&start));
        let Some(place) = found else {
            let many = line.split(' ').nth(1) == Some("instances:");
            return if many { State::Backup } else { State::Out };
        };
        let parts: Vec<&str> = line.split("; ").skip(place).collect();
        let said = parts[0].strip_prefix(&start).unwrap_or_default();
        let mut rest = parts[1..].iter().take_while(|part| !part.contains(" (priority "));
        let waits = rest.any(|part| part.starts_with("leaving") || part.starts_with("waiting"));
        match said.split(' ').next() {
            _ if waits || said.contains("(hold_down)") => State::Out,
            Some("active") => State::Active,
            Some("backup") => State::Backup,
            _ => State::Out,
        }
    };
    let all: Vec<State> = names.iter().map(of_one).collect();
    [State::Active, State::Backup]
        .into_iter()
        .find(|state| all.contains(state))
        .unwrap_or(State::Out)
}

/// The instances of a configuration file, as far as this needs them.
fn instances(text: &str) -> Option<Vec<Instance>> {
    let file: Value = serde_yaml::from_str(text).ok()?;
    let all = file.get("instances")?.as_mapping()?;
    let of_one = |(name, keys): (&Value, &Value)| -> Option<Instance> {
        let lists = ["addresses", "extra_addresses"].into_iter().filter_map(|key| keys.get(key));
        let items = lists.filter_map(Value::as_sequence).flatten();
        let written =
            items.filter_map(|item| item.as_str().or_else(|| item.get("address")?.as_str()));
        let addresses = written.filter_map(|text| text.split('/').next()?.parse().ok()).collect();
        let interval = keys.get("advertisement_interval").and_then(Value::as_str);
        let interval = interval.and_then(duration).unwrap_or(INTERVAL);
        Some(Instance { name: name.as_str()?.to_owned(), addresses, interval })
    };
    Some(all.iter().filter_map(of_one).collect())
}

/// `200ms`, `1.5s`.
fn duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let number = text.trim_end_matches(|letter: char| letter.is_alphabetic());
    let unit = match text[number.len()..].trim() {
        "ms" => 0.001,
        "s" => 1.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number.trim().parse::<f64>().ok()? * unit).ok()
}
