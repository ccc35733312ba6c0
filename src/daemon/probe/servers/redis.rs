//! `redis`, with a master and its replica.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;

use super::scratch::Scratch;
use super::server::{Server, free, host_port};
use super::*;
use crate::model::{RedisProbe, RedisRole};

const PASSWORD: &str = "s3 cret";

struct Redis {
    address: SocketAddr,
    server: Server,
    password_file: PathBuf,
}

impl Redis {
    fn start(scratch: &Scratch, more: &[&str]) -> Self {
        let address = free();
        let directory = scratch.directory(&format!("redis-{}", address.port()));
        let (ip, port) = (address.ip().to_string(), address.port().to_string());
        let directory = directory.to_str().unwrap();
        let mut arguments = vec!["--bind", &ip, "--port", &port, "--dir", directory];
        arguments.extend(["--save", "", "--requirepass", PASSWORD, "--masterauth", PASSWORD]);
        arguments.extend(["--repl-diskless-sync-delay", "0"]);
        arguments.extend(more);
        let server = Server::start(scratch, "redis-server", &arguments);
        Self { address, server, password_file: scratch.file("password", format!("{PASSWORD}\n")) }
    }

    fn probe(&self, role: RedisRole) -> Probe {
        probe(self.address, role, Some(self.password_file.clone()))
    }

    /// What it answers to commands as a person would type them.
    fn tell(&self, commands: &str) -> String {
        let mut stream = TcpStream::connect(self.address).unwrap();
        write!(stream, "AUTH \"{PASSWORD}\"\r\n{commands}\r\nQUIT\r\n").unwrap();
        let mut answers = String::new();
        stream.read_to_string(&mut answers).unwrap();
        answers
    }
}

fn probe(address: SocketAddr, role: RedisRole, password_file: Option<PathBuf>) -> Probe {
    Probe::Redis(RedisProbe { address: host_port(address), password_file, role })
}

/// Rule: each server has its role, a replica without its master is none, and a promoted one is the
/// master.
#[tokio::test]
async fn a_role_is_what_the_server_says_now() {
    let scratch = Scratch::new();
    let master = Redis::start(&scratch, &[]);
    let port = master.address.port().to_string();
    let ip = master.address.ip().to_string();
    assert_eq!(comes_to_pass(&master.probe(RedisRole::Master)).await, "master");
    let replica = Redis::start(&scratch, &["--replicaof", &ip, &port]);
    let of = format!("replica of {ip}:{port}");
    assert_eq!(comes_to_pass(&replica.probe(RedisRole::Replica)).await, of);
    passes(&replica.probe(RedisRole::Any)).await;
    fails_with(&master.probe(RedisRole::Replica), "is a master, no replica").await;
    fails_with(&replica.probe(RedisRole::Master), &format!("is a {of}, no master")).await;
    master.server.crash();
    comes_to_fail(&replica.probe(RedisRole::Replica), "whose link to").await;
    passes(&replica.probe(RedisRole::Any)).await;
    replica.tell("REPLICAOF NO ONE");
    assert_eq!(passes(&replica.probe(RedisRole::Master)).await, "master");
}

/// Rule: without the right password nothing passes, and no password is shown, not even by a server
/// that quotes the command it doesn't know.
#[tokio::test]
async fn a_wrong_password_is_told_and_not_shown() {
    let scratch = Scratch::new();
    let redis = Redis::start(&scratch, &[]);
    comes_to_pass(&redis.probe(RedisRole::Any)).await;
    fails_with(&probe(redis.address, RedisRole::Any, None), "NOAUTH").await;
    let wrong = scratch.file("wrong", "hunter2");
    fails_with(&probe(redis.address, RedisRole::Any, Some(wrong.clone())), "WRONGPASS").await;
    let renamed = Redis::start(&scratch, &["--rename-command", "AUTH", "XAUTH"]);
    let probe = probe(renamed.address, RedisRole::Any, Some(wrong));
    comes_to_fail(&probe, "unknown command").await;
    let why = fails(&probe).await;
    assert!(!why.contains("hunter2") && why.contains("***"), "{why}");
}

/// Rule: a server that is busy with a script serves nobody, and is not taken for well.
#[tokio::test]
async fn a_busy_server_fails() {
    let scratch = Scratch::new();
    let redis = Redis::start(&scratch, &["--busy-reply-threshold", "1"]);
    comes_to_pass(&redis.probe(RedisRole::Master)).await;
    let mut stream = TcpStream::connect(redis.address).unwrap();
    write!(stream, "AUTH \"{PASSWORD}\"\r\nEVAL \"while true do end\" 0\r\n").unwrap();
    comes_to_fail(&redis.probe(RedisRole::Master), "BUSY").await;
}
