//! A PostgreSQL server on a host: its files are kept when it is killed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Gid, Pid, Uid, User, chown};

use crate::lab::{Host, Lab, Process, within};

/// Far longer than a server takes to start, to stop, or to be copied.
const PATIENCE: Duration = Duration::from_secs(60);

/// The user that the servers run as; the administrator too, in the database.
const USER: &str = "postgres";

/// The access rules: everybody on this host, and the client and the standby from the segment.
const ACCESS: &str = "local all all trust\nhost replication postgres 10.77.0.0/24 trust\n\
    host app app 10.77.0.0/24 trust\n";

const SETTINGS: &str = "listen_addresses = '*'\nwal_level = replica\nhot_standby = on\n\
    wal_retrieve_retry_interval = 100ms\nwal_receiver_timeout = 2s\nwal_sender_timeout = 2s\n\
    tcp_user_timeout = 2s\nfsync = off\nshared_buffers = 16MB\nmin_wal_size = 8MB\nmax_wal_size = 64MB\n\
    max_connections = 40\nautovacuum = off\n";

/// The files of a server, and its processes while it runs.
pub(crate) struct Server {
    name: String,
    directory: PathBuf,
    proc: PathBuf,
    process: Option<Process>,
}

impl Server {
    /// A new database: the first primary, running.
    pub(crate) fn primary(lab: &Lab, host: &Host) -> Self {
        let mut server = Self::empty(lab, host);
        let data = server.data();
        let mut initdb = as_user(&program("initdb"));
        initdb.args(["--auth=trust", "--no-sync", "--wal-segsize=1", "--encoding=UTF8"]);
        done(initdb.arg("--username=postgres").arg("--pgdata").arg(&data));
        fs::write(data.join("pg_hba.conf"), ACCESS).expect("who may connect");
        fs::write(data.join("postgresql.conf"), SETTINGS).expect("the server's settings");
        server.start(host);
        server.query("CREATE ROLE vipd LOGIN");
        server.query("CREATE ROLE app LOGIN");
        server.query("CREATE DATABASE app OWNER app");
        server.in_database("app", "CREATE TABLE writes (number bigint PRIMARY KEY)");
        server.in_database("app", "GRANT ALL ON writes TO app");
        server
    }

    /// A server without files.
    pub(crate) fn empty(lab: &Lab, host: &Host) -> Self {
        let name = format!("node{}", host.number());
        let directory = lab.directory().join(format!("postgres-{}", host.number()));
        fs::create_dir(&directory).expect("a directory for a server");
        let (user, group) = identity();
        chown(&directory, Some(user), Some(group)).expect("an owner for the directory");
        Self { name, directory, proc: lab.proc(), process: None }
    }

    fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// The connection string of vipd's check.
    pub(crate) fn dsn(&self) -> String {
        format!("host={} user=vipd dbname=postgres", self.directory.display())
    }

    pub(crate) const fn is_running(&self) -> bool {
        self.process.is_some()
    }

    /// Starts it with the files that it has, and waits until it answers.
    pub(crate) fn start(&mut self, host: &Host) {
        // A killed server has left it: the number in it may be another program's by now.
        let _ = fs::remove_file(self.data().join("postmaster.pid"));
        let mut command = as_user(&program("postgres"));
        command.arg("-D").arg(self.data()).arg("-k").arg(&self.directory);
        command.args(["-c", &format!("cluster_name={}", self.name)]);
        self.process = Some(host.start(&mut command, "postgres"));
        within(PATIENCE, &format!("{} answers", self.name), || self.ask("SELECT 1").is_some());
    }

    /// Throws its data away and follows the server at this host.
    pub(crate) fn follow(&mut self, host: &Host, primary: &Host) {
        self.kill();
        let _ = fs::remove_dir_all(self.data());
        let mut copy = as_user(&program("pg_basebackup"));
        copy.arg(format!("--host={}", primary.address())).arg("--username=postgres");
        copy.args(["--checkpoint=fast", "--no-sync", "--write-recovery-conf"]);
        copy.arg("--pgdata").arg(self.data());
        host.inside(|| done(&mut copy));
        self.start(host);
    }

    /// Kills all its processes at once, as the loss of power would.
    pub(crate) fn kill(&mut self) {
        if self.process.is_none() {
            return;
        }
        // The first process would end the others in an orderly way.
        self.signal(Signal::SIGSTOP);
        self.signal(Signal::SIGKILL);
        self.process.take().into_iter().for_each(Process::kill);
    }

    /// Stops it as an operator does: it ends its sessions, and waits until the standby has
    /// everything.
    pub(crate) fn stop(&mut self) {
        if let Some(process) = self.process.take() {
            process.signal(Signal::SIGINT);
            process.exit_within(PATIENCE);
        }
    }

    /// Sends a signal to all its processes, the first one first.
    pub(crate) fn signal(&self, signal: Signal) {
        let Some(process) = &self.process else { return };
        let first = process.id();
        let children = self.proc.join(format!("{first}/task/{first}/children"));
        let children = fs::read_to_string(children).unwrap_or_default();
        let numbers = children.split_whitespace().filter_map(|number| number.parse().ok());
        let first = i32::try_from(first).into_iter();
        for number in first.chain(numbers).map(Pid::from_raw) {
            // A session may have ended meanwhile.
            let _ = kill(number, signal);
        }
    }

    /// Makes a primary of a standby, which goes on alone.
    pub(crate) fn promote(&self) {
        self.query("ALTER SYSTEM RESET synchronous_standby_names");
        self.query("SELECT pg_reload_conf()");
        self.query("SELECT pg_promote()");
    }

    /// From now on this primary acknowledges what its standby has, too. Waits until there is one.
    pub(crate) fn becomes_synchronous(&self) {
        self.query("ALTER SYSTEM SET synchronous_standby_names = '*'");
        self.query("SELECT pg_reload_conf()");
        within(PATIENCE, &format!("{} has a synchronous standby", self.name), || {
            let state = "SELECT 1 FROM pg_stat_replication
                WHERE state = 'streaming' AND sync_state = 'sync'";
            self.ask(state).is_some_and(|said| said.trim() == "1")
        });
    }

    /// The numbers of all rows.
    pub(crate) fn rows(&self) -> BTreeSet<i64> {
        let said = self.in_database("app", "SELECT number FROM writes");
        said.lines().filter_map(|line| line.trim().parse().ok()).collect()
    }

    fn ask(&self, statement: &str) -> Option<String> {
        let output = self.psql("postgres", statement).output().expect("psql runs");
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn query(&self, statement: &str) -> String {
        self.in_database("postgres", statement)
    }

    fn in_database(&self, database: &str, statement: &str) -> String {
        done(&mut self.psql(database, statement))
    }

    fn psql(&self, database: &str, statement: &str) -> Command {
        let mut psql = Command::new(program("psql"));
        psql.args(["--no-psqlrc", "-qAt", "--username=postgres", "--dbname", database]);
        psql.arg("--host").arg(&self.directory).args(["--command", statement]);
        psql
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The path of a program of Debian's version.
fn program(name: &str) -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL is installed");
    let places = versions.flatten().map(|version| version.path().join("bin").join(name));
    places.filter(|place| place.exists()).max().expect("the server's programs are installed")
}

fn identity() -> (Uid, Gid) {
    let user = User::from_name(USER).expect("the users").expect("PostgreSQL's user");
    (user.uid, user.gid)
}

/// A program of that user.
fn as_user(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args([format!("--reuid={USER}"), format!("--regid={USER}"), "--init-groups".into()]);
    command.arg(program).current_dir("/").env("LC_ALL", "C.UTF-8");
    command
}

/// Runs it; what it said. Fails where it does.
#[track_caller]
fn done(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|why| panic!("cannot run {command:?}: {why}"));
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed: {complaint}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
