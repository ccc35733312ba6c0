//! The protocol loop: hear, act, sleep once.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use super::apply::{Hands, Happened};
use super::clock::{self, Alarm};
use super::condition::Condition;
use super::control::{Asked, Gone};
use super::load::Loaded;
use super::netlink::News;
use super::pace;
use super::record::Recorder;
use super::reload::{self, Read, Reads, Reload, Wanted};
use super::report::Teller;
use super::systemd::Systemd;
use crate::api::{self, Request, Response, Snapshot};
use crate::engine::story::Severity;
use crate::engine::{Action, Engine, Input, Plan, Status};
use crate::keyring::KeyRing;
use crate::model::{Config, InstanceConfig, SecretSource, TrackName};
use crate::time::{Mono, Now, Wall};
use crate::trace::Step;

/// How many news of interfaces are taken in before packets are heard again.
const NEWS_AT_ONCE: usize = 256;

/// How many news of checks. Each may be a change that every instance has to consider, and hundreds
/// may come at once, when a server goes down that all of them look at.
const CHECKS_AT_ONCE: usize = 16;

/// The engine and what connects it to the system.
#[derive(Debug)]
pub(crate) struct Agent {
    engine: Engine,
    hands: Hands,
    keys: KeyRing,
    teller: Teller,
    recorder: Option<Recorder>,
    systemd: Systemd,
    condition: Condition,
    reload: Reload,
    alarm: Alarm,
    signals: Signals,
    started: Wall,
    /// True if there were packets in this turn.
    heard_packets: bool,
    /// Room for what arrives in a turn.
    arrived: Vec<Input>,
}

/// What connects an engine to the system.
#[derive(Debug)]
pub(crate) struct Shell {
    pub(crate) hands: Hands,
    pub(crate) keys: KeyRing,
    pub(crate) teller: Teller,
    pub(crate) recorder: Option<Recorder>,
    pub(crate) systemd: Systemd,
    pub(crate) condition: Condition,
    pub(crate) reload: Reload,
}

#[derive(Debug)]
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

/// Why the loop woke up.
enum Wake {
    Happened(Happened),
    Stop,
    Reload,
    Loaded(Read),
    Looked(Read),
    Look,
}

impl Agent {
    /// An agent that has not heard of anything; within a tokio runtime.
    ///
    /// # Errors
    /// When the system refuses a timer or signals.
    pub(crate) fn new(config: Config, now: Now, mut shell: Shell) -> io::Result<Self> {
        let signals = Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        };
        shell.hands.configure(&config);
        shell.systemd.configure(&config);
        let (engine, alarm) = (Engine::new(config, now), Alarm::new()?);
        let Shell { hands, keys, teller, recorder, systemd, condition, reload } = shell;
        let started = now.wall;
        Ok(Self {
            engine,
            hands,
            keys,
            teller,
            recorder,
            systemd,
            condition,
            reload,
            alarm,
            signals,
            started,
            heard_packets: false,
            arrived: Vec::new(),
        })
    }

    /// Serves until the engine says that this is the end. `state` is what the interfaces are like
    /// at the start.
    ///
    /// # Errors
    /// When something fails without which there is no going on.
    pub(crate) async fn serve(&mut self, state: Vec<Input>) -> io::Result<()> {
        let now = clock::now();
        // Also where there is nothing to hand in, because no instances are configured.
        self.systemd.status_may_differ(now.mono, true);
        for input in state {
            self.hand_in(now, input);
        }
        loop {
            // Everything in a turn happens at one time. What has arrived by then is heard, and
            // only then is it the deadlines' turn (invariant 1, hear before you act). What the
            // engine has answered to all of it is carried out together.
            let now = clock::now();
            self.look_at_ourselves(now);
            self.hear(now)?;
            self.reload.look(now.mono);
            if self.engine.next_deadline().is_some_and(|deadline| deadline.at <= now.mono) {
                self.hand_in(now, Input::Deadline);
            }
            self.hands.carry_out(now.mono, &mut self.teller);
            if self.hands.exits() {
                return Ok(());
            }
            let ready = self.systemd.is_ready() || self.hands.has_tried_to_listen();
            self.systemd.tell(now.mono, ready, || {
                in_words(&self.engine.status(now), &self.condition, &self.reload, now)
            });
            match self.sleep(now.mono).await? {
                Wake::Happened(Happened::News(news)) => self.take(news, clock::now()),
                Wake::Happened(Happened::Settled(outcomes)) => self.hands.settle(outcomes),
                Wake::Happened(Happened::Asked(asked)) => self.take_request(asked)?,
                Wake::Happened(Happened::Readable) | Wake::Look => {}
                Wake::Stop => {
                    self.systemd.stopping();
                    self.hand_in(clock::now(), Input::Stop);
                }
                Wake::Reload => self.reload.ask(Wanted::by_signal())?,
                Wake::Loaded(read) => self.reloaded(read)?,
                Wake::Looked(read) => self.looked(read),
            }
        }
    }

    /// Takes another configuration, or says why not.
    fn reloaded(&mut self, mut read: Read) -> io::Result<()> {
        let now = clock::now();
        if let Ok(loaded) = &mut read {
            self.keep_secrets(loaded);
        }
        let outcome = read.as_ref().map_err(Clone::clone).map(|loaded| {
            let awaited = loaded.awaited.iter().map(ToString::to_string).collect();
            Plan { awaited, ..Plan::new(&self.engine.config(), &loaded.config) }
        });
        if self.reload.is_in_earnest() {
            self.systemd.status_may_differ(now.mono, true);
            match read {
                Ok(loaded) => {
                    self.teller.notice(Severity::Info, "the configuration was read again");
                    self.take_configuration(now, loaded);
                }
                Err(refused) => {
                    let text = "the configuration stays as it is, because the file is wrong:";
                    self.teller.notice(Severity::Warning, text);
                    for line in reload::lines(&refused) {
                        self.teller.notice(Severity::Warning, line);
                    }
                }
            }
        }
        self.reload.done(now.wall, &outcome)
    }

    fn take_configuration(&mut self, now: Now, loaded: Loaded) {
        let Loaded { config, keys, awaited, source, .. } = loaded;
        self.condition.reconfigure(&config);
        self.systemd.configure(&config);
        self.hands.control.reconfigure(config.control_group.as_deref());
        let news = self.reload.in_effect(now.mono, &config, &awaited, source);
        self.tell_awaited(news);
        self.take_keys(&config, keys);
        self.hand_in(now, Input::Reload { config: Box::new(config) });
    }

    /// Takes what a look for what is awaited has found: the configuration in effect as it is on
    /// this machine now.
    fn looked(&mut self, read: Read) {
        let now = clock::now();
        let mut loaded = match read {
            Ok(loaded) => loaded,
            // The system refuses the look: the next one may go well.
            Err(refused) if refused.problems.is_empty() => return,
            // As the node that this machine has turned out to be the text is wrong.
            Err(refused) => {
                let news =
                    self.reload.awaits(now.mono, self.engine.common_config(), &refused.problems);
                return self.tell_awaited(news);
            }
        };
        // Others may have other keys in their files by now: those are for the next reload.
        let of_others: Vec<_> = loaded
            .config
            .instances
            .iter()
            .filter(|one| !self.engine.common_config().awaited.contains_key(&one.name))
            .collect();
        for instance in of_others {
            loaded.keys.adopt(&self.keys, instance);
        }
        self.keep_secrets(&mut loaded);
        if self.engine.works_by(&loaded.config) {
            let news = self.reload.awaits(now.mono, &loaded.config, &loaded.awaited);
            self.tell_awaited(news);
        } else {
            self.systemd.status_may_differ(now.mono, true);
            self.take_configuration(now, loaded);
        }
    }

    /// Tells what the configuration lacks here that is no instance's fault, and what is there now.
    fn tell_awaited(&mut self, news: reload::News) {
        if news != reload::News::default() {
            self.systemd.status_may_differ(clock::now().mono, true);
        }
        for line in news.missing {
            self.teller.notice(Severity::Warning, format!("not on this machine: {line}"));
        }
        for line in news.found {
            self.teller.notice(Severity::Info, format!("on this machine now: {line}"));
        }
    }

    /// An instance goes on with the secrets that it has where they cannot be read again at the
    /// moment, from where they were.
    fn keep_secrets(&self, loaded: &mut Loaded) {
        let Loaded { config, keys, lacking, .. } = loaded;
        for instance in config.instances.iter().filter(|one| lacking.contains(&one.name)) {
            if self.has_secrets_of(instance) && keys.adopt(&self.keys, instance) {
                config.awaited.remove(&instance.name);
            }
        }
    }

    /// Tells whether the instance of this name has the secrets that this one names, from elsewhere
    /// than the configuration's own text.
    fn has_secrets_of(&self, new: &InstanceConfig) -> bool {
        let mut old = self.engine.configured().filter(|old| old.name == new.name);
        !self.engine.common_config().awaited.contains_key(&new.name)
            && old.any(|old| old.authentication == new.authentication)
            && new.authentication.secrets().all(|(_, source)| *source != SecretSource::Inline)
    }

    /// Takes the secrets that belong to another configuration, and says which are not the same any
    /// more: where they are in files, the configuration does not tell.
    fn take_keys(&mut self, config: &Config, keys: KeyRing) {
        for instance in config.instances.iter().filter(|one| keys.differs(&self.keys, one)) {
            let text = format!(
                "{}: a key under the same number, or the password, is another one now",
                instance.name
            );
            self.teller.notice(Severity::Info, text);
        }
        self.keys.replace(keys, self.engine.instances());
    }

    /// Notices what has happened to the loop, or to the whole machine.
    fn look_at_ourselves(&mut self, now: Now) {
        let moment = clock::moment();
        self.condition.wakes(moment);
        if let Some(text) = self.condition.news(moment.mono) {
            self.teller.notice(Severity::Warning, text);
            self.systemd.status_may_differ(now.mono, true);
        }
        if let Some(length) = self.condition.suspension(moment) {
            self.hand_in(now, Input::Resumed { length });
        }
    }

    /// Waits for the end of the checks' programs, the last answers to clients, and the last lines
    /// of the log and of the recording.
    pub(crate) fn finish(self) {
        self.hands.errands.finish();
        self.hands.control.finish();
        if let Some(recorder) = self.recorder {
            recorder.finish();
        }
        self.teller.finish();
    }

    /// Hands in everything that has happened by now, except that time has passed.
    fn hear(&mut self, now: Now) -> io::Result<()> {
        for input in self.hands.take_sockets() {
            self.hand_in(now, input);
        }
        while let Some(failure) = self.hands.next_failure() {
            self.hand_in(now, failure);
        }
        for news in self.hands.netlink.take(NEWS_AT_ONCE)? {
            self.take(news, now);
        }
        for _ in 0..CHECKS_AT_ONCE {
            match self.hands.errands.try_next() {
                Some(news) => self.take(news, now),
                None => break,
            }
        }
        let mut arrived = std::mem::take(&mut self.arrived);
        let trouble = self.hands.sockets.hear(now, &mut arrived);
        self.heard_packets = !arrived.is_empty();
        for input in arrived.drain(..) {
            self.hand_in(now, input);
        }
        self.arrived = arrived;
        for text in trouble {
            self.teller.notice(Severity::Warning, text);
        }
        Ok(())
    }

    /// Sleeps until something happens or is due: the only sleep. `turn`: when this turn began.
    async fn sleep(&mut self, turn: Mono) -> io::Result<Wake> {
        if self.hands.has_failures() {
            return Ok(Wake::Look);
        }
        let deadline = self.engine.next_deadline().map(|deadline| deadline.at);
        // After a silence a packet wakes the loop at once. Where more follow, they gather.
        let rest = if self.heard_packets { pace::rest(turn, deadline) } else { None };
        if rest.is_some() {
            self.hands.sockets.let_packets_gather();
        } else if self.hands.sockets.let_packets_wake() {
            return Ok(Wake::Look);
        }
        let others = [self.systemd.due(), self.condition.due(), self.reload.due()];
        let due = deadline.into_iter().chain(rest).chain(others.into_iter().flatten()).min();
        self.alarm.set(due)?;
        self.condition.sleeps(clock::moment(), due);
        let Signals { terminate, interrupt, hang_up } = &mut self.signals;
        let wake = tokio::select! {
            happened = self.hands.happens() => Wake::Happened(happened?),
            () = self.alarm.rings() => Wake::Look,
            _ = terminate.recv() => Wake::Stop,
            _ = interrupt.recv() => Wake::Stop,
            _ = hang_up.recv() => Wake::Reload,
            read = self.reload.reads() => match read {
                Reads::Loaded(read) => Wake::Loaded(read),
                Reads::Looked(read) => Wake::Looked(read),
            },
        };
        Ok(wake)
    }

    fn take(&mut self, news: News, now: Now) {
        match news {
            News::Input(input) => {
                if matches!(input, Input::Link { .. }) {
                    self.reload.may_have_come();
                }
                self.hand_in(now, input);
            }
            News::Trouble(text) => self.teller.notice(Severity::Warning, text),
        }
    }

    fn take_request(&mut self, asked: Result<Asked, Gone>) -> io::Result<()> {
        match asked {
            // A client that has gone is no error.
            Ok(Asked::Snapshot(reply)) => drop(reply.send(self.snapshot(clock::now()))),
            Ok(Asked::Request { request, reply }) => return self.deal_with(request, reply),
            Err(Gone) => {
                let text = "the status and control sockets are no longer served: vipctl works again \
                            after a restart of vipd; the virtual addresses are not touched by this";
                self.teller.notice(Severity::Warning, text);
            }
        }
        Ok(())
    }

    fn deal_with(&mut self, request: Request, reply: oneshot::Sender<Response>) -> io::Result<()> {
        match request {
            Request::Reload(api::Reload { dry_run }) => {
                return self.reload.ask(Wanted::by_client(dry_run, reply));
            }
            Request::Probe(api::Probe { track }) => self.look_once(&track, reply),
            Request::Handover(api::Handover { instance, to }) => {
                let request = self.hands.control.admit(reply);
                self.hand_in(clock::now(), Input::Handover { request, instance, to });
            }
            Request::Standby(api::Standby { instance, force }) => {
                let request = self.hands.control.admit(reply);
                self.hand_in(clock::now(), Input::Standby { request, instance, force });
            }
            Request::Online(api::Online { instance }) => {
                let request = self.hands.control.admit(reply);
                self.hand_in(clock::now(), Input::Online { request, instance });
            }
        }
        Ok(())
    }

    /// Has a check look once; the client waits for it, the protocol loop does not.
    fn look_once(&self, track: &TrackName, reply: oneshot::Sender<Response>) {
        let (done, probed) = oneshot::channel();
        if let Err(why) = self.hands.errands.look_once(track, done) {
            // A client that has gone is no error.
            drop(reply.send(Response::Error(why)));
            return;
        }
        tokio::spawn(async move {
            let broken = |_| Response::Error("the look was broken off".to_owned());
            drop(reply.send(probed.await.map_or_else(broken, Response::Probe)));
        });
    }

    /// All that there is to know about this daemon now.
    fn snapshot(&self, now: Now) -> Snapshot {
        let status = self.engine.status(now);
        Snapshot {
            format: Snapshot::FORMAT,
            vipd: env!("CARGO_PKG_VERSION").to_owned(),
            taken: now.wall,
            started: self.started,
            process: std::process::id(),
            text: in_words(&status, &self.condition, &self.reload, now),
            status,
            file: self.reload.file(),
            protocol_loop: self.condition.protocol_loop(),
            notes: self.condition.notes().to_vec(),
            events: self.teller.recent(),
        }
    }

    /// Hands one input to the engine. Its answer is carried out at the end of the turn.
    fn hand_in(&mut self, now: Now, mut input: Input) {
        self.keys.receive(&mut input);
        self.hands.learn(&input);
        let recorded = self.recorder.is_some().then(|| input.clone());
        let mut actions = self.engine.handle(now, input);
        if let (Some(recorder), Some(input)) = (&mut self.recorder, recorded) {
            recorder.step(Step { at: now, input, actions: actions.clone() });
        }
        self.keys.complete(&mut actions);
        let state_changed = actions.iter().any(|action| matches!(action, Action::Report(_)));
        self.systemd.status_may_differ(now.mono, state_changed);
        self.hands.take(actions);
    }
}

/// The line for `systemctl status`.
fn in_words(status: &Status, condition: &Condition, reload: &Reload, now: Now) -> String {
    format!("{status}{}{}", condition.status(now.mono), reload.status())
}
