//! Checks that this process may do what the agent does, and gives up everything else that root may
//! do.

use std::ffi::CString;
use std::{fmt, io};

use caps::{CapSet, Capability, CapsHashSet};
use nix::sys::prctl::set_keepcaps;
use nix::unistd::{Gid, Uid, User, initgroups, setgroups, setresgid, setresuid};

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

/// A group that has nobody and nothing (`nogroup`, the kernel's overflow group).
const NO_GROUP: u32 = 65_534;

/// Root becomes this user, for good, and keeps of its powers those that the agent needs.
///
/// # Errors
/// What the system says: then this process must not go on.
pub(crate) fn become_user(user: Uid) -> io::Result<()> {
    let account = User::from_uid(user).ok().flatten();
    let group = account.as_ref().map_or(Gid::from_raw(NO_GROUP), |account| account.gid);
    match account {
        Some(account) => initgroups(&CString::new(account.name)?, group)?,
        None => setgroups(&[])?,
    }
    setresgid(group, group, group)?;
    set_keepcaps(true)?;
    setresuid(user, user, user)?;
    set_keepcaps(false)?;
    keep_only_what_is_needed().map_err(io::Error::other)
}

fn keep_only_what_is_needed() -> Result<(), caps::errors::CapsError> {
    let permitted = caps::read(None, CapSet::Permitted)?;
    let needed = NEEDED.into_iter().map(|(capability, _)| capability);
    let kept: CapsHashSet = needed.filter(|needed| permitted.contains(needed)).collect();
    caps::clear(None, CapSet::Effective)?;
    caps::clear(None, CapSet::Inheritable)?;
    caps::set(None, CapSet::Permitted, &kept)?;
    caps::set(None, CapSet::Effective, &kept)
}
