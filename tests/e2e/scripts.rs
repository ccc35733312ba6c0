//! Scripts that misbehave, what is left of them, and which ones never run.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::lab::{Agent, BOUND, Group, HELD_UP, Host, Lab, longest_stall, within};
use crate::tracks::{executable, running};

/// The most memory that the daemon may take, in kB, whatever its checks print.
const MODEST: u64 = 64 << 10;

/// The keys of a check whose script a busy machine may start late.
const UNHURRIED: &str = "interval: 5s, timeout: 5s";

/// The timeout of a script that hangs, far longer than anything else takes.
const HANGS: Duration = Duration::from_secs(300);

/// Whether scripts can run here as they do in earnest; if not, that is noted.
fn scripts_run(lab: &Lab) -> bool {
    if !Lab::started_by_root() {
        lab.note("takes root: scripts run as other users");
    }
    Lab::started_by_root()
}

/// Rule: a check that hangs, dies, prints a gigabyte or leaves children behind that ignore signals
/// fails by itself, with the reason; nothing of it stays, and the loop is never held up.
pub(crate) fn misbehaving(lab: &Lab) {
    if !scripts_run(lab) {
        return;
    }
    let group = Group::new(lab, &[11]);
    let node = &group.nodes[0];
    let marked = format!("7200{}", lab.number());
    let cases = [
        (
            "hangs",
            format!("trap '' TERM; echo waiting; sleep {marked}; exit 0"),
            "interval: 1s, timeout: 1s",
        ),
        ("dies", "kill -SEGV $$".to_owned(), UNHURRIED),
        (
            "prints",
            "head -c 1000000000 /dev/zero; echo; echo end; exit 4".to_owned(),
            "interval: 20s, timeout: 20s",
        ),
        (
            "forks",
            format!(
                "for n in 1 2 3; do sh -c \"trap '' TERM HUP; exec sleep {marked}\" & done; exit 5"
            ),
            UNHURRIED,
        ),
        ("vanishes", "rm -f \"$0\"; exit 6".to_owned(), UNHURRIED),
    ];
    let config = cases.iter().fold(group.config(), |config, (name, commands, keys)| {
        let path = executable(lab, name, commands);
        let command = format!("script: {{ command: [{}], user: root }}", path.display());
        config.check(*name, format!("{command}, {keys}, cost: 20"))
    });
    // The costs would move it, were there another node.
    let start = Instant::now();
    let agent = Agent::start(node, &config);
    group.taken_over_by(node);
    let expected = [
        "check hangs fails: no answer within 1 s (it still runs, its last line was: waiting)",
        "check dies fails: killed by SIGSEGV",
        "check prints fails: exit code 4: end",
        "check forks fails: exit code 5",
        "check vanishes fails: ",
    ];
    let told = |text: &str| agent.log().contains(text);
    for text in expected {
        within(2 * BOUND, text, || told(text));
    }
    sleep(Duration::from_secs(2));
    let status = fs::read_to_string(lab.proc().join(agent.id().to_string()).join("status"));
    let status = status.expect("the process' state");
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a field");
        line.split_whitespace().next().and_then(|n| n.parse::<u64>().ok()).expect("a number")
    };
    let (memory, threads) = (field("VmHWM:"), field("Threads:"));
    lab.note(format!("at most {memory} kB of memory, {threads} threads now"));
    assert!(memory < MODEST, "{memory} kB");
    // The machine itself may have held it up.
    let excused = longest_stall(start) > HELD_UP;
    assert!(excused || !agent.status().contains("held up"), "{}", agent.status());
    // One look at most is under way of each.
    assert!(running(lab, &marked) <= 5, "{} left", running(lab, &marked));
    assert_eq!(zombies(lab, agent.id()), 0, "zombies");
    assert_eq!(agent.stop().code(), Some(0));
    assert_eq!(running(lab, &marked), 0, "left behind by a daemon that stopped");
}

/// Children of a process that nobody has waited for, looked at until there are none: one that has
/// just ended is no zombie yet.
fn zombies(lab: &Lab, parent: u32) -> usize {
    let count = || {
        let processes = fs::read_dir(lab.proc()).expect("the processes").flatten();
        let stats = processes.filter_map(|one| fs::read_to_string(one.path().join("stat")).ok());
        let parts = |stat: &str| {
            let (_, rest) = stat.rsplit_once(") ")?;
            let mut words = rest.split(' ').map(str::to_owned);
            Some((words.next()?, words.next()?))
        };
        stats
            .filter_map(|stat| parts(&stat))
            .filter(|(state, of)| state == "Z" && *of == parent.to_string())
            .count()
    };
    (0..100)
        .map(|_| {
            sleep(Duration::from_millis(5));
            count()
        })
        .min()
        .unwrap_or(0)
}

/// Rule: a daemon that stops while a script hangs takes it along, with its children, and does not
/// wait for its timeout.
pub(crate) fn stopped_meanwhile(lab: &Lab) {
    if !scripts_run(lab) {
        return;
    }
    let group = Group::new(lab, &[11]);
    let marked = format!("7300{}", lab.number());
    let commands = format!("trap '' TERM; sleep {marked} & sleep {marked}; wait");
    let path = executable(lab, "hangs", &commands);
    let check = format!("script: {{ command: [{}], user: nobody }}", path.display());
    let config = group
        .config()
        .check("it", format!("{check}, interval: {0}s, timeout: {0}s", HANGS.as_secs()));
    let agent = Agent::start(&group.nodes[0], &config);
    within(BOUND, "it hangs", || running(lab, &marked) == 2);
    agent.signal(Signal::SIGTERM);
    let start = Instant::now();
    let (status, _, log) = agent.exit();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(start.elapsed() < HANGS / 2, "it waited for the script");
    assert_eq!(running(lab, &marked), 0, "left behind");
}

/// Rule: a script has no capability, not even as root, no way to gain one, and none of the daemon's
/// sockets and variables.
pub(crate) fn without_capabilities(lab: &Lab) {
    if !scripts_run(lab) {
        return;
    }
    let group = Group::new(lab, &[11]);
    let config = ["root", "nobody"].into_iter().fold(group.config(), |config, user| {
        let file = lab.directory().join(user);
        fs::write(&file, "").expect("a file");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).expect("for all");
        let commands = format!(
            "grep -E '^(Uid|Groups|Cap|NoNewPrivs)' /proc/self/status >{0}; \
             ls -l /proc/self/fd >>{0}; env >>{0}",
            file.display()
        );
        let path = executable(lab, &format!("as-{user}"), &commands);
        let check = format!("script: {{ command: [{}], user: {user} }}", path.display());
        config.check(user, check)
    });
    let _agent = Agent::start(&group.nodes[0], &config);
    group.taken_over_by(&group.nodes[0]);
    for (user, number) in [("root", "Uid:\t0"), ("nobody", "Uid:\t65534")] {
        let said = || fs::read_to_string(lab.directory().join(user)).expect("what it said");
        within(BOUND, "it has run", || said().contains("VIPD_TRACK="));
        let said = said();
        assert!(said.contains(number) && said.contains("NoNewPrivs:\t1"), "{said}");
        let capabilities = said.lines().filter(|line| line.starts_with("Cap"));
        assert!(capabilities.clone().count() == 5, "{said}");
        assert!(capabilities.clone().all(|line| line.ends_with("\t0000000000000000")), "{said}");
        assert!(!said.contains("NOTIFY_SOCKET"), "{said}");
        // Sockets, timers and the like; whoever started this test may have left files open.
        let ours = ["socket:", "anon_inode:"];
        assert!(
            said.contains("-> pipe:") && ours.iter().all(|kind| !said.contains(kind)),
            "{said}"
        );
    }
}

/// The numbers of the user and group `nobody`.
const NOBODY: u32 = 65_534;

/// `vipd run` as the unit starts it: as an ordinary user with two capabilities, and no more to be
/// had.
fn unprivileged(node: &Host, yaml: &str) -> Command {
    let agent = Agent::command(node, yaml);
    let directory = node.runtime_directory();
    fs::create_dir_all(&directory).expect("a runtime directory");
    chown(&directory, Some(NOBODY), Some(NOBODY)).expect("its owner");
    let capabilities = "-all,+net_admin,+net_raw";
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs"]);
    for set in ["inh-caps", "ambient-caps", "bounding-set"] {
        command.arg(format!("--{set}={capabilities}"));
    }
    command.arg(agent.get_program()).args(agent.get_args());
    command
}

/// Rule: a daemon without root's powers runs scripts as its own user, without its capabilities; a
/// script of another user does not run, and the log says what to do.
pub(crate) fn as_in_the_unit(lab: &Lab) {
    if !scripts_run(lab) {
        return;
    }
    let group = Group::new(lab, &[11]);
    let node = &group.nodes[0];
    let file = lab.directory().join("said");
    fs::write(&file, "").expect("a file");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).expect("for all");
    let commands = format!("grep -E '^Cap(Prm|Eff|Amb)' /proc/self/status >{}", file.display());
    let path = executable(lab, "own", &commands);
    let config = |user: &str| {
        let check = format!("script: {{ command: [{}], user: {user} }}", path.display());
        group.config().check("it", check)
    };
    let agent = node.start(&mut unprivileged(node, &config("nobody").yaml()), "vipd");
    group.taken_over_by(node);
    let said = fs::read_to_string(&file).expect("what it said");
    assert_eq!(said.matches("\t0000000000000000").count(), 3, "{said}");
    assert_eq!(agent.stop().code(), Some(0));

    let agent = node.start(&mut unprivileged(node, &config("daemon").yaml()), "refused");
    let file = agent.log().to_owned();
    let log = || fs::read_to_string(&file).expect("the log");
    let reason = "tracks.it.script.user: vipd runs as nobody and may not start a program as \
                  'daemon'; leave it out, or allow it in the unit";
    within(BOUND, reason, || log().contains(reason));
    within(BOUND, "the check fails", || log().contains("check it fails"));
    assert!(!node.holds(crate::lab::VIP), "{}", log());
    assert_eq!(agent.stop().code(), Some(0));
}

/// Rule: a script that is absent, not executable or writable for everybody is named with its place
/// in the file, and its check fails with that reason: nothing runs unchecked.
pub(crate) fn refused(lab: &Lab) {
    let group = Group::new(lab, &[11]);
    let open = executable(lab, "open", "true");
    fs::set_permissions(&open, fs::Permissions::from_mode(0o757)).expect("for all");
    let plain = lab.directory().join("plain");
    fs::write(&plain, "#!/bin/sh\n").expect("a script");
    let absent = lab.directory().join("absent");
    let config = [("a", &open), ("b", &plain), ("c", &absent)].into_iter().fold(
        group.config(),
        |config, (name, path)| {
            config.check(name, format!("script: {{ command: [{}] }}", path.display()))
        },
    );
    let yaml = config.yaml();
    let agent = Agent::start(&group.nodes[0], &config);
    let expected = [
        ("a", "everybody may write to"),
        ("b", "is not executable for its user"),
        ("c", "No such file or directory"),
    ];
    for (name, reason) in expected {
        let line = yaml.lines().position(|line| line.starts_with(&format!("  {name}:")));
        let place = format!(".yaml:{}:", line.expect("the check is there") + 1);
        let key = format!("tracks.{name}.script.command: ");
        let named = |text: &str| [&place, &key, reason].into_iter().all(|part| text.contains(part));
        let what = format!("the log says '{reason}' of '{name}'");
        within(BOUND, &what, || agent.log().lines().any(named));
        agent.reports(&["web: fault", &format!("check {name} (script) fails: "), reason]);
    }
    assert!(!group.nodes[0].holds(crate::lab::VIP), "a check that cannot look has passed");
}
