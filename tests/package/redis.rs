//! Two Redis servers: vipd's hooks make the one that has the address the master.

use std::io::{BufRead as _, BufReader, ErrorKind, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::client::TIMEOUT;
use super::lab::{Lab, VIP, within};
use super::ledger::Ledger;
use super::page::Page;
use super::pair::{Bound, NO_TIME, Pair};

const PATIENCE: Duration = Duration::from_secs(60);

/// A dead or hanging master must be noticed first; and while a write waits for a replica that is
/// away, the client is slow.
const FAILOVER: Bound =
    Bound { gap: PROMOTED, failures: 2000, together: NO_TIME, nobody: PROMOTED };

/// The time that a promotion by a hook may take.
const PROMOTED: Duration = Duration::from_secs(20);

/// The writes of one drain and promotion wait, and are tried again.
const PLANNED: Bound = Bound { gap: Duration::from_secs(8), failures: 100, ..Bound::PLANNED };

const CLI: &str = "redis-cli --no-auth-warning -a change-me";

/// Rule: docs/recipes/redis.md, done as written, gives a pair whose master is where the address is.
/// What `WAIT` has confirmed survives a dead and a hanging master, and planned moves; a master that
/// comes back is a replica.
pub(crate) fn hooks_promote(lab: &Lab) {
    let mut pair = Pair::boot(lab, ["cache1", "cache2"], false);
    let page = Page::read("recipes/redis.md");
    for machine in &pair.machines {
        // Tells the client who has answered, and does nothing else while syslog is off.
        machine.does("echo \"syslog-ident $(hostname)\" >> /etc/redis/redis.conf");
        page.follow(machine);
    }
    let ledger = Ledger::default();
    let (kept, mut number) = (ledger.clone(), 0);
    pair.serve(move || {
        number += 1;
        let (server, replicas) = write(number).map_err(|why| words(&why))?;
        if replicas > 0 {
            kept.acknowledge(number, &server);
        }
        Ok(server)
    });
    follows(&pair, 0);
    pair.machines[0].reports(&["cache: active (priority 200) with "]);
    pair.machines[1].reports(&["cache: backup (priority 190)", "cache1 (10.77.0.11) is active"]);
    lab.owners().hole(PROMOTED, "a hook promotes before the address is there");
    killed(&mut pair, &ledger);
    handed_over(&mut pair, &ledger);
    hanging(&mut pair, &ledger);
    stopped(&mut pair, &ledger);
    cut_off(&pair, &ledger);
}

fn killed(pair: &mut Pair<'_>, ledger: &Ledger) {
    let kill = |pair: &mut Pair<'_>, active: usize| {
        let machine = &pair.machines[active];
        machine.does("systemctl kill --signal=KILL redis-server");
        machine.reports(&[": fault (", "check redis fails: connection refused by 127.0.0.1:6379"]);
    };
    moves(pair, ledger, "Redis killed", FAILOVER, kill, |_, _| {});
}

/// Nothing restarts a Redis that stands still. When it goes on it believes that it is the master.
fn hanging(pair: &mut Pair<'_>, ledger: &Ledger) {
    let stop = |pair: &mut Pair<'_>, active: usize| {
        let machine = &pair.machines[active];
        machine.does("systemctl kill --signal=STOP redis-server");
        machine.reports(&[": fault (", "redis"]);
    };
    moves(pair, ledger, "Redis hangs", FAILOVER, stop, |pair, active| {
        pair.machines[active].does("systemctl kill --signal=CONT redis-server");
    });
}

fn handed_over(pair: &mut Pair<'_>, ledger: &Ledger) {
    let hand_over = |pair: &mut Pair<'_>, active: usize| {
        pair.machines[active].does("vipctl handover cache");
    };
    moves(pair, ledger, "vipctl handover", PLANNED, hand_over, is_drained);
}

fn stopped(pair: &mut Pair<'_>, ledger: &Ledger) {
    let stop = |pair: &mut Pair<'_>, active: usize| {
        pair.machines[active].does("systemctl stop vipd");
    };
    moves(pair, ledger, "systemctl stop vipd", PLANNED, stop, |pair, active| {
        is_drained(pair, active);
        pair.machines[active].does("systemctl start vipd");
    });
}

/// The replica had everything before it was promoted.
fn is_drained(pair: &mut Pair<'_>, old: usize) {
    let journal = pair.machines[old].journal();
    assert!(!journal.contains("before_release failed"), "{journal}");
}

/// Both believe that they are alone: what the one takes that yields afterwards is gone, but was never
/// confirmed.
fn cut_off(pair: &Pair<'_>, ledger: &Ledger) {
    let (start, old) = (Instant::now(), pair.active());
    assert_eq!(old, 0, "the one with the higher priority is cut off from the client");
    let host = pair.machines[old].host();
    pair.segment.partition(host);
    pair.is_answered_by(1 - old);
    assert!(host.holds(VIP), "who hears nobody keeps the address");
    let (before, _) = ledger.since(start);
    sleep(Duration::from_secs(2));
    assert_eq!(ledger.since(start).0, before, "a master without a replica confirms nothing");
    pair.segment.heal(host);
    pair.is_served_by(old);
    follows(pair, old);
    let lost = ledger.lost_by(|| pair.machines[old].does(&format!("{CLI} keys '*'")));
    assert_eq!(lost, [0; 0], "partition: confirmed and lost");
    pair.judge("partition, healed", Bound { together: PATIENCE, ..FAILOVER }, start);
}

/// The address moves, nothing that was confirmed is lost, and the one that had it is a replica.
fn moves(
    pair: &mut Pair<'_>,
    ledger: &Ledger,
    what: &str,
    bound: Bound,
    act: impl FnOnce(&mut Pair<'_>, usize),
    mend: impl FnOnce(&mut Pair<'_>, usize),
) {
    let (start, old) = (Instant::now(), pair.active());
    ledger.goes_on();
    pair.goes_through(what, bound, act, |pair, old| {
        pair.lab.note(format!("{what}: the other one serves after {:?}", start.elapsed()));
        mend(pair, old);
        follows(pair, 1 - old);
    });
    let names = [old, 1 - old].map(|place| pair.machines[place].name());
    let confirmed = || ledger.since(start);
    within(PATIENCE, "the new master confirms, too", || {
        confirmed().1.last().is_some_and(|name| name == names[1])
    });
    let lost = ledger.lost_by(|| pair.machines[1 - old].does(&format!("{CLI} keys '*'")));
    assert_eq!(lost, [0; 0], "{what}: confirmed and lost");
    let (count, servers) = confirmed();
    pair.lab.note(format!("{what}: {count} writes confirmed by WAIT, none lost"));
    assert_eq!(servers, names, "{what}: the old master confirms nothing once the new one does");
}

/// Waits until this machine's Redis is a master that has the other one for a replica.
fn follows(pair: &Pair<'_>, master: usize) {
    let replicas = format!("{CLI} info replication | grep -E 'role:master|state=online' | wc -l");
    let machine = &pair.machines[master];
    within(PATIENCE, &format!("{} is master of the other one", machine.name()), || {
        machine.does(&replicas).trim() == "2"
    });
}

/// Writes this number on a connection of its own: who has it, and how many replicas.
fn write(number: u64) -> std::io::Result<(String, u32)> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from((VIP, 6379)), TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    let commands = ["AUTH change-me", "CONFIG GET syslog-ident", &format!("SET {number} written")];
    let commands = commands.map(|command| format!("{command}\r\n")).concat();
    stream.write_all(format!("{commands}WAIT 1 100\r\n").as_bytes())?;
    let (mut server, mut line) = (String::new(), String::new());
    let mut answers = BufReader::new(stream);
    loop {
        let before = std::mem::take(&mut line);
        if answers.read_line(&mut line)? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        line.truncate(line.trim_end().len());
        if let Some(error) = line.strip_prefix('-') {
            return Err(std::io::Error::other(error.to_owned()));
        }
        if let Some(replicas) = line.strip_prefix(':') {
            return Ok((server, replicas.parse().unwrap_or_default()));
        }
        if before.starts_with('$') && line != "syslog-ident" {
            server.clone_from(&line);
        }
    }
}

fn words(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::Other => error.to_string(),
        kind => format!("{kind:?}"),
    }
}
