//! `vipd run`: from the command line to the end of the agent.

use std::fmt;
use std::io;

use super::agent::{Agent, Shell};
use super::apply::Hands;
use super::cli::RunOptions;
use super::clock;
use super::condition::Condition;
use super::control::Control;
use super::directory::Directory;
use super::errands::Errands;
use super::exit::Exit;
use super::files;
use super::holdings::Holdings;
use super::load::{self, LoadError, Loaded};
use super::log;
use super::netlink::Netlink;
use super::permission::{self, Missing};
use super::realtime::{self, Thread};
use super::record::Recorder;
use super::release;
use super::reload::Reload;
use super::report::Teller;
use super::runtime::{self, Refusal, RuntimeDirectory};
use super::settings::Settings;
use super::sockets::Sockets;
use super::standby::{self, StandbyFile};
use super::systemd::Systemd;
use crate::engine::Standby;
use crate::engine::story::Severity;
use crate::trace::Header;

/// Why the agent did not start, or had to end.
#[derive(Debug)]
enum Failure {
    Config(LoadError),
    Permission(Missing),
    Runtime(Refusal),
    System { tried: String, error: io::Error },
}

impl Failure {
    fn exit(&self) -> Exit {
        match self {
            // The machine's own addresses are the kernel's business, and not the file's.
            Self::Config(LoadError::Addresses(_)) | Self::System { .. } => Exit::System,
            Self::Config(_) => Exit::Config,
            Self::Permission(_) => Exit::Permission,
            Self::Runtime(refusal) => refusal.exit(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => write!(f, "{error}"),
            Self::Permission(missing) => write!(f, "{missing}"),
            Self::Runtime(refusal @ Refusal::Busy { .. }) => write!(
                f,
                "{refusal}\n  stop that one first, or give this one a directory of its own with \
                 --runtime-directory DIR (and no virtual router that the other one has)"
            ),
            Self::Runtime(refusal) => write!(f, "{refusal}"),
            Self::System { tried, error } => write!(f, "vipd: {tried} failed: {error}"),
        }
    }
}

/// Names what was tried when it fails.
fn tried<T>(what: &str, result: io::Result<T>) -> Result<T, Failure> {
    result.map_err(|error| Failure::System { tried: what.to_owned(), error })
}

/// Runs until the agent is stopped.
pub(crate) fn main(options: &RunOptions) -> Exit {
    match run(options) {
        Ok(()) => Exit::Ok,
        Err(failure) => {
            // Under systemd this is in the journal too.
            eprintln!("{failure}");
            failure.exit()
        }
    }
}

fn run(options: &RunOptions) -> Result<(), Failure> {
    let loaded = load::file(&options.config, None).map_err(Failure::Config)?;
    permission::check().map_err(Failure::Permission)?;
    let path = runtime::path(options.runtime.directory.as_deref());
    let directory = RuntimeDirectory::take(path).map_err(Failure::Runtime)?;
    log::start();
    release::sweep_at_start(&directory);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
    tried("starting the event loop", runtime)?.block_on(serve(options, loaded, &directory))
}

async fn serve(
    options: &RunOptions,
    Loaded { config, keys, awaited, source, .. }: Loaded,
    directory: &RuntimeDirectory,
) -> Result<(), Failure> {
    files::allow_all();
    // Before there are other threads.
    let refusals = [realtime::lock_memory(), realtime::schedule(Thread::Protocol)];
    let refusals: Vec<_> = refusals.into_iter().filter_map(Result::err).collect();
    let now = clock::now();
    let systemd = tried("reaching systemd", Systemd::from_environment(now.mono))?;
    let sockets = tried("opening a packet socket", Sockets::new())?;
    let settings = Settings::in_directory(directory.directory());
    let start = Netlink::start(config.interfaces(), settings).await;
    let (netlink, state) = tried("reading the interfaces by netlink", start)?;
    realtime::no_more();
    let recorder = match &options.record {
        Some(path) => {
            let recorder = Recorder::start(path, &Header::new(now, config.clone()));
            Some(tried(&format!("recording to {}", path.display()), recorder)?)
        }
        None => None,
    };
    let mut teller = tried("starting the log", Teller::start())?;
    for refusal in &refusals {
        teller.notice(Severity::Warning, refusal.to_string());
    }
    let standby = StandbyFile::new(options.state_directory.as_deref());
    let kept = standby.read().unwrap_or_else(|error| {
        let text = format!("what was on standby is not known, so nothing is: {error}");
        teller.notice(Severity::Warning, text);
        Standby::default()
    });
    let group = config.control_group.clone();
    let control = control(directory.directory(), standby, group, &mut teller);
    let errands = tried("starting the checks", Errands::start(&config))?;
    let held = Holdings::new(directory.held().naming(&options.config));
    let hands = Hands::new(sockets, netlink, held, control, errands);
    let condition = Condition::new(&config, &refusals, clock::moment());
    let mut reload = Reload::new(options.config.clone(), now.wall);
    for line in reload.in_effect(now.mono, &config, &awaited, source).missing {
        teller.notice(Severity::Warning, format!("not on this machine: {line}"));
    }
    let shell = Shell { hands, keys, teller, recorder, systemd, condition, reload };
    let agent = Agent::new(config, now, shell);
    let mut agent = tried("starting the event loop", agent)?;
    // Before anything is known of the interfaces: what is out never takes part.
    let inputs = standby::inputs(kept).into_iter().chain(state).collect();
    let result = agent.serve(inputs).await;
    agent.finish();
    tried("the agent had to end because something it cannot do without", result)
}

/// The sockets, or none: an agent that cannot be asked keeps its addresses all the same.
fn control(
    directory: &Directory,
    standby: StandbyFile,
    group: Option<String>,
    teller: &mut Teller,
) -> Control {
    Control::start(directory, standby, group).unwrap_or_else(|error| {
        let text = format!(
            "there are no status and control sockets, so vipctl does not work: {error}; name a directory for them \
             with --runtime-directory, or RuntimeDirectory= in the unit"
        );
        teller.notice(Severity::Warning, text);
        Control::none()
    })
}
