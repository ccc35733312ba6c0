//! Authentication.

use std::collections::BTreeMap;

use schemars::JsonSchema;

use super::value::{AbsolutePath, Duration, Word};

/// How the routers of the group prove to each other that they belong to it: with keys (HMAC), or with
/// the password of version 2, which everybody on the segment can read.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Authentication {
    /// Keys by their numbers, 1 to 255. Each verifies.
    keys: Option<BTreeMap<String, Key>>,
    /// The number of the key that signs. Default: the only one.
    #[schemars(range(min = 1, max = 255))]
    send: Option<u8>,
    /// What is signed, and what is accepted. Default: enforce.
    mode: Option<Mode>,
    /// How a recorded advertisement is told from a new one. Default: time.
    anti_replay: Option<AntiReplay>,
    /// How far a time stamp may be from this node's clock: 1s to 300s. Default: three advertisement
    /// intervals, at least 5s.
    window: Option<Duration>,
    /// The password of version 2: 1 to 8 characters.
    #[schemars(length(min = 1, max = 8))]
    password: Option<String>,
    /// The file in which it is.
    password_file: Option<AbsolutePath>,
    /// The credential in which it is, as the unit names it.
    password_credential: Option<Word>,
}

/// Where a key is.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Key {
    /// In a file that only root, and the user that vipd runs as, can read.
    file: Option<AbsolutePath>,
    /// In a credential, as the unit names it.
    credential: Option<Word>,
    /// Here: 'hex:' and 64 to 128 hexadecimal digits, or 32 to 64 characters.
    #[schemars(length(min = 32, max = 132))]
    secret: Option<String>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
enum Mode {
    /// Signs nothing; accepts what is not signed.
    ReceiveOnly,
    /// Signs; accepts what is not signed.
    Permissive,
    /// Signs; refuses what is not signed.
    Enforce,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
enum AntiReplay {
    /// Time stamps near this node's clock, each later than the last one.
    Time,
    /// Each time stamp later than the last one, whatever the clocks say.
    Monotonic,
}
