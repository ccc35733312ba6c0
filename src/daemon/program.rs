//! Whether the programs that a configuration names may run: one that is missing, or that anybody
//! could replace, does not. That is said when the configuration is read, and asked again before
//! each start of a program: it may come with a file system that is mounted later.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use caps::{CapSet, Capability};
use nix::errno::Errno;
use nix::libc::{S_ISVTX, S_IWGRP, S_IWOTH};
use nix::unistd::{Gid, Group, Uid, User, getegid, geteuid};

use super::permission;
use crate::config::{self, Problem};
use crate::model::{Config, Notify, Probe, ScriptProbe, TrackConfig};

/// The user without rights that every system has.
const NOBODY: &str = "nobody";

/// A program that the configuration names.
struct Named<'a> {
    /// The path of the mapping that it stands in, and its own key there.
    place: Vec<&'a str>,
    key: &'static str,
    command: &'a [String],
    user: Option<&'a str>,
    group: Option<&'a str>,
}

/// What is wrong, and what would be right.
#[derive(Debug, PartialEq, Eq)]
struct Wrong {
    /// The key in the mapping.
    key: &'static str,
    what: String,
    hint: &'static str,
}

/// Everything that is wrong with the programs of a configuration, which was read from this text.
pub(crate) fn problems(file: &str, text: &str, config: &Config) -> Vec<Problem> {
    let problem = |named: Named<'_>| {
        let Wrong { key, what, hint } = judge(&named).err()?;
        let path: Vec<&str> = named.place.iter().copied().chain([key]).collect();
        let (line, column) = config::locate(text, &path);
        let (file, hint) = (file.to_owned(), Some(hint.to_owned()));
        Some(Problem { file, line, column, key: path.join("."), what, hint })
    };
    let instances =
        config.instances.iter().flat_map(|i| hooks("instances", i.name.as_str(), &i.notify));
    let groups =
        config.sync_groups.iter().flat_map(|g| hooks("sync_groups", g.name.as_str(), &g.notify));
    let all = config.tracks.iter().filter_map(of_track).chain(instances).chain(groups);
    let mut problems: Vec<Problem> = all.filter_map(problem).collect();
    problems.sort_by_key(|problem| (problem.line, problem.column));
    // What two programs have in common is wrong once.
    problems.dedup();
    problems
}

fn of_track(track: &TrackConfig) -> Option<Named<'_>> {
    let Probe::Script(ScriptProbe { command, user, group }) = &track.probe else { return None };
    Some(Named {
        place: vec!["tracks", track.name.as_str(), "script"],
        key: "command",
        command,
        user: user.as_deref(),
        group: group.as_deref(),
    })
}

/// The programs of an instance or of a sync group.
fn hooks<'a>(
    kind: &'static str,
    name: &'a str,
    notify: &'a Notify,
) -> impl Iterator<Item = Named<'a>> {
    let Notify { programs, user, group, .. } = notify;
    programs.iter().map(move |(phase, command)| Named {
        place: vec![kind, name, "notify"],
        key: phase.key(),
        command,
        user: user.as_deref(),
        group: group.as_deref(),
    })
}

fn judge(named: &Named<'_>) -> Result<(), Wrong> {
    let (name, who) = identity(named)?;
    may_become(&name, who)?;
    let Some(path) = named.command.first() else { return Ok(()) };
    inspect(Path::new(path), who).map_err(|(what, hint)| Wrong { key: named.key, what, hint })
}

/// The user that runs a program if the operator names nobody: the daemon's own, and not root.
///
/// # Errors
/// When the system does not know its own user.
pub(crate) fn user(named: Option<&str>) -> Result<User, String> {
    let found = match named {
        Some(name) => User::from_name(name),
        None if geteuid().is_root() => User::from_name(NOBODY),
        None => User::from_uid(geteuid()),
    };
    found.ok().flatten().ok_or_else(|| {
        format!("no user '{}'", named.map_or_else(|| geteuid().to_string(), str::to_owned))
    })
}

/// Whom a program runs as.
fn identity(named: &Named<'_>) -> Result<(String, (Uid, Gid)), Wrong> {
    let hint = "name one that it has";
    let user = user(named.user).map_err(|why| Wrong {
        key: "user",
        what: format!("this machine has {why}"),
        hint,
    })?;
    let Some(name) = named.group else { return Ok((user.name, (user.uid, user.gid))) };
    let group = Group::from_name(name).ok().flatten().ok_or_else(|| Wrong {
        key: "group",
        what: format!("this machine has no group '{name}'"),
        hint,
    })?;
    Ok((user.name, (user.uid, group.gid)))
}

/// The daemon may lack the permission to become somebody else. Whoever is no daemon, and only asks
/// whether the file is valid, is not the one to ask.
fn may_become(name: &str, who: (Uid, Gid)) -> Result<(), Wrong> {
    let needed = [Capability::CAP_SETUID, Capability::CAP_SETGID, Capability::CAP_KILL];
    let is_daemon = permission::check().is_ok();
    let has_all =
        needed.into_iter().all(|one| caps::has_cap(None, CapSet::Effective, one).unwrap_or(true));
    if !is_daemon || who == (geteuid(), getegid()) || has_all {
        return Ok(());
    }
    let own = User::from_uid(geteuid()).ok().flatten();
    let own = own.map_or_else(|| geteuid().to_string(), |user| user.name);
    let key = if who.0 == geteuid() { "group" } else { "user" };
    Err(Wrong {
        key,
        what: format!("vipd runs as {own} and may not start a program as '{name}'"),
        hint: "leave it out, or allow it in the unit as docs/install.md shows",
    })
}

/// Checks that a program may be started as this user now.
///
/// # Errors
/// The reason, for people.
pub(crate) fn fit(path: &Path, user: Uid, group: Gid) -> Result<(), String> {
    let of_path = format!("{}: ", path.display());
    inspect(path, (user, group))
        .map_err(|(what, _)| what.strip_prefix(&of_path).unwrap_or(&what).to_owned())
}

/// What is wrong with a program, and what would be right.
type Fault = (String, &'static str);

/// Whether this program may run as this user.
fn inspect(path: &Path, (user, group): (Uid, Gid)) -> Result<(), Fault> {
    let shown = path.display();
    let missing = |error: io::Error| {
        let errno = error.raw_os_error().map(Errno::from_raw);
        let why = errno.map_or_else(|| error.to_string(), |errno| errno.desc().to_owned());
        (format!("{shown}: {why}"), "name a program that is there")
    };
    let real = fs::canonicalize(path).map_err(missing)?;
    let file = fs::metadata(&real).map_err(missing)?;
    if !file.is_file() {
        return Err((format!("{shown} is no file"), "name a program"));
    }
    if !may_execute(&file, user, group) {
        let what = format!("{shown} is not executable for its user");
        return Err((what, "chmod +x, or name another user"));
    }
    guarded(&real, &file, user)?;
    // Where it is a symbolic link, both ways to it count.
    for way in [path, &real] {
        for directory in way.ancestors().skip(1) {
            let found = fs::metadata(directory).map_err(missing)?;
            guarded(directory, &found, user)?;
            if !may_execute(&found, user, group) {
                let what = format!("the user of {shown} may not enter {}", directory.display());
                return Err((what, "chmod +x that directory, or put the program elsewhere"));
            }
        }
    }
    Ok(())
}

/// Nobody but who is meant to may replace what stands there.
fn guarded(path: &Path, found: &Metadata, user: Uid) -> Result<(), Fault> {
    let shown = path.display();
    let may_be_sticky = found.is_dir() && !user.is_root();
    let guarded = may_be_sticky && found.mode() & S_ISVTX != 0;
    if found.mode() & S_IWOTH != 0 && !guarded {
        return Err((format!("everybody may write to {shown}"), "chmod o-w"));
    }
    if !user.is_root() {
        return Ok(());
    }
    // What runs as root is root's.
    if found.uid() != 0 {
        return Err((
            format!("{shown} does not belong to root, and the script runs as root"),
            "chown it to root, or name another user",
        ));
    }
    if found.mode() & S_IWGRP != 0 && found.gid() != 0 {
        return Err((
            format!("a group may write to {shown}, and the script runs as root"),
            "chmod g-w, or name another user",
        ));
    }
    Ok(())
}

/// Whether a user may execute a file, or enter a directory (`path_resolution(7)`).
fn may_execute(found: &Metadata, user: Uid, group: Gid) -> bool {
    const ANYBODY: u32 = 0o111;
    let bit = if user.is_root() {
        ANYBODY
    } else if found.uid() == user.as_raw() {
        0o100
    } else if found.gid() == group.as_raw() {
        0o010
    } else {
        0o001
    };
    found.mode() & bit != 0
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::PathBuf;

    use super::*;

    const SOMEBODY: (u32, u32) = (4_242_424, 4_242_424);

    /// A directory with an executable in it.
    struct Place(PathBuf);

    impl Place {
        fn new(name: &str) -> Self {
            let directory =
                std::env::temp_dir().join(format!("vipd-program-{name}-{}", std::process::id()));
            fs::create_dir(&directory).unwrap();
            let place = Self(directory);
            fs::write(place.program(), "#!/bin/sh\n").unwrap();
            Place::set(&place.program(), 0o755);
            Place::set(&place.0, 0o755);
            place
        }

        fn program(&self) -> PathBuf {
            self.0.join("check")
        }

        fn set(path: &Path, mode: u32) {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }

        fn said(&self) -> String {
            let (user, group) = SOMEBODY;
            match inspect(&self.program(), (Uid::from_raw(user), Gid::from_raw(group))) {
                Ok(()) => "fine".to_owned(),
                Err((what, _)) => what,
            }
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    /// Rule: a program that is not there, that its user may not execute or not reach, or that is a
    /// directory is refused.
    #[test]
    fn what_cannot_run_is_refused() {
        let place = Place::new("run");
        assert_eq!(place.said(), "fine");
        Place::set(&place.program(), 0o750);
        assert!(place.said().contains("is not executable for its user"));
        Place::set(&place.program(), 0o755);
        Place::set(&place.0, 0o750);
        assert!(place.said().contains("may not enter"), "{}", place.said());
        Place::set(&place.0, 0o755);
        fs::remove_file(place.program()).unwrap();
        assert!(place.said().contains("No such file or directory"));
        fs::create_dir(place.program()).unwrap();
        assert!(place.said().contains("is no file"));
    }

    /// Rule: a program that everybody may write, or whose directory everybody may, is refused; also
    /// where a symbolic link leads from one to a good one.
    #[test]
    fn what_anybody_may_replace_is_refused() {
        let place = Place::new("write");
        Place::set(&place.program(), 0o757);
        assert!(place.said().starts_with("everybody may write to "));
        Place::set(&place.program(), 0o755);
        Place::set(&place.0, 0o757);
        assert!(place.said().starts_with("everybody may write to "));
        fs::remove_file(place.program()).unwrap();
        std::os::unix::fs::symlink("/bin/true", place.program()).unwrap();
        assert!(place.said().starts_with("everybody may write to "));
        Place::set(&place.0, 0o755);
        assert_eq!(place.said(), "fine");
    }

    /// Rule: what runs as root is root's own, with all of its directories, and not even a sticky
    /// directory is good enough.
    #[test]
    fn root_runs_only_what_is_roots() {
        let root = (Uid::from_raw(0), Gid::from_raw(0));
        assert_eq!(inspect(Path::new("/bin/true"), root), Ok(()));
        let place = Place::new("root");
        let (what, _) = inspect(&place.program(), root).unwrap_err();
        let reasons = ["does not belong to root", "everybody may write to /"];
        assert!(reasons.iter().any(|reason| what.contains(reason)), "{what}");
    }

    /// Rule: a problem has the place and the path of its key.
    #[test]
    fn a_problem_has_its_place() {
        let text = "nodes: { a: 10.0.0.1, b: 10.0.0.2 }\ntracks:\n  web:\n    script:\n      \
                    command: [/nonexistent/check]\n      user: no-such-user\ninstances:\n  web: { \
                    interface: eth0, virtual_router_id: 1, addresses: [10.0.0.9], track: web }\n";
        let here = config::Here::Node("a".try_into().unwrap());
        let config = config::load("vipd.yaml", text, &here).unwrap();
        let said: Vec<String> =
            problems("vipd.yaml", text, &config).iter().map(ToString::to_string).collect();
        assert_eq!(
            said,
            ["vipd.yaml:6:13: tracks.web.script.user: this machine has no user 'no-such-user'; \
              name one that it has"]
        );
    }
}
