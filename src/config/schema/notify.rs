//! Hooks.

use schemars::JsonSchema;

use super::value::{AbsolutePath, Duration, Program, Word};

/// Who is told when the state of an instance changes, and what is started then.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Notify {
    /// At each change of state.
    script: Option<Program>,
    /// This node has won the election; the addresses wait until this has ended.
    before_claim: Option<Program>,
    /// This node has the addresses.
    after_claim: Option<Program>,
    /// A stop or a handover waits until this has ended, with the addresses.
    before_release: Option<Program>,
    /// This node has let go of the addresses.
    after_release: Option<Program>,
    /// This node cannot take part: a link is down, a check fails.
    on_fault: Option<Program>,
    /// Another node that was active too has yielded to this one.
    on_conflict_won: Option<Program>,
    /// Every verify_interval while this node has the addresses: are they still its own?
    verify: Option<Program>,
    /// How often 'verify' runs, from 1s on. Default: 30s.
    verify_interval: Option<Duration>,
    /// A named pipe that gets a line for each change, as keepalived writes it.
    fifo: Option<AbsolutePath>,
    /// A URL that each change is posted to as JSON.
    #[schemars(regex(pattern = "^https?://"))]
    webhook: Option<String>,
    /// Who runs the programs. Default: the user that vipd runs as, nobody where that is root.
    user: Option<Word>,
    /// In which group. Default: the user's own.
    group: Option<Word>,
    /// What has not ended by then is killed and has failed: 10ms to 60s. Default: 10s.
    timeout: Option<Duration>,
    /// How often what has failed is tried again. Default: 2.
    #[schemars(range(min = 0, max = 10))]
    retries: Option<u8>,
}

/// Who is told when the state of a sync group changes, and what is started then.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct GroupNotify {
    /// At each change of state.
    script: Option<Program>,
    /// This node has won the election; the addresses of all members wait until this has ended.
    before_claim: Option<Program>,
    /// This node has the addresses of all members.
    after_claim: Option<Program>,
    /// This node has let go of the addresses.
    after_release: Option<Program>,
    /// This node cannot take part.
    on_fault: Option<Program>,
    /// A named pipe that gets a line for each change, as keepalived writes it.
    fifo: Option<AbsolutePath>,
    /// A URL that each change is posted to as JSON.
    #[schemars(regex(pattern = "^https?://"))]
    webhook: Option<String>,
    /// Who runs the programs. Default: the user that vipd runs as, nobody where that is root.
    user: Option<Word>,
    /// In which group. Default: the user's own.
    group: Option<Word>,
    /// What has not ended by then is killed and has failed: 10ms to 60s. Default: 10s.
    timeout: Option<Duration>,
    /// How often what has failed is tried again. Default: 2.
    #[schemars(range(min = 0, max = 10))]
    retries: Option<u8>,
}
