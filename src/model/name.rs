//! The names that stand in a configuration.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "Arc<str>", into = "Arc<str>")]
        pub struct $type(Arc<str>);

        impl $type {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<Arc<str>> for $type {
            type Error = BadName;

            fn try_from(name: Arc<str>) -> Result<Self, BadName> {
                let valid: fn(&str) -> Result<(), &'static str> = $valid;
                match valid(&name) {
                    Ok(()) => Ok(Self(name)),
                    Err(why) => Err(BadName { what: $what, name: name.to_string(), why }),
                }
            }
        }

        impl TryFrom<&str> for $type {
            type Error = BadName;

            fn try_from(name: &str) -> Result<Self, BadName> {
                Self::try_from(Arc::<str>::from(name))
            }
        }

        impl From<$type> for Arc<str> {
            fn from(name: $type) -> Self {
                name.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

/// A name cannot be what it is meant for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{name}' cannot be {what}: {why}")]
pub struct BadName {
    /// What it should have named, with its article.
    pub what: &'static str,
    /// The name.
    pub name: String,
    /// What is wrong with it.
    pub why: &'static str,
}

/// What our own names may look like: they stand in log lines, metrics labels and file names.
fn plain_word(name: &str) -> Result<(), &'static str> {
    match name {
        "" => Err("it is empty"),
        _ if name.len() > 64 => Err("it is longer than 64 characters"),
        _ if !name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')) => {
            Err("only letters, digits, '-', '_' and '.' may stand in it")
        }
        _ if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) => {
            Err("it must start with a letter or a digit")
        }
        _ => Ok(()),
    }
}

/// What the kernel takes as the name of a network interface (`dev_valid_name` in Linux'
/// `net/core/dev.c`).
fn kernel_interface_name(name: &str) -> Result<(), &'static str> {
    match name {
        "" => Err("it is empty"),
        "." | ".." => Err("the kernel refuses this name"),
        _ if name.len() > 15 => Err("the kernel takes at most 15 bytes"),
        _ if name.contains(|c: char| c == '/' || c == ':' || c.is_ascii_whitespace()) => {
            Err("the kernel refuses '/', ':' and white space in it")
        }
        _ if name.contains(char::is_control) => Err("a control character stands in it"),
        _ => Ok(()),
    }
}

name!(
    /// The name of an instance: the operator's word for one virtual router.
    InstanceName,
    "the name of an instance",
    plain_word
);
name!(
    /// The name of a node of the group.
    NodeName,
    "the name of a node",
    plain_word
);
name!(
    /// The name of a check.
    TrackName,
    "the name of a check",
    plain_word
);
name!(
    /// The name of a sync group.
    GroupName,
    "the name of a sync group",
    plain_word
);
name!(
    /// The name of a network interface: at most 15 bytes.
    InterfaceName,
    "the name of an interface",
    kernel_interface_name
);
