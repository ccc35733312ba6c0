//! The errands as the protocol loop sees them.

use std::sync::mpsc as std_mpsc;
use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::*;
use crate::engine::{Input, ProbeResult};
use crate::model::{FileCondition, FileProbe, Probe, ScriptProbe};
use crate::time::Span;

/// Far longer than anything that is waited for may take.
const BOUND: Duration = Duration::from_secs(20);

fn track(name: &str, probe: Probe, timeout: Span) -> TrackConfig {
    TrackConfig {
        name: name.try_into().unwrap(),
        probe,
        interval: Span::from_secs(1),
        timeout,
        rise: 1,
        fall: 1,
        cost: None,
        flap: None,
    }
}

fn script(command: &str) -> Probe {
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid()).unwrap().unwrap().name;
    let command = ["/bin/sh", "-c", command].map(str::to_owned).to_vec();
    Probe::Script(ScriptProbe { command, user: Some(user), group: None })
}

fn present(path: &str) -> Probe {
    Probe::File(FileProbe { path: path.into(), condition: FileCondition::Present })
}

fn errands(tracks: Vec<TrackConfig>) -> Errands {
    Errands::start(&Config { tracks, ..Config::default() }).unwrap()
}

/// The next answer: of which check, with which number, and what it says.
async fn answer(errands: &mut Errands) -> (String, u64, ProbeResult) {
    loop {
        match timeout(BOUND, errands.next()).await.unwrap() {
            News::Input(Input::Probed { track, number, result }) => {
                return (track.to_string(), number, result);
            }
            News::Input(Input::Stirred { .. }) | News::Trouble(_) => {}
            News::Input(other) => panic!("{other:?}"),
        }
    }
}

fn in_a_runtime<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(work)
}

fn failed(text: &str) -> ProbeResult {
    ProbeResult::Failed(text.to_owned())
}

/// Rule: a look that has no answer in time has failed, with what it waited for, and holds up no
/// other.
#[test]
fn a_hanging_look_fails_by_itself() {
    let hangs = track("hangs", script("echo waiting for db1; sleep 1000"), Span::from_secs(3));
    let quick = track("quick", present("/"), Span::from_secs(3));
    let mut errands = errands(vec![hangs, quick]);
    in_a_runtime(async {
        errands.look(&"hangs".try_into().unwrap(), 1).unwrap();
        errands.look(&"quick".try_into().unwrap(), 2).unwrap();
        let passed = ProbeResult::Passed("/ is there".to_owned());
        assert_eq!(answer(&mut errands).await, ("quick".to_owned(), 2, passed));
        let why = "no answer within 3 s (it still runs, its last line was: waiting for db1)";
        assert_eq!(answer(&mut errands).await, ("hangs".to_owned(), 1, failed(why)));
    });
    assert!(errands.finish());
}

/// Rule: a cancelled look has no answer; the check's next one has.
#[test]
fn a_cancelled_look_is_silent() {
    let hangs = track("hangs", script("sleep 1000"), Span::from_millis(500));
    let mut errands = errands(vec![hangs]);
    let name = TrackName::try_from("hangs").unwrap();
    in_a_runtime(async {
        errands.look(&name, 1).unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        errands.cancel(&name, 1);
        // One that is not under way.
        errands.cancel(&name, 7);
        errands.look(&name, 2).unwrap();
        assert_eq!(answer(&mut errands).await.1, 2);
    });
    assert!(errands.finish());
}

/// Rule: what is looked at is what the configuration of that time says, whatever it said when an
/// earlier look began; what it does not have is refused at once.
#[test]
fn a_reload_while_a_look_hangs() {
    let with = |probe| track("web", probe, Span::from_secs(1000));
    let mut errands = errands(vec![with(script("sleep 1000"))]);
    let name = TrackName::try_from("web").unwrap();
    in_a_runtime(async {
        errands.look(&name, 1).unwrap();
        let tracks = vec![with(present("/"))];
        errands.reconfigure(&Config { tracks, ..Config::default() });
        errands.cancel(&name, 1);
        errands.look(&name, 2).unwrap();
        // Were it to wait for the hanging one, this would be later than the bound.
        let (_, number, result) = answer(&mut errands).await;
        assert_eq!((number, result), (2, ProbeResult::Passed("/ is there".to_owned())));
        errands.reconfigure(&Config::default());
        assert!(errands.look(&name, 3).is_err());
    });
    assert!(errands.finish());
}

/// Rule: whatever stands still over there, the protocol loop never waits: orders that do not fit
/// any more are refused with the reason.
#[test]
fn a_stuck_thread_holds_up_nobody() {
    let (orders, _stuck) = mpsc::channel(2);
    let (_, news) = mpsc::channel(1);
    let config = Config {
        tracks: vec![track("web", present("/"), Span::from_secs(1))],
        ..Config::default()
    };
    let subjects = latest::channel(subjects(&config)).0;
    let (_ending, done) = std_mpsc::channel();
    let mut errands =
        Errands { configs: BTreeMap::new(), subjects, orders, news, done, gone: false };
    errands.reconfigure(&config);
    let name = TrackName::try_from("web").unwrap();
    let start = Instant::now();
    assert!((1..=2).all(|number| errands.look(&name, number).is_ok()));
    assert_eq!(
        errands.look(&name, 3).unwrap_err(),
        "vipd cannot keep up with its checks and hooks"
    );
    errands.cancel(&name, 1);
    assert!(start.elapsed() < BOUND);
    assert!(!errands.finish(), "it said that all is done");
}

/// Rule: a thread that has ended is told once, and every look fails with what to do.
#[test]
fn a_broken_thread_is_told_once() {
    let mut errands = errands(vec![track("web", present("/"), Span::from_secs(1))]);
    let (orders, _) = mpsc::channel(1);
    let (_, news) = mpsc::channel(1);
    (errands.orders, errands.news) = (orders, news);
    let name = TrackName::try_from("web").unwrap();
    assert!(errands.look(&name, 1).unwrap_err().contains("restart vipd"));
    in_a_runtime(async {
        assert!(matches!(errands.next().await, News::Trouble(text) if text.contains("has ended")));
        assert!(timeout(Duration::from_millis(20), errands.next()).await.is_err());
    });
}
