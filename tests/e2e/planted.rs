//! Traps that an unprivileged user leaves in a directory that root works in: root falls into none
//! of them.
//!
//! Under systemd `/run/vipd` belongs to the user that checks and hooks run as. Each case has a file
//! that is root's alone, and a trap that tries to have it read or written.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::authentication::with_keys;
use crate::lab::{Agent, BOUND, Group, Host, Lab, VIP, program, within};
use crate::release::{Answer, write_down};

/// The numbers of the user and group `nobody`.
const NOBODY: u32 = 65_534;

/// Longer than a release takes, in seconds.
const PATIENCE: &str = "30";

/// Returns true if there are other users: the namespace of an ordinary user has none.
fn has_other_users(lab: &Lab) -> bool {
    if !Lab::started_by_root() {
        lab.note("other users are tested as root only");
    }
    Lab::started_by_root()
}

/// Gives a file or a directory to the user `nobody`.
fn give(path: &Path) {
    std::os::unix::fs::lchown(path, Some(NOBODY), Some(NOBODY)).expect("its owner");
}

/// A host's runtime directory, empty, which belongs to the user `nobody`.
fn of_nobody(host: &Host) -> PathBuf {
    let directory = host.runtime_directory();
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir(&directory).expect("a runtime directory");
    fs::set_permissions(&directory, Permissions::from_mode(0o755)).expect("its mode");
    give(&directory);
    directory
}

/// A file that is root's alone.
struct Victim(PathBuf);

impl Victim {
    fn new(lab: &Lab, content: &str) -> Self {
        let path = lab.directory().join("root-only");
        fs::write(&path, content).expect("a file");
        fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("its mode");
        Self(path)
    }

    #[track_caller]
    fn has(&self, content: &str, after: &str) {
        assert_eq!(fs::read_to_string(&self.0).expect("the file"), content, "{after}");
        let about = fs::metadata(&self.0).expect("the file");
        assert_eq!((about.mode() & 0o777, about.uid()), (0o600, 0), "{after}");
    }
}

/// A function that puts something into a place.
type Plant<'a> = &'a dyn Fn(&Path);

/// Runs `vipd release`, which must not wait for anything that was planted.
fn release(host: &Host) -> Answer {
    let mut command = Command::new("timeout");
    command.arg(PATIENCE).arg(program("vipd"));
    command.arg("release").arg("--runtime-directory").arg(host.runtime_directory());
    let output = host.inside(|| command.output()).expect("vipd runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Answer { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
}

/// Bug guarded: `vipd release` as root emptied, read or waited for anything with the name of one of
/// its files: a symbolic link, a hard link, a pipe, a directory, a file without an end. Now it says
/// what it has found there.
pub(crate) fn files(lab: &Lab) {
    if !has_other_users(lab) {
        return;
    }
    let group = Group::new(lab, &[11]);
    let host = &group.nodes[0];
    let victim = Victim::new(lab, "root's own");
    let huge = |place: &Path| {
        let file = fs::File::create(place).expect("a file");
        file.set_len(1 << 40).expect("a file with a hole");
    };
    let plant: [(&str, &str, Plant<'_>); 5] = [
        ("link", "symbolic link", &|place| symlink(&victim.0, place).expect("a link")),
        ("hard link", "hard link", &|place| fs::hard_link(&victim.0, place).expect("a link")),
        ("pipe", "no regular file", &|place| mkfifo(place, Mode::S_IRWXU).expect("a pipe")),
        ("directory", "no regular file", &|place| fs::create_dir(place).expect("a directory")),
        ("hole", "too large", &huge),
    ];
    for name in ["lock", "held.json", "settings.json"] {
        for (what, why, plant) in &plant {
            if (name, *what) == ("lock", "hole") {
                // The file is emptied, as any lock is.
                continue;
            }
            let directory = of_nobody(host);
            let place = directory.join(name);
            plant(&place);
            if *what != "hard link" {
                give(&place);
            }
            let answer = release(host);
            let case = format!("{what} as {name}: {answer:?}");
            assert_eq!(answer.code, Some(71), "{case}");
            assert!(answer.err.contains(name), "{case}");
            // The directory's owner cannot even open a file of root's.
            let refused = *what == "hard link" && answer.err.contains("Permission denied");
            assert!(answer.err.contains(why) || refused, "{case}");
            victim.has("root's own", &case);
        }
    }
}

/// Bug guarded: a name with `../../` in `settings.json` made root write a number into any file. The
/// settings that the list may name are still put back, by the directory's owner with the
/// capabilities that this takes.
pub(crate) fn settings(lab: &Lab) {
    if !has_other_users(lab) {
        return;
    }
    let group = Group::new(lab, &[11]);
    let host = &group.nodes[0];
    let victim = Victim::new(lab, "1");
    let list = |name: &str| {
        let key = format!(r#"{{"family":"V4","interface":"eth0","name":"{name}"}}"#);
        let text = format!(r#"{{"format":1,"settings":[[{key},{{"before":0,"now":1}}]]}}"#);
        let path = of_nobody(host).join("settings.json");
        fs::write(&path, text).expect("the list");
        give(&path);
    };
    let real = fs::canonicalize(&victim.0).expect("a path");
    list(&format!("../../../../../..{}", real.display()));
    let answer = release(host);
    victim.has("1", &format!("{answer:?}"));
    assert_eq!(answer.code, Some(71), "{answer:?}");
    assert!(answer.err.contains("settings of the kernel are not put back"), "{answer:?}");

    host.run("sysctl -q -w net.ipv4.conf.eth0.arp_ignore=1");
    list("arp_ignore");
    host.run(&format!("ip address add {VIP}/24 dev eth0"));
    write_down(host, &[crate::release::router(host, &[VIP])]);
    give(&host.runtime_directory().join("held.json"));
    let answer = release(host);
    assert_eq!(answer.code, Some(0), "{answer:?}");
    assert!(answer.out.contains("net.ipv4.conf.eth0.arp_ignore put back to 0"), "{answer:?}");
    assert!(answer.out.contains("taken off eth0, priority 0 sent"), "{answer:?}");
    assert!(!host.holds(VIP));
    for left in fs::read_dir(host.runtime_directory()).expect("the directory") {
        let left = left.expect("a file");
        assert_eq!(left.file_name(), "lock");
        assert_eq!(left.metadata().expect("the lock").uid(), NOBODY, "it worked as the owner");
    }
}

/// Bug guarded: `held.json` named a file that is root's alone as a secret, and root read it. Now
/// the secret is read with the rights of the list's owner. Everything else that was written down is
/// removed nevertheless.
pub(crate) fn secrets(lab: &Lab) {
    if !has_other_users(lab) {
        return;
    }
    let group = Group::new(lab, &[11]);
    let host = &group.nodes[0];
    let config = with_keys(group.config(), lab, &[1], "");
    let key = lab.directory().join("1.key");
    for (owner, said) in [(0, "cannot be authenticated"), (NOBODY, "priority 0 sent")] {
        let agent = Agent::start(host, &config);
        group.taken_over_by(host);
        agent.kill();
        let directory = host.runtime_directory();
        for entry in fs::read_dir(&directory).expect("the directory") {
            give(&entry.expect("a file").path());
        }
        give(&directory);
        chown(&key, Some(owner), Some(owner)).expect("the key's owner");
        let answer = release(host);
        assert!(answer.out.contains(said), "{answer:?}");
        assert_eq!(answer.out.contains("Permission denied"), owner == 0, "{answer:?}");
        assert!(!host.holds(VIP), "removed all the same");
        chown(&key, Some(0), Some(0)).expect("the key's owner");
        fs::remove_dir_all(&directory).expect("the directory");
    }

    // The configuration that the list names is a pipe. Nothing waits for it.
    let agent = Agent::start(host, &config);
    group.taken_over_by(host);
    agent.kill();
    let (directory, pipe) = (host.runtime_directory(), lab.directory().join("pipe"));
    mkfifo(&pipe, Mode::S_IRWXU | Mode::S_IRWXO).expect("a pipe");
    let list = directory.join("held.json");
    let held = fs::read_to_string(&list).expect("the list");
    let mut held: serde_json::Value = serde_json::from_str(&held).expect("JSON");
    held["configuration"] = pipe.display().to_string().into();
    held["routers"][0]["farewells"][0]["secret"] = "inline".into();
    fs::write(&list, held.to_string()).expect("the list");
    let answer = release(host);
    assert!(answer.out.contains("is no regular file"), "{answer:?}");
    assert!(!host.holds(VIP), "removed all the same");
}

/// Bug guarded: root followed a link in the place of the directory, and `vipd run` as root took
/// another user's directory for its own. Now both are refused, and nothing is touched.
pub(crate) fn directories(lab: &Lab) {
    if !has_other_users(lab) {
        return;
    }
    let group = Group::new(lab, &[11]);
    let host = &group.nodes[0];
    let run = || {
        let command = &mut Agent::command(host, &group.config().yaml());
        let (status, _, log) = Agent::launch(host, command).exit();
        (status.code(), log)
    };
    let victim = Victim::new(lab, "root's own");
    let directory = of_nobody(host);
    symlink(&victim.0, directory.join("lock")).expect("a link");
    let (code, log) = run();
    victim.has("root's own", &log);
    assert_eq!(code, Some(71), "{log}");
    assert!(log.contains("belongs to the user nobody") && log.contains("systemctl"), "{log}");

    // The link is refused even if the directory is root's.
    chown(&directory, Some(0), Some(0)).expect("its owner");
    let (code, log) = run();
    victim.has("root's own", &log);
    assert_eq!(code, Some(71), "{log}");
    assert!(log.contains("lock") && log.contains("symbolic link"), "{log}");

    fs::remove_dir_all(&directory).expect("the directory");
    let elsewhere = lab.directory().join("elsewhere");
    fs::create_dir(&elsewhere).expect("a directory");
    symlink(&elsewhere, &directory).expect("a link");
    let (code, log) = run();
    assert_eq!(code, Some(71), "{log}");
    assert!(log.contains("symbolic link"), "{log}");
    let answer = release(host);
    assert_eq!(answer.code, Some(71), "{answer:?}");
    assert!(answer.err.contains("symbolic link"), "{answer:?}");
    assert_eq!(fs::read_dir(&elsewhere).expect("the directory").count(), 0, "something was made");
    fs::remove_file(&directory).expect("the link");

    let _ = of_nobody(host);
    fs::set_permissions(&directory, Permissions::from_mode(0o777)).expect("its mode");
    let answer = release(host);
    assert_eq!(answer.code, Some(71), "{answer:?}");
    assert!(answer.err.contains("mode 0777") && answer.err.contains("chmod go-w"), "{answer:?}");
}

/// Rule: a daemon starts although it cannot read a list: it is one more node that can serve. It
/// does not wait for a pipe, and its own list takes the pipe's place.
pub(crate) fn run_all_the_same(lab: &Lab) {
    let group = Group::new(lab, &[11]);
    let host = &group.nodes[0];
    let directory = host.runtime_directory();
    fs::create_dir(&directory).expect("a runtime directory");
    fs::set_permissions(&directory, Permissions::from_mode(0o755)).expect("its mode");
    for name in ["held.json", "settings.json"] {
        mkfifo(&directory.join(name), Mode::S_IRWXU).expect("a pipe");
    }
    let agent = Agent::start(host, &group.config());
    let log = agent.log();
    assert!(log.contains("held.json: cannot be read: it is no regular file"), "{log}");
    assert!(log.contains("settings.json: it is no regular file"), "{log}");
    group.taken_over_by(host);
    assert!(directory.join("held.json").is_file(), "the list");
}

/// Bug guarded: if the state directory belonged to the service's user, root wrote the file of what
/// is on standby through a link. Now it does not, and that user can read the file afterwards.
pub(crate) fn standby(lab: &Lab) {
    if !has_other_users(lab) {
        return;
    }
    let group = Group::new(lab, &[11]);
    let host = &group.nodes[0];
    let victim = Victim::new(lab, "root's own");
    let state = host.state_directory();
    fs::create_dir_all(&state).expect("a state directory");
    fs::set_permissions(&state, Permissions::from_mode(0o755)).expect("its mode");
    give(&state);
    for name in ["standby.new", "standby.json.new"] {
        symlink(&victim.0, state.join(name)).expect("a link");
    }
    let _agent = Agent::start(host, &group.config());
    group.taken_over_by(host);
    let asked = Agent::vipctl(host, "standby --force");
    assert!(asked.status.success(), "{asked:?}");
    within(BOUND, "the address is gone", || !host.holds(VIP));
    victim.has("root's own", "standby");
    let kept = fs::symlink_metadata(state.join("standby.json")).expect("what is kept");
    assert!(kept.is_file() && kept.uid() == NOBODY, "{kept:?}");
}
