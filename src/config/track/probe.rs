//! What each kind of check looks at.

use super::super::problem::{Marked, Problems, Wrong, quoted};
use super::super::program;
use super::super::section::{Given, Section};
use super::values::{AbsolutePath, MysqlUrl, NameServer, PostgresDsn, Status, Text, Url};
use crate::model::{
    ArpProbe, DnsProbe, FileCondition, FileProbe, HostPort, HttpMethod, HttpProbe, InterfaceProbe,
    MysqlProbe, MysqlRole, PingProbe, PostgresProbe, PostgresRole, Probe, ProcessProbe, RecordType,
    RedisProbe, Require, ScriptProbe, StatusRange, SystemdUnitProbe, TcpProbe,
};
use crate::time::Span;

/// The longest name that the kernel keeps of a process (`TASK_COMM_LEN`, less the final zero).
const LONGEST_PROCESS_NAME: usize = 15;

/// The kinds of units that are active or not (`systemd.unit(5)`).
const UNIT_KINDS: [&str; 11] = [
    ".service",
    ".socket",
    ".device",
    ".mount",
    ".automount",
    ".swap",
    ".target",
    ".path",
    ".timer",
    ".slice",
    ".scope",
];

/// Reads the mapping of a kind of check; `None` where something in it is wrong.
pub(super) fn read(
    kind: &str,
    section: &Section<'_>,
    problems: &mut Problems<'_>,
) -> Option<Probe> {
    match kind {
        "http" => http(section, problems).map(Probe::Http),
        "tcp" => tcp(section, problems).map(Probe::Tcp),
        "postgres" => postgres(section, problems).map(Probe::Postgres),
        "mysql" => mysql(section, problems).map(Probe::Mysql),
        "redis" => redis(section, problems).map(Probe::Redis),
        "dns" => dns(section, problems).map(Probe::Dns),
        "process" => process(section, problems).map(Probe::Process),
        "systemd_unit" => systemd_unit(section, problems).map(Probe::SystemdUnit),
        "interface" => {
            let name = section.require("name", problems)?.value;
            Some(Probe::Interface(InterfaceProbe { name }))
        }
        "ping" => {
            let targets = targets(section, problems);
            let require = section.take("require", problems).or(Require::Any);
            Some(Probe::Ping(PingProbe { targets: targets?, require: require? }))
        }
        "arp" => {
            let targets = targets(section, problems);
            let interface = section.require("interface", problems);
            let require = section.take("require", problems).or(Require::Any);
            let interface = interface?.value;
            Some(Probe::Arp(ArpProbe { targets: targets?, interface, require: require? }))
        }
        "file" => file(section, problems).map(Probe::File),
        _ => script(section, problems).map(Probe::Script),
    }
}

fn text(section: &Section<'_>, key: &str, problems: &mut Problems<'_>) -> Given<Option<String>> {
    section.take::<Text>(key, problems).map(|Text(text)| Some(text))
}

fn path(
    section: &Section<'_>,
    key: &str,
    problems: &mut Problems<'_>,
) -> Given<Option<std::path::PathBuf>> {
    section.take::<AbsolutePath>(key, problems).map(|AbsolutePath(path)| Some(path))
}

/// Says that a value makes no sense beside another one.
fn refuse<T>(given: &Given<T>, what: &str, hint: &str, problems: &mut Problems<'_>) {
    if let Given::Right(Marked { spot, .. }) = given {
        problems.add(spot, Wrong::new(what).hint(hint));
    }
}

fn http(section: &Section<'_>, problems: &mut Problems<'_>) -> Option<HttpProbe> {
    let url = section.require::<Url>("url", problems).map(|marked| marked.value.0);
    let method = section.take("method", problems).or(HttpMethod::Get);
    let status = section.several::<Status>("status", problems);
    let body = text(section, "body", problems);
    let host = text(section, "host", problems).or(None);
    let ca = path(section, "ca", problems);
    let verify = section.take::<bool>("verify", problems);
    let follow_redirects = section.take("follow_redirects", problems).or(false);
    if method == Some(HttpMethod::Head) {
        refuse(&body, "has no meaning with HEAD, whose answer has no body", "use GET", problems);
    }
    if url.as_ref().is_some_and(|url| url.starts_with("http://")) {
        let what = "has no meaning without https";
        refuse(&ca, what, "leave it out", problems);
        refuse(&verify, what, "leave it out", problems);
    } else if let Given::Right(Marked { value: false, .. }) = &verify {
        let what = "has no meaning where nothing is verified";
        refuse(&ca, what, "leave out one of 'ca' and 'verify'", problems);
    }
    Some(HttpProbe {
        url: url?,
        method: method?,
        status: status
            .map(|list| list.into_iter().map(|m| m.value.0).collect())
            .or(vec![StatusRange::SUCCESS])?,
        body: body.or(None)?,
        host: host?,
        ca: ca.or(None)?,
        verify: verify.or(true)?,
        follow_redirects: follow_redirects?,
    })
}

fn tcp(section: &Section<'_>, problems: &mut Problems<'_>) -> Option<TcpProbe> {
    let address = section.require::<HostPort>("address", problems);
    let send = text(section, "send", problems).or(None);
    let expect = text(section, "expect", problems).or(None);
    Some(TcpProbe { address: address?.value, send: send?, expect: expect? })
}

fn postgres(section: &Section<'_>, problems: &mut Problems<'_>) -> Option<PostgresProbe> {
    let dsn = section.require::<PostgresDsn>("dsn", problems);
    let password_file = path(section, "password_file", problems).or(None);
    let role = section.require("role", problems).map(|marked| marked.value);
    let max_lag = section.take::<Span>("max_lag", problems).map(Some);
    if role == Some(PostgresRole::Primary) {
        let what = "has no meaning with 'role: primary', which is behind nobody";
        refuse(&max_lag, what, "leave it out", problems);
    }
    Some(PostgresProbe {
        dsn: dsn?.value.0,
        password_file: password_file?,
        role: role?,
        max_lag: max_lag.or(None)?,
    })
}

fn mysql(section: &Section<'_>, problems: &mut Problems<'_>) -> Option<MysqlProbe> {
    let url = section.require::<MysqlUrl>("url", problems);
    let password_file = path(section, "password_file", problems).or(None);
    let role = section.require("role", problems).map(|marked| marked.value);
    let max_lag = section.take::<Span>("max_lag", problems).map(Some);
    if role.is_some_and(|role| role != MysqlRole::Replica) {
        let what = "has no meaning without 'role: replica': only a replica is behind";
        refuse(&max_lag, what, "leave it out", problems);
    }
    Some(MysqlProbe {
        url: url?.value.0,
        password_file: password_file?,
        role: role?,
        max_lag: max_lag.or(None)?,
    })
}

fn redis(section: &Section<'_>, problems: &mut Problems<'_>) -> Option<RedisProbe> {
    let address = section.require::<HostPort>("address", problems);
    let password_file = path(section, "password_file", problems).or(None);
    let role = section.require("role", problems);
    Some(RedisProbe { address: address?.value, password_file: password_file?, role: role?.value })
}

fn dns(section: &Section<'_>, problems: &mut Problems<'_>) -> Option<DnsProbe> {
    let server = section.require::<NameServer>("server", problems);
    let name = section.require::<Text>("name", problems);
    let record_type = section.take("type", problems).or(RecordType::A);
    let expect = text(section, "expect", problems).or(None);
    Some(DnsProbe {
        server: server?.value.0,
        name: name?.value.0,
        record_type: record_type?,
        expect: expect?,
    })
}

fn process(section: &Section<'_>, problems: &mut Problems<'_>) -> Option<ProcessProbe> {
    let name = section.take::<Text>("name", problems);
    let command_line = section.take::<Text>("command_line", problems);
    match (name, command_line) {
        (Given::Right(Marked { value: Text(name), spot }), Given::Absent) => {
            if name.len() > LONGEST_PROCESS_NAME || name.contains('/') {
                let what = format!(
                    "{} is no process's name: the kernel keeps {LONGEST_PROCESS_NAME} bytes of the \
                     program's, without its directory",
                    quoted(&name)
                );
                problems.add(&spot, Wrong::new(what).hint("use 'command_line'"));
                return None;
            }
            Some(ProcessProbe::Name(name))
        }
        (Given::Absent, Given::Right(line)) => Some(ProcessProbe::CommandLine(line.value.0)),
        (Given::Absent, Given::Absent) => {
            let hint = "or 'command_line', for a part of the command line";
            section.missing("name", hint, problems);
            None
        }
        (Given::Right(_), line @ Given::Right(_)) => {
            refuse(&line, "stands beside 'name'", "give one of them", problems);
            None
        }
        _ => None,
    }
}

fn systemd_unit(section: &Section<'_>, problems: &mut Problems<'_>) -> Option<SystemdUnitProbe> {
    let Marked { value: Text(unit), spot } = section.require("unit", problems)?;
    if !UNIT_KINDS.iter().any(|kind| unit.ends_with(kind)) || unit.contains(['/', ' ']) {
        let wrong = Wrong::expected("the whole name of a unit, like nginx.service", &quoted(&unit));
        problems.add(&spot, wrong);
        return None;
    }
    Some(SystemdUnitProbe { unit })
}

fn targets<T: super::super::fields::Field>(
    section: &Section<'_>,
    problems: &mut Problems<'_>,
) -> Option<Vec<T>> {
    match section.several::<T>("targets", problems) {
        Given::Right(list) => Some(list.value.into_iter().map(|target| target.value).collect()),
        Given::Wrong => None,
        Given::Absent => {
            section.missing("targets", "it takes a list like [10.0.0.1, 10.0.0.2]", problems);
            None
        }
    }
}

fn file(section: &Section<'_>, problems: &mut Problems<'_>) -> Option<FileProbe> {
    let path = section.require::<AbsolutePath>("path", problems);
    let present = section.take::<bool>("present", problems);
    let minimum = section.take::<i64>("minimum", problems).map(Some);
    let maximum = section.take::<i64>("maximum", problems).map(Some);
    if !matches!((&minimum, &maximum), (Given::Absent, Given::Absent)) {
        let what = "has no meaning beside a number: the file must be there to hold one";
        refuse(&present, what, "leave it out", problems);
    }
    if let (Given::Right(low), Given::Right(high)) = (&minimum, &maximum)
        && low.value > high.value
    {
        problems.add(&high.spot, Wrong::new("is below the minimum: no number would pass"));
    }
    let condition = match (minimum.or(None)?, maximum.or(None)?, present.or(true)?) {
        (None, None, true) => FileCondition::Present,
        (None, None, false) => FileCondition::Absent,
        (minimum, maximum, _) => FileCondition::Number { minimum, maximum },
    };
    Some(FileProbe { path: path?.value.0, condition })
}

fn script(section: &Section<'_>, problems: &mut Problems<'_>) -> Option<ScriptProbe> {
    let command = match program::read(section, "command", problems) {
        Given::Absent => {
            section.missing("command", &format!("it takes {}", program::EXAMPLE), problems);
            None
        }
        given => given.or(Vec::new()),
    };
    let user = text(section, "user", problems).or(None);
    let group = text(section, "group", problems).or(None);
    Some(ScriptProbe { command: command?, user: user?, group: group? })
}
