//! Looks at real servers, installed from Debian, each on a loopback address of the test's own and
//! on a scratch directory: no server of the machine is touched, and no privilege is needed.
//!
//! A missing server program fails its test: `tests/run` installs them.

mod authority;
mod dns;
mod http;
mod misbehaving;
#[cfg(feature = "mysql")]
mod mysql;
#[cfg(feature = "postgres")]
mod postgres;
mod redis;
pub(super) mod scratch;
mod server;
mod silent;

use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};

use crate::daemon::outside::Doing;
use crate::engine::ProbeResult;
use crate::model::Probe;

/// Far longer than a look at a server that is well may take, even on a busy machine.
const BOUND: Duration = Duration::from_secs(20);

/// How long servers may take to start, or to notice what happened to another one.
const PATIENCE: Duration = Duration::from_secs(60);

/// One look, as the runtime takes it.
async fn look(probe: &Probe) -> ProbeResult {
    look_and_tell(probe, &Doing::default()).await
}

/// One look, and what it waits for meanwhile.
async fn look_and_tell(probe: &Probe, doing: &Doing) -> ProbeResult {
    match probe {
        Probe::Http(probe) => super::http::look(probe, doing).await,
        Probe::Postgres(probe) => super::postgres::look(probe, doing).await,
        Probe::Mysql(probe) => super::mysql::look(probe, doing).await,
        Probe::Redis(probe) => super::redis::look(probe, doing).await,
        Probe::Dns(probe) => super::dns::look(probe, doing).await,
        other => panic!("{} speaks to no server", other.kind()),
    }
}

/// What a look says that passes.
async fn passes(probe: &Probe) -> String {
    match timeout(BOUND, look(probe)).await.expect("a look does not hang") {
        ProbeResult::Passed(text) => text,
        ProbeResult::Failed(why) => panic!("{why}: {probe:?}"),
    }
}

/// What a look says that fails: always for people, on one line that is not too long.
async fn fails(probe: &Probe) -> String {
    match timeout(BOUND, look(probe)).await.expect("a look does not hang") {
        ProbeResult::Failed(why) => {
            assert!(!why.is_empty() && why.chars().count() <= 200, "{why}");
            assert!(!why.contains('\n'), "{why}");
            why
        }
        ProbeResult::Passed(text) => panic!("passes with '{text}': {probe:?}"),
    }
}

/// Fails for this reason.
async fn fails_with(probe: &Probe, reason: &str) {
    let why = fails(probe).await;
    assert!(why.contains(reason), "'{why}' does not say '{reason}'");
}

/// Waits until a look passes, as for a server that starts.
async fn comes_to_pass(probe: &Probe) -> String {
    until(probe, |result| match result {
        ProbeResult::Passed(text) => Some(text.clone()),
        ProbeResult::Failed(_) => None,
    })
    .await
}

/// Waits until a look fails for this reason.
async fn comes_to_fail(probe: &Probe, reason: &str) {
    until(probe, |result| match result {
        ProbeResult::Failed(why) => why.contains(reason).then_some(()),
        ProbeResult::Passed(_) => None,
    })
    .await;
}

async fn until<T>(probe: &Probe, wanted: impl Fn(&ProbeResult) -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        let result = timeout(BOUND, look(probe)).await.expect("a look does not hang");
        if let Some(found) = wanted(&result) {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "still {result:?}: {probe:?}");
        sleep(Duration::from_millis(50)).await;
    }
}
