//! `redis`: a Redis server has a role.
//!
//! The exchange is our own: two or three commands in one write, and three kinds of answers. The
//! crate `redis` would bring a task that goes on after the look, and forty times as much code.

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

use super::password;
use crate::daemon::outside::{Doing, connect, words};
use crate::engine::ProbeResult;
use crate::model::{RedisProbe, RedisRole};

/// So much is read of all answers together: `INFO replication` has a line for each replica.
const LONGEST: u64 = 64 * 1024;

/// Asks once.
pub(crate) async fn look(probe: &RedisProbe, doing: &Doing) -> ProbeResult {
    words::answer(ask(probe, doing).await)
}

async fn ask(probe: &RedisProbe, doing: &Doing) -> Result<String, String> {
    let password = password::of(probe.password_file.as_deref(), doing).await?;
    let found = exchange(probe, password.as_deref(), doing).await;
    // A server whose AUTH was renamed quotes what it got, and so do servers that are no Redis.
    found.map_err(|why| password::hidden(&why, password.as_deref()))
}

async fn exchange(
    probe: &RedisProbe,
    password: Option<&str>,
    doing: &Doing,
) -> Result<String, String> {
    let server = probe.address.to_string();
    let mut stream = connect::tcp(&probe.address, doing).await?;
    doing.set(format!("waiting for the answer from {server}"));
    let mut commands = password.map(|word| command(&["AUTH", word])).unwrap_or_default();
    // A server that still loads its data refuses PING, but not INFO.
    commands.push_str(&command(&["PING"]));
    commands.push_str(&command(&["INFO", "replication"]));
    stream.write_all(commands.as_bytes()).await.map_err(|e| connect::loss(&e, &server))?;
    let mut answers = BufReader::new(stream.take(LONGEST));
    if password.is_some() {
        answer(&mut answers, &server).await?;
    }
    answer(&mut answers, &server).await?;
    match probe.role {
        RedisRole::Any => Ok(String::new()),
        RedisRole::Master => master(&answer(&mut answers, &server).await?, &server),
        RedisRole::Replica => replica(&answer(&mut answers, &server).await?, &server),
    }
}

/// A command in the protocol's words (RESP: an array of bulk strings).
fn command(words: &[&str]) -> String {
    let strings = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len()));
    let mut parts = vec![format!("*{}\r\n", words.len())];
    parts.extend(strings);
    parts.concat()
}

/// The next answer: a simple string or a bulk string.
async fn answer(answers: &mut (impl AsyncBufRead + Unpin), server: &str) -> Result<String, String> {
    let line = line(answers, server).await?;
    if let Some(text) = line.strip_prefix('+') {
        return Ok(text.to_owned());
    }
    if let Some(error) = line.strip_prefix('-') {
        return Err(format!("{server}: {error}"));
    }
    let length = line.strip_prefix('$').and_then(|length| length.parse::<u64>().ok());
    let Some(length) = length.filter(|length| *length < LONGEST) else {
        return Err(format!("{server} answers with what is no Redis"));
    };
    let mut bytes = Vec::new();
    let whole = length + 2;
    let read = answers.take(whole).read_to_end(&mut bytes).await;
    read.map_err(|error| connect::loss(&error, server))?;
    if u64::try_from(bytes.len()).unwrap_or_default() < whole {
        return Err(format!("{server} closed the connection before it had answered"));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

async fn line(answers: &mut (impl AsyncBufRead + Unpin), server: &str) -> Result<String, String> {
    let mut line = Vec::new();
    let read = answers.read_until(b'\n', &mut line).await;
    read.map_err(|error| connect::loss(&error, server))?;
    let text = String::from_utf8_lossy(&line);
    match text.strip_suffix('\n') {
        Some(line) => Ok(line.trim_end().to_owned()),
        None if line.is_empty() => {
            Err(format!("{server} closed the connection before it had answered"))
        }
        None => Err(format!("{server} answers with what is no Redis")),
    }
}

fn master(info: &str, server: &str) -> Result<String, String> {
    match field(info, "role") {
        Some("master") => Ok("master".to_owned()),
        role => Err(other_role(role, "master", info, server)),
    }
}

fn replica(info: &str, server: &str) -> Result<String, String> {
    let role = field(info, "role");
    if role != Some("slave") {
        return Err(other_role(role, "replica", info, server));
    }
    match field(info, "master_link_status") {
        Some("up") => Ok(format!("replica of {}", its_master(info))),
        _ => Err(format!("{server} is a replica whose link to {} is down", its_master(info))),
    }
}

fn other_role(role: Option<&str>, wanted: &str, info: &str, server: &str) -> String {
    match role {
        Some("slave") => format!("{server} is a replica of {}, no {wanted}", its_master(info)),
        Some(role) => format!("{server} is a {role:.40}, no {wanted}"),
        None => format!("{server} does not say what its role is"),
    }
}

fn its_master(info: &str) -> String {
    let host = field(info, "master_host").unwrap_or("?");
    format!("{host}:{}", field(info, "master_port").unwrap_or("?"))
}

/// A field of `INFO`: `name:value` on a line of its own.
fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}
