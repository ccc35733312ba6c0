//! Whether this process may do what the agent does.

use std::fmt;

use caps::{CapSet, Capability};

/// What the agent needs, and for what.
const NEEDED: [(Capability, &str); 2] = [
    (Capability::CAP_NET_ADMIN, "adds and removes the addresses"),
    (Capability::CAP_NET_RAW, "opens the VRRP and ARP sockets"),
];

/// Capabilities that this process does not have.
#[derive(Debug)]
pub(crate) struct Missing(Vec<(Capability, &'static str)>);

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (capability, purpose) in &self.0 {
            writeln!(f, "vipd: {capability} is missing: it {purpose}")?;
        }
        f.write_str(
            "  grant both in one of these ways:\n    \
             in a systemd unit:  AmbientCapabilities=CAP_NET_ADMIN CAP_NET_RAW\n    \
             on the program:     setcap cap_net_admin,cap_net_raw+ep /usr/sbin/vipd\n    \
             or run it as root",
        )
    }
}

/// Checks the effective capabilities (`capabilities(7)`).
///
/// # Errors
/// All the missing ones.
pub(crate) fn check() -> Result<(), Missing> {
    let missing: Vec<_> = NEEDED
        .into_iter()
        .filter(|(capability, _)| {
            // Where the kernel does not tell, the first socket will.
            !caps::has_cap(None, CapSet::Effective, *capability).unwrap_or(true)
        })
        .collect();
    if missing.is_empty() { Ok(()) } else { Err(Missing(missing)) }
}
