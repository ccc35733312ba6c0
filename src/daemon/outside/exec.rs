//! The only place that starts a program: without a shell, with a clean environment, as the user
//! that the operator wrote, in a process group that is killed as a whole.

use std::io::{self, PipeWriter, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::pin::pin;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{fs, process};

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::{Group, Pid, getegid, geteuid};
use rustix::process::{Resource, Rlimit, prlimit};
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe::Receiver;

use super::Aside;
use crate::daemon::{files, program};

/// Where programs are looked for by the programs that are started.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How much is kept of what a program prints, in bytes: its end. The rest is read and dropped.
const KEPT: usize = 4096;

/// So much memory in bytes may a program lock: the kernel's own limit since Linux 5.16.
const LOCKED: u64 = 8 << 20;

/// How much is read at once.
const AT_ONCE: usize = 16 << 10;

/// A program to start.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    /// Its absolute path and its arguments.
    pub(crate) command: Vec<String>,
    /// The user that it runs as; `None`: see [`program::user`].
    pub(crate) user: Option<String>,
    /// The group, where that is not the user's own. It has no others.
    pub(crate) group: Option<String>,
    /// Its environment besides `PATH` and `LANG`.
    pub(crate) environment: Vec<(&'static str, String)>,
    /// What it reads: at most 16 KiB, so that it fits into a pipe whether it reads or not.
    pub(crate) input: Vec<u8>,
}

/// The end of what a program has printed, on either stream.
#[derive(Debug, Default)]
pub(crate) struct Tail(Vec<u8>);

impl Tail {
    /// All of it.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0).into_owned()
    }

    /// The last line that is not blank.
    pub(crate) fn last_line(&self) -> String {
        let text = self.text();
        let line = text.lines().rev().find(|line| !line.trim().is_empty());
        line.unwrap_or_default().trim().to_owned()
    }

    fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
        let excess = self.0.len().saturating_sub(KEPT);
        self.0.drain(..excess);
    }
}

/// Runs a program to its end. What it has started and left behind in its process group is killed
/// then. Where the future is dropped before, all of it is killed at once; `tail` has what was
/// printed by then.
///
/// A program that the kernel does not let go, though it is killed, holds `aside` until it does.
///
/// # Errors
/// Why it could not be started, for people.
pub(crate) async fn run(
    program: Program,
    aside: &Aside,
    tail: &mut Tail,
) -> Result<ExitStatus, String> {
    let path = program.command.first().cloned().unwrap_or_default();
    let cannot = |error: io::Error| format!("{path} cannot be started: {error}");
    let (reader, writer) = io::pipe().map_err(cannot)?;
    let mut output = Receiver::from_owned_fd(OwnedFd::from(reader)).map_err(cannot)?;
    let leash = Arc::new(Leash::default());
    let _killed_when_dropped = Holder(Arc::clone(&leash));
    let mut ending = pin!(aside.run(move || Ok(leash.run(&program, writer))));
    let mut bytes = vec![0; AT_ONCE];
    let mut open = true;
    let ended = loop {
        tokio::select! {
            biased;
            ended = &mut ending => break ended,
            read = output.read(&mut bytes), if open => match read {
                Ok(length) if length > 0 => tail.push(bytes.get(..length).unwrap_or_default()),
                _ => open = false,
            },
        }
    };
    // What still lies in the pipe, asked of the kernel itself: the runtime may not have heard of it
    // yet. Who has left the process group may go on printing.
    for _ in 0..KEPT {
        match nix::unistd::read(&output, &mut bytes) {
            Ok(length) if length > 0 => tail.push(bytes.get(..length).unwrap_or_default()),
            _ => break,
        }
    }
    ended.map_err(cannot)?.map_err(|error| format!("{path} {error}"))
}

/// A program as seen by who may kill it. A process number means that program only until somebody
/// has waited for it, so that both happen under one lock.
#[derive(Debug, Default)]
struct Leash(Mutex<Life>);

#[derive(Clone, Copy, Debug, Default)]
enum Life {
    #[default]
    Unborn,
    /// The leader of a process group of this number.
    Alive(Pid),
    /// It has been waited for, or must not start any more.
    Over,
}

/// Kills the program when dropped, unless it has ended.
struct Holder(Arc<Leash>);

impl Drop for Holder {
    fn drop(&mut self) {
        let mut life = self.0.lock();
        if let Life::Alive(leader) = *life {
            kill(leader);
        } else {
            *life = Life::Over;
        }
    }
}

impl Leash {
    /// Starts the program and waits for it; blocks meanwhile.
    fn run(&self, program: &Program, output: PipeWriter) -> Result<ExitStatus, String> {
        let command = prepared(program, output);
        let mut child = command?.spawn().map_err(|error| refused(&error, program))?;
        let leader = Pid::from_raw(child.id().cast_signed());
        forgive(child.id());
        limit(leader);
        let wanted = {
            let mut life = self.lock();
            let wanted = matches!(*life, Life::Unborn);
            *life = Life::Alive(leader);
            wanted
        };
        if !wanted {
            kill(leader);
        }
        self.reap(&mut child, leader).map_err(|error| format!("cannot be waited for: {error}"))
    }

    /// Waits for the leader, kills what it has left behind, and only then gives up its number.
    fn reap(&self, child: &mut Child, leader: Pid) -> io::Result<ExitStatus> {
        while waitid(Id::Pid(leader), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT)
            == Err(Errno::EINTR)
        {}
        let mut life = self.lock();
        kill(leader);
        *life = Life::Over;
        child.wait()
    }

    fn lock(&self) -> MutexGuard<'_, Life> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Kills a process group. That nobody is left in it is as good.
fn kill(leader: Pid) {
    let _ = killpg(leader, Signal::SIGKILL);
}

/// The command, with everything but the program itself checked.
fn prepared(program: &Program, output: PipeWriter) -> Result<Command, String> {
    let Some((path, arguments)) = program.command.split_first() else {
        return Err("is no command".to_owned());
    };
    let mut command = Command::new(path);
    command.args(arguments).current_dir("/").process_group(0);
    command.env_clear().env("PATH", PATH).env("LANG", "C.UTF-8");
    command.envs(program.environment.iter().map(|(name, value)| (*name, value)));
    let errors = output.try_clone().map_err(|error| format!("cannot be started: {error}"))?;
    command.stdin(input(&program.input)?).stdout(output).stderr(errors);
    become_user(&mut command, program)?;
    Ok(command)
}

/// What it reads, already written and closed.
fn input(bytes: &[u8]) -> Result<Stdio, String> {
    if bytes.is_empty() {
        return Ok(Stdio::null());
    }
    let written = io::pipe().and_then(|(reader, mut writer)| {
        writer.write_all(bytes)?;
        Ok(reader)
    });
    written.map(Stdio::from).map_err(|error| format!("cannot be started: {error}"))
}

/// Has the program run as its user, where that is another one than ours, and where it is fit to.
fn become_user(command: &mut Command, program: &Program) -> Result<(), String> {
    let account = program::user(program.user.as_deref())
        .map_err(|why| format!("cannot be started: {why}"))?;
    let group = match &program.group {
        Some(name) => {
            let group = Group::from_name(name).ok().flatten();
            group.ok_or_else(|| format!("cannot be started: no group '{name}'"))?.gid
        }
        None => account.gid,
    };
    if let Some(path) = program.command.first() {
        program::fit(Path::new(path), account.uid, group)
            .map_err(|why| format!("cannot be started: {why}"))?;
    }
    if (account.uid, group) != (geteuid(), getegid()) {
        command.uid(account.uid.as_raw()).gid(group.as_raw());
    }
    Ok(())
}

/// Why a program was not started, with what the system's word alone does not say.
fn refused(error: &io::Error, program: &Program) -> String {
    let user = program::user(program.user.as_deref()).ok();
    let own = user.as_ref().is_some_and(|user| user.uid == geteuid());
    let name = user.map_or_else(String::new, |user| user.name);
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EPERM) if !own => format!(
            "cannot be started as user {}: {}; docs/install.md says how the unit allows it",
            name,
            Errno::EPERM.desc()
        ),
        Some(Errno::ENOEXEC) => {
            "cannot be started: it has no '#!' line and is no program of this machine".to_owned()
        }
        Some(errno) => format!("cannot be started: {}", errno.desc()),
        None => format!("cannot be started: {error}"),
    }
}

/// Where memory runs out, the kernel may take this one before the daemon: it must not inherit the
/// unit's `OOMScoreAdjust=` (`proc_pid_oom_score_adj(5)`).
fn forgive(child: u32) {
    // In a process namespace with the /proc of another one the number would mean somebody else.
    let ours = fs::read_link("/proc/self").is_ok_and(|own| own.as_os_str() == &*process_number());
    if ours {
        // Another user's is not ours to write; it is no worse than without.
        let _ = fs::write(format!("/proc/{child}/oom_score_adj"), "0");
    }
}

/// The daemon may lock as much memory as it wants (`LimitMEMLOCK=` in the unit), and this one no
/// more than any other program (`prlimit(2)`). What it has locked by now stays, which is nothing.
/// It also gets the limit on open files with which the daemon was started: with more of them than
/// 1,024, `select(2)` fails.
fn limit(child: Pid) {
    let Some(child) = rustix::process::Pid::from_raw(child.as_raw()) else { return };
    let own = rustix::process::getrlimit(Resource::Memlock).maximum;
    let most = Some(own.map_or(LOCKED, |own| own.min(LOCKED)));
    // Another user's is not ours to change; it is no worse than without.
    let _ = prlimit(Some(child), Resource::Memlock, Rlimit { current: most, maximum: most });
    if let Some(files) = files::at_start() {
        let _ = prlimit(Some(child), Resource::Nofile, files);
    }
}

fn process_number() -> std::ffi::OsString {
    process::id().to_string().into()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use tokio::time::timeout;

    use super::*;

    fn program(script: &str) -> Program {
        let user = nix::unistd::User::from_uid(geteuid()).unwrap().unwrap().name;
        Program {
            command: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
            user: Some(user),
            group: None,
            environment: vec![("VIPD_TRACK", "web".to_owned())],
            input: Vec::new(),
        }
    }

    fn in_a_runtime<T>(work: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(work)
    }

    fn ran(script: &str) -> (Result<ExitStatus, String>, String) {
        let mut tail = Tail::default();
        let result = in_a_runtime(run(program(script), &Aside::default(), &mut tail));
        (result, tail.last_line())
    }

    /// Whether a process of this number exists and is no zombie.
    fn lives(number: &str) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", number.trim())).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
    }

    fn dies(number: &str) -> bool {
        let start = Instant::now();
        while lives(number) && start.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(5));
        }
        !lives(number)
    }

    /// Rule: the exit code and the last line that is not blank, of both streams.
    #[test]
    fn the_last_line_is_kept() {
        let (status, line) = ran("echo one; echo two >&2; echo; exit 3");
        assert_eq!((status.unwrap().code(), line.as_str()), (Some(3), "two"));
        let (status, line) = ran("");
        assert_eq!((status.unwrap().code(), line.as_str()), (Some(0), ""));
    }

    /// Bug guarded: what a quick program prints lies in the pipe when it has ended, and the runtime
    /// has not noticed yet.
    #[test]
    fn a_quick_program_is_heard() {
        in_a_runtime(async {
            for _ in 0..100 {
                let mut tail = Tail::default();
                let status = run(program("echo quick"), &Aside::default(), &mut tail).await;
                assert!(status.unwrap().success());
                assert_eq!(tail.last_line(), "quick");
            }
        });
    }

    /// Rule: no variable of the daemon's environment, no input, the root directory, a process group
    /// of its own.
    #[test]
    fn the_surroundings_are_clean() {
        let (_, line) = ran("echo $(env | cut -d= -f1 | sort) $(pwd) $(cat | wc -c)");
        assert_eq!(line, "LANG PATH PWD VIPD_TRACK / 0");
        let (_, line) = ran("test $$ = $(cut -d' ' -f5 /proc/$$/stat) && echo own");
        assert_eq!(line, "own");
    }

    /// Rule: a program does not inherit that the daemon may lock all memory.
    #[test]
    fn no_more_memory_than_usual_is_locked() {
        // As under the unit, where that is allowed here.
        let more = Some(2 * LOCKED);
        let _ =
            rustix::process::setrlimit(Resource::Memlock, Rlimit { current: more, maximum: more });
        let most = rustix::process::getrlimit(Resource::Memlock).maximum;
        let kilobytes = most.map_or(LOCKED, |own| own.min(LOCKED)) >> 10;
        // It may look before it has been limited.
        let waits = "for turn in $(seq 100); do sleep 0.05; ulimit -H -l | grep -qx LIMIT && exit; \
                     done; ulimit -H -l; exit 1";
        let (status, line) = ran(&waits.replace("LIMIT", &kilobytes.to_string()));
        assert!(status.unwrap().success(), "{line} and not {kilobytes}");
    }

    /// Rule: of any amount of output 4 KiB are kept, and the program is not held up by it.
    #[test]
    fn output_is_capped() {
        let mut tail = Tail::default();
        let script = "head -c 100000000 /dev/zero; echo; echo end";
        let status = in_a_runtime(run(program(script), &Aside::default(), &mut tail)).unwrap();
        assert_eq!((status.code(), tail.last_line().as_str()), (Some(0), "end"));
        assert_eq!(tail.0.len(), KEPT);
    }

    /// Rule: what a program has started and left in its process group is killed with its end,
    /// whatever signals that ignores, and does not hold up the answer.
    #[test]
    fn what_is_left_behind_is_killed() {
        let start = Instant::now();
        let (status, line) = ran("trap '' TERM HUP; sleep 1000 & echo $!");
        assert!(status.unwrap().success() && start.elapsed() < Duration::from_secs(100));
        assert!(dies(&line), "{line} lives");
    }

    /// Rule: when nobody waits for it any more, a program and its children are killed and reaped.
    #[test]
    fn dropping_kills_all_of_it() {
        let aside = Aside::default();
        let mut tail = Tail::default();
        in_a_runtime(async {
            let script = "trap '' TERM; sh -c 'trap \"\" TERM; echo $$; sleep 1000'; sleep 1000";
            let running = run(program(script), &aside, &mut tail);
            // Until then it has said its number, also on a busy machine.
            assert!(timeout(Duration::from_secs(3), running).await.is_err());
            // It is reaped before the next one starts.
            let next = run(program("echo next"), &aside, &mut Tail::default()).await;
            assert!(next.unwrap().success());
        });
        let number = tail.last_line();
        assert!(!number.is_empty() && dies(&number), "'{number}' lives");
    }

    /// Rule: a program that is given up before its turn comes never starts.
    #[test]
    fn given_up_before_its_turn() {
        let mark = std::env::temp_dir().join(format!("vipd-exec-{}", process::id()));
        in_a_runtime(async {
            let aside = Aside::default();
            let mut tails = [Tail::default(), Tail::default()];
            let [first, second] = &mut tails;
            let slow = run(program("sleep 2"), &aside, first);
            let early = run(program(&format!("touch {}", mark.display())), &aside, second);
            let early = timeout(Duration::from_millis(50), early);
            let (slow, early) = tokio::join!(slow, early);
            assert!(slow.unwrap().success() && early.is_err());
            aside.run(|| Ok(())).await.unwrap();
        });
        assert!(!mark.exists());
    }

    /// Rule: what cannot be started says why.
    #[test]
    fn refusals_have_reasons() {
        let run = |program| in_a_runtime(run(program, &Aside::default(), &mut Tail::default()));
        let missing = Program { command: vec!["/nonexistent/check".to_owned()], ..program("") };
        let said = run(missing).unwrap_err();
        assert_eq!(said, "/nonexistent/check cannot be started: No such file or directory");
        let nobody = Program { user: Some("no-such-user".to_owned()), ..program("") };
        assert_eq!(run(nobody).unwrap_err(), "/bin/sh cannot be started: no user 'no-such-user'");
    }
}
