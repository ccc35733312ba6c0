//! Who may ask for something, by the credentials that the kernel vouches for.

use std::ffi::CString;

use nix::unistd::{Gid, Group, Uid, User, getgrouplist};
use tokio::net::UnixStream;

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Client {
    user: Uid,
    group: Gid,
    process: Option<i32>,
}

impl Client {
    /// The process at the other end, as it was when it connected (`SO_PEERCRED`, `unix(7)`).
    pub(super) fn of(stream: &UnixStream) -> std::io::Result<Self> {
        let peer = stream.peer_cred()?;
        let (user, group) = (Uid::from_raw(peer.uid()), Gid::from_raw(peer.gid()));
        Ok(Self { user, group, process: peer.pid() })
    }

    /// The numbers of its user and group.
    pub(super) fn id(&self) -> (u32, u32) {
        (self.user.as_raw(), self.group.as_raw())
    }

    /// True for root and the daemon's own user: this needs no lookup.
    pub(super) fn is_trusted(&self) -> bool {
        Self::is_trusted_user(self.user.as_raw())
    }

    /// True for the numbers of root and of the daemon's own user.
    pub(super) fn is_trusted_user(user: u32) -> bool {
        user == 0 || user == Uid::effective().as_raw()
    }

    /// Root, the daemon's own user and the members of this group may ask. This asks the system for
    /// users and groups, which may take long.
    ///
    /// # Errors
    /// Who may, for the client to read.
    pub(super) fn may_ask(&self, group: Option<&str>) -> Result<(), String> {
        if self.is_trusted() || self.is_in(group) {
            return Ok(());
        }
        let who = group.map_or_else(
            || {
                "root may (try sudo), and the members of a group that the configuration names in \
                 control_group"
                    .to_owned()
            },
            |group| format!("root may (try sudo), and the members of the group {group}"),
        );
        Err(format!("{} may not control vipd: {who}", self.user_name()))
    }

    fn is_in(&self, group: Option<&str>) -> bool {
        let wanted = group.and_then(|name| Group::from_name(name).ok().flatten());
        let Some(wanted) = wanted else { return false };
        self.group == wanted.gid || self.supplementary_groups().contains(&wanted.gid)
    }

    /// The user's groups as the system has them now: who was added to one need not log in again.
    fn supplementary_groups(&self) -> Vec<Gid> {
        let user = User::from_uid(self.user).ok().flatten();
        let name = user.and_then(|user| CString::new(user.name).ok());
        name.and_then(|name| getgrouplist(&name, self.group).ok()).unwrap_or_default()
    }

    fn user_name(&self) -> String {
        let user = User::from_uid(self.user).ok().flatten();
        user.map_or_else(|| format!("user {}", self.user), |user| format!("user {}", user.name))
    }
}

/// For the log: `user admin (process 4711)`.
impl std::fmt::Display for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.user_name())?;
        match self.process {
            Some(process) => write!(f, " (process {process})"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(user: u32, group: u32) -> Client {
        Client { user: Uid::from_raw(user), group: Gid::from_raw(group), process: None }
    }

    /// Rule: root and the daemon's own user may ask, others by their group only, and are told so.
    #[test]
    fn others_need_the_group() {
        assert_eq!(client(0, 0).may_ask(None), Ok(()));
        assert_eq!(client(Uid::effective().as_raw(), 54_321).may_ask(None), Ok(()));
        let stranger = client(54_321, 54_321);
        let text = stranger.may_ask(None).unwrap_err();
        assert!(text.starts_with("user 54321 may not") && text.contains("control_group"), "{text}");
        // Every Linux has this one, and its members are these: those who have it as their own.
        let text = stranger.may_ask(Some("root")).unwrap_err();
        assert!(text.contains("the group root"), "{text}");
        assert_eq!(client(54_321, 0).may_ask(Some("root")), Ok(()));
        assert!(client(54_321, 0).may_ask(Some("no such group")).is_err());
    }
}
