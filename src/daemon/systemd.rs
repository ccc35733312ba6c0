//! systemd's notification protocol (`sd_notify(3)`), without ever waiting for systemd.

use std::env;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use crate::model::Config;
use crate::time::{Mono, Span};

/// The mean time between two `STATUS=` messages, and before a message is tried again.
const PAUSE: Span = Span::from_millis(200);

/// The time for each instance in which the status is not looked at again: with thousands of
/// instances a look takes milliseconds. After a change of state, and after something smaller.
const REST: Span = Span::from_millis(1);
const LONG_REST: Span = Span::from_millis(5);

/// How many `STATUS=` messages may follow each other at once: what happens at a change of state.
const BURST: u64 = 5;

/// The service manager, if there is one.
#[derive(Debug)]
pub(crate) struct Systemd {
    socket: Option<UnixDatagram>,
    ready: bool,
    stopping: bool,
    /// When to try again what systemd did not take.
    again: Option<Mono>,
    status: Status,
    watchdog: Option<Watchdog>,
}

#[derive(Debug, Default)]
struct Status {
    sent: String,
    /// When to look whether it differs from what was sent; `None` while nothing has happened.
    due: Option<Mono>,
    /// The time up to which the messages that were sent are accounted for, at one for each pause.
    paid: Mono,
    /// When it was looked at last.
    looked: Mono,
    /// The number of instances.
    instances: u64,
}

#[derive(Debug)]
struct Watchdog {
    every: Span,
    due: Mono,
}

impl Systemd {
    /// The one that the environment names; not having one is no error, not reaching it is.
    ///
    /// # Errors
    /// When `NOTIFY_SOCKET` names a socket that cannot be reached.
    pub(crate) fn from_environment(now: Mono) -> io::Result<Self> {
        let socket = match env::var("NOTIFY_SOCKET") {
            Ok(name) => Some(connect(&name)?),
            Err(_) => None,
        };
        let period = watchdog_period(
            env::var("WATCHDOG_USEC").ok().as_deref(),
            env::var("WATCHDOG_PID").ok().as_deref(),
            std::process::id(),
        );
        Ok(Self::new(socket, period, now))
    }

    fn new(socket: Option<UnixDatagram>, watchdog: Option<Span>, now: Mono) -> Self {
        let watchdog = watchdog
            .filter(|_| socket.is_some())
            .map(|period| Watchdog { every: period.divided_by(2), due: now });
        let status = Status::default();
        Self { socket, ready: false, stopping: false, again: None, status, watchdog }
    }

    /// Learns how much there is to look at.
    pub(crate) fn configure(&mut self, config: &Config) {
        self.status.instances = u64::try_from(config.instances.len()).unwrap_or(u64::MAX);
    }

    /// Something happened that may show in the status: a change of state, which is told soon, or
    /// something smaller.
    pub(crate) fn status_may_differ(&mut self, now: Mono, state_changed: bool) {
        if self.socket.is_none() {
            return;
        }
        let lead = self.status.paid.since(now + PAUSE.times(BURST - 1));
        let due = now + if state_changed { lead } else { lead.max(PAUSE) };
        let rest = if state_changed { REST } else { LONG_REST };
        let due = due.max(self.status.looked + rest.times(self.status.instances));
        self.status.due = Some(self.status.due.map_or(due, |earlier| earlier.min(due)));
    }

    /// Sends what is due. Whatever systemd does not take now is sent again later.
    pub(crate) fn tell(&mut self, now: Mono, ready: bool, status: impl FnOnce() -> String) {
        if self.status.due.is_some_and(|due| due <= now) {
            self.status.due = None;
            self.status.looked = now;
            let text = status().replace('\n', " ");
            if text != self.status.sent {
                self.tell_status(now, text);
            }
        }
        if ready && !self.ready {
            self.ready = self.send("READY=1");
            self.again = (!self.ready).then(|| now + PAUSE);
        }
        if self.watchdog.as_ref().is_some_and(|watchdog| watchdog.due <= now) {
            let sent = self.send("WATCHDOG=1");
            if let Some(watchdog) = &mut self.watchdog {
                let pause = if sent { watchdog.every } else { watchdog.every.min(PAUSE) };
                watchdog.due = now + pause;
            }
        }
    }

    fn tell_status(&mut self, now: Mono, text: String) {
        if self.send(&format!("STATUS={text}")) {
            self.status.sent = text;
            self.status.paid = self.status.paid.max(now) + PAUSE;
        } else {
            self.status_may_differ(now, false);
        }
    }

    /// Says if systemd knows that the start is complete.
    pub(crate) const fn is_ready(&self) -> bool {
        self.ready
    }

    /// Says that the end has begun.
    pub(crate) fn stopping(&mut self) {
        self.stopping = self.stopping || self.send("STOPPING=1");
    }

    /// When there is something to tell next.
    pub(crate) fn due(&self) -> Option<Mono> {
        let watchdog = self.watchdog.as_ref().map(|watchdog| watchdog.due);
        self.status.due.into_iter().chain(watchdog).chain(self.again).min()
    }

    fn send(&self, message: &str) -> bool {
        match &self.socket {
            Some(socket) => socket.send(message.as_bytes()).is_ok(),
            None => true,
        }
    }
}

/// Connects to the socket of this name: a path, or after '@' an abstract name.
fn connect(name: &str) -> io::Result<UnixDatagram> {
    let address = match name.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.connect_addr(&address)?;
    Ok(socket)
}

/// How often systemd wants to hear of us at least (`sd_watchdog_enabled(3)`).
fn watchdog_period(period: Option<&str>, process: Option<&str>, own: u32) -> Option<Span> {
    let meant_for_us = process.is_none_or(|process| process.parse() == Ok(own));
    let period: u64 = period?.parse().ok()?;
    (meant_for_us && period > 0).then(|| Span::from_micros(period))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(watchdog: Option<Span>) -> (UnixDatagram, Systemd) {
        let name = format!("vipd-test-{}-{:?}", std::process::id(), std::thread::current().id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let manager = UnixDatagram::bind_addr(&address).unwrap();
        manager.set_nonblocking(true).unwrap();
        let socket = connect(&format!("@{name}")).unwrap();
        (manager, Systemd::new(Some(socket), watchdog, Mono(0)))
    }

    fn heard(manager: &UnixDatagram) -> Vec<String> {
        let mut buffer = [0; 4096];
        std::iter::from_fn(|| {
            manager.recv(&mut buffer).ok().map(|length| buffer[..length].to_vec())
        })
        .map(|message| String::from_utf8(message).unwrap())
        .collect()
    }

    const SECOND: Mono = Mono(1_000_000_000);

    /// Rule: READY=1 goes out once, and only when the start is complete.
    #[test]
    fn ready_is_said_once_and_not_early() {
        let (manager, mut systemd) = pair(None);
        systemd.tell(SECOND, false, || unreachable!());
        assert!(heard(&manager).is_empty());
        systemd.tell(SECOND, true, || unreachable!());
        systemd.tell(SECOND, true, || unreachable!());
        systemd.stopping();
        systemd.stopping();
        assert_eq!(heard(&manager), ["READY=1", "STOPPING=1"]);
    }

    /// Rule: a change of state is in the status at once; a flood of them is thinned out to five
    /// a second, and the last one always arrives.
    #[test]
    fn the_last_status_always_arrives() {
        let (manager, mut systemd) = pair(None);
        let mut time = SECOND;
        for change in 0..1000 {
            systemd.status_may_differ(time, true);
            systemd.tell(time, false, || format!("change\n{change}"));
            time = time + Span::from_millis(1);
        }
        while let Some(due) = systemd.due() {
            time = due;
            systemd.tell(time, false, || "the last".to_owned());
        }
        let heard = heard(&manager);
        assert_eq!(heard[..2], ["STATUS=change 0", "STATUS=change 1"]);
        assert_eq!(heard.last().map(String::as_str), Some("STATUS=the last"));
        let most = usize::try_from(BURST + time.since(SECOND).nanos() / PAUSE.nanos()).unwrap();
        assert!(heard.len() <= most, "{heard:?}");
    }

    /// Rule: what is no change of state is looked at five times a second, however often it comes.
    #[test]
    fn the_status_is_not_looked_at_for_every_packet() {
        let (_manager, mut systemd) = pair(None);
        let mut looks = 0;
        for packet in 0..1000 {
            let time = SECOND + Span::from_millis(packet);
            systemd.status_may_differ(time, false);
            systemd.tell(time, false, || {
                looks += 1;
                String::new()
            });
        }
        assert!((4..=6).contains(&looks), "{looks}");
    }

    /// Rule: with a thousand instances a look at all of them costs so much that it comes rarely:
    /// after a second where states change, after five where nothing but packets came.
    #[test]
    fn many_instances_are_looked_at_rarely() {
        let looks = |state_changed| {
            let (_manager, mut systemd) = pair(None);
            systemd.status.instances = 1000;
            let mut looks = 0;
            for packet in 0..10_000 {
                let time = SECOND + Span::from_millis(packet);
                systemd.status_may_differ(time, state_changed);
                systemd.tell(time, false, || {
                    looks += 1;
                    String::new()
                });
            }
            looks
        };
        assert!((1..=3).contains(&looks(false)), "{}", looks(false));
        assert!((9..=11).contains(&looks(true)), "{}", looks(true));
    }

    /// Rule: the watchdog is fed at half its period, and only from here.
    #[test]
    fn the_watchdog_is_fed_in_time() {
        let (manager, mut systemd) = pair(Some(Span::from_secs(2)));
        systemd.tell(SECOND, false, String::new);
        assert_eq!(systemd.due(), Some(SECOND + Span::from_secs(1)));
        systemd.tell(SECOND + Span::from_millis(999), false, String::new);
        systemd.tell(SECOND + Span::from_secs(1), false, String::new);
        assert_eq!(heard(&manager), ["WATCHDOG=1", "WATCHDOG=1"]);
    }

    /// Bug guarded: a manager that does not read must not hold up the protocol loop, and must
    /// hear READY=1 once it reads again.
    #[test]
    fn a_manager_that_does_not_read_is_not_waited_for() {
        let (manager, mut systemd) = pair(Some(Span::from_micros(2)));
        let mut time = SECOND;
        while systemd.send("WATCHDOG=1") {}
        systemd.tell(time, true, String::new);
        assert!(systemd.due().unwrap() > time, "neither waits nor spins");
        assert!(!heard(&manager).contains(&"READY=1".to_owned()));
        time = systemd.due().unwrap();
        systemd.tell(time, true, String::new);
        assert!(heard(&manager).contains(&"READY=1".to_owned()));
    }

    /// Rule: a watchdog that is meant for another process is not ours to feed.
    #[test]
    fn a_watchdog_for_another_process_is_ignored() {
        let second = Some(Span::from_secs(1));
        assert_eq!(watchdog_period(Some("1000000"), None, 7), second);
        assert_eq!(watchdog_period(Some("1000000"), Some("7"), 7), second);
        assert_eq!(watchdog_period(Some("1000000"), Some("8"), 7), None);
        assert_eq!(watchdog_period(Some("soon"), None, 7), None);
        assert_eq!(watchdog_period(None, None, 7), None);
    }
}
