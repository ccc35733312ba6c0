//! Authentication of advertisements: version 2's password in clear text, and the HMAC trailer of
//! keepalived 2.4 (draft-cassen-vrrp-auth-hmac).
//!
//! The trailer is 28 bytes behind the message, which says nothing of it: it is there exactly when the
//! packet is 28 bytes longer than the message.
//!
//! ```text
//!  0 type=1   1 number of the key   2 reserved=0
//!  4 seconds since 1970 (32 bits)   8 1/65536 s   10 counter     together: the sequence
//! 12 the first 16 bytes of HMAC-SHA-256
//! ```
//!
//! [`Trailer`] is the wire format and the computation, [`Sequence`] and [`Stamper`] are the sender's time
//! stamps, [`Marks`] tells a receiver what is new.

mod marks;
mod sequence;
mod trailer;

pub use marks::{Marks, Remembered};
pub use sequence::{Sequence, Stamper};
pub use trailer::{TRAILER_LENGTH, Trailer, unsigned};

use serde::{Deserialize, Serialize};

/// What this node's keys say of a packet. Whoever has the keys says so when a packet is handed to the
/// engine, which has none: what an engine knows is recorded and shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Proof {
    /// Nothing: there is nothing in it to be proved, or no key of that number.
    #[default]
    None,
    /// Its sender knows the secret.
    Right,
    /// Its sender does not know the secret, or somebody has changed it on the way.
    Wrong,
}

impl Proof {
    /// Whether there is none.
    pub fn is_none(&self) -> bool {
        *self == Self::None
    }

    /// The verdict of a comparison.
    pub fn of(is_right: bool) -> Self {
        if is_right { Self::Right } else { Self::Wrong }
    }
}
