//! A program that the test started, and that never outlives it.

use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

use super::{BOUND, within};

/// A running program and what it has written so far.
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` in a process group of its own, in the namespace that this thread is in;
    /// its output is added to `log`.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Self {
        let file = File::options().create(true).append(true).open(log).expect("a log file");
        let out = file.try_clone().expect("a second handle of the log file");
        let child = command
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(file)
            .spawn()
            .unwrap_or_else(|why| panic!("cannot start {command:?}: {why}"));
        Self { child, log: log.to_owned() }
    }

    /// Sends a signal to the program itself.
    pub(crate) fn signal(&self, signal: Signal) {
        nix::sys::signal::kill(self.pid(), signal).expect("a signal to a program of ours");
    }

    /// Sends a signal to the program and to what it has started.
    pub(crate) fn signal_group(&self, signal: Signal) {
        killpg(self.pid(), signal).expect("a signal to programs of ours");
    }

    /// Kills the program and what it has started, as a crash would: nothing is tidied up.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    /// Asks it to stop, and waits until it has.
    pub(crate) fn stop(self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.exit()
    }

    /// Waits until it ends by itself.
    pub(crate) fn exit(self) -> ExitStatus {
        self.exit_within(BOUND)
    }

    /// Waits that long until it ends by itself.
    pub(crate) fn exit_within(mut self, bound: Duration) -> ExitStatus {
        let mut status = None;
        within(bound, "the program has ended", || {
            status = self.child.try_wait().expect("the state of a child");
            status.is_some()
        });
        status.expect("the loop ended with a status")
    }

    /// Its number.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Where its output is.
    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.id().try_into().expect("a process number"))
    }

    fn end(&mut self) {
        // It may have ended long ago: there is nothing to do then.
        let _ = killpg(self.pid(), Signal::SIGKILL);
        let _ = self.child.wait();
        // Its orphans are ours, the first process of the PID namespace: to a keepalived that
        // starts again, a dead one that nobody has waited for looks alive.
        while waitpid(Pid::from_raw(-self.pid().as_raw()), None).is_ok() {}
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}
