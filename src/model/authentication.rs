//! How the routers of a group prove to each other that they belong to it.
//!
//! A configuration is recorded, logged and shown, so there is no secret in it: only where each one
//! is to be found. The secrets themselves are in [`crate::keyring`].

use std::fmt;
use std::num::NonZeroU8;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::numbers::{OutOfRange, in_range};

/// How the advertisements of an instance are authenticated.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Authentication {
    /// Not at all.
    #[default]
    None,
    /// By a password in clear text (RFC 2338 section 5.3.6.2): version 2 only, and no protection
    /// from anybody who can listen.
    Password(SecretSource),
    /// By the HMAC trailer of keepalived 2.4 and draft-cassen-vrrp-auth-hmac.
    Hmac(HmacAuthentication),
}

impl Authentication {
    /// Whether there is none.
    pub fn is_none(&self) -> bool {
        *self == Self::None
    }

    /// Where the secrets are: a password, or the keys with their numbers.
    pub fn secrets(&self) -> impl Iterator<Item = (Option<KeyId>, &SecretSource)> {
        let password = match self {
            Self::Password(source) => Some((None, source)),
            Self::None | Self::Hmac(_) => None,
        };
        let keys = match self {
            Self::Hmac(hmac) => hmac.keys.as_slice(),
            Self::None | Self::Password(_) => &[],
        };
        password.into_iter().chain(keys.iter().map(|key| (Some(key.id), &key.source)))
    }
}

/// Authentication by HMAC-SHA-256.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HmacAuthentication {
    /// What is signed, and what is accepted.
    pub mode: HmacMode,
    /// Each verifies; their numbers differ; never empty.
    pub keys: Vec<HmacKey>,
    /// The one that signs; `None` only where nothing is signed.
    pub send: Option<KeyId>,
    /// How an advertisement that was recorded is told from a new one.
    pub anti_replay: AntiReplay,
}

impl HmacAuthentication {
    /// The key that this node's advertisements are signed with.
    pub fn signing_key(&self) -> Option<&HmacKey> {
        let send = self.send.filter(|_| self.mode != HmacMode::ReceiveOnly)?;
        self.keys.iter().find(|key| key.id == send)
    }

    /// Whether there is a key of this number.
    pub fn has_key(&self, id: KeyId) -> bool {
        self.keys.iter().any(|key| key.id == id)
    }
}

/// What is signed, and what is accepted. An advertisement whose trailer is wrong is refused in all
/// modes. A group that runs changes from the first to the last, each time on all of its nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HmacMode {
    /// Signs nothing; accepts what is not signed.
    ReceiveOnly,
    /// Signs; accepts what is not signed.
    Permissive,
    /// Signs; refuses what is not signed.
    #[default]
    Enforce,
}

/// A key by its number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HmacKey {
    /// Its number, which stands in each advertisement that it signs.
    pub id: KeyId,
    /// Where it is.
    pub source: SecretSource,
}

/// The number of a key, 1 to 255.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyId(NonZeroU8);

impl KeyId {
    /// The number as it is on the wire.
    pub const fn get(self) -> u8 {
        self.0.get()
    }
}

impl TryFrom<u8> for KeyId {
    type Error = OutOfRange;

    fn try_from(number: u8) -> Result<Self, OutOfRange> {
        let found = u64::from(number);
        let out_of_range = OutOfRange { what: "the number of a key", low: 1, high: 255, found };
        NonZeroU8::new(number).map(Self).ok_or(out_of_range)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How a recorded advertisement is told from a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AntiReplay {
    /// Its time stamp must be near this node's clock, and later than the sender's last one.
    Time(Window),
    /// Its time stamp must be later than the sender's last one, whatever the clocks say.
    Monotonic,
}

/// How far a time stamp may be from this node's clock: 1 to 300 whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct Window(u16);

impl Window {
    /// The longest one.
    pub const LONGEST: Self = Self(300);

    /// What it is where nobody says otherwise.
    pub const DEFAULT: Self = Self(5);

    /// The number of seconds.
    pub const fn seconds(self) -> u16 {
        self.0
    }
}

impl TryFrom<u16> for Window {
    type Error = OutOfRange;

    fn try_from(seconds: u16) -> Result<Self, OutOfRange> {
        let high = Self::LONGEST.0.into();
        in_range("a time window in seconds", 1, high, seconds.into()).map(|_| Self(seconds))
    }
}

impl From<Window> for u16 {
    fn from(window: Window) -> Self {
        window.0
    }
}

/// Where a secret is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretSource {
    /// In the configuration file itself.
    Inline,
    /// In a file of its own: an absolute path.
    File(PathBuf),
    /// A credential that the service manager hands over, by its name (`systemd.exec(5)`,
    /// `LoadCredential=`).
    Credential(String),
}

impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inline => f.write_str("the configuration file"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Credential(name) => write!(f, "the credential {name}"),
        }
    }
}
