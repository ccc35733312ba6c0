//! What every kind waits for when its server stops answering: a look that is too late says it.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use futures_util::future::join_all;
use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::oneshot;

use super::misbehaving::{PASSWORD, dns, http, probes, redis, server};
use super::scratch::Scratch;
use super::server::free;
use super::*;
use crate::daemon::outside::Aside;
use crate::model::HostPort;

/// How long a look may take: far longer than to the step at which its server stops.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a look waited for last that was too late.
async fn waited_for(probe: &Probe) -> String {
    let doing = Doing::default();
    let late = timeout(PATIENCE, look_and_tell(probe, &doing)).await;
    assert!(late.is_err(), "{late:?}: {probe:?}");
    doing.take()
}

/// What each kind waits for at this server.
async fn all_wait_for(server: SocketAddr, password: &Path) -> Vec<String> {
    let probes = probes(server, password);
    join_all(probes.iter().map(waited_for)).await
}

/// Rule: a server that takes connections and then says nothing is told from one that takes none, and
/// the step of each kind's conversation is named.
#[tokio::test]
async fn a_server_that_never_answers() {
    let scratch = Scratch::new();
    let listener = TcpListener::bind((free().ip(), 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let ip = address.ip();
    let mut expected = vec![
        format!("waiting for the answer from http://{address}/health"),
        format!("TLS handshake with {ip}"),
        format!("waiting for the answer from {address}"),
    ];
    if cfg!(feature = "postgres") {
        expected.push(format!("logging in to {address}"));
        expected.push(format!("asking {address} for TLS"));
    }
    if cfg!(feature = "mysql") {
        expected.push(format!("connecting and logging in to {address}"));
    }
    assert_eq!(all_wait_for(address, &scratch.file("password", PASSWORD)).await, expected);
}

/// Rule: a server that does not even take the connection is named with its address.
#[tokio::test]
async fn a_server_that_takes_no_connection() {
    let scratch = Scratch::new();
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&SocketAddr::new(free().ip(), 0).into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    // The only place in its queue.
    let _first = std::net::TcpStream::connect(address).unwrap();
    for text in all_wait_for(address, &scratch.file("password", PASSWORD)).await {
        assert!(text.starts_with("connecting ") && text.ends_with(&address.to_string()), "{text}");
    }
}

/// Rule: a resolver that does not answer is named with what it was asked for.
#[tokio::test]
async fn a_name_that_is_not_resolved() {
    let (release, stuck) = oneshot::channel::<()>();
    let place = Aside::shared("slow.example.test");
    let resolving = place.run(move || Ok(stuck.blocking_recv().is_err()));
    let looks = async {
        let texts = [
            waited_for(&http("http://slow.example.test/".to_owned())).await,
            waited_for(&redis(HostPort { host: "slow.example.test".to_owned(), port: 1 }, None))
                .await,
        ];
        drop(release);
        texts
    };
    let (resolved, texts) = tokio::join!(resolving, looks);
    assert!(resolved.unwrap(), "it was released too early");
    assert_eq!(texts, ["looking up slow.example.test", "looking up slow.example.test"]);
}

/// Rule: a database that lets us in and does not answer the query is told from one that does not let
/// us in.
#[tokio::test]
async fn a_database_that_never_answers_a_query() {
    /// `AuthenticationOk` and `ReadyForQuery` (PostgreSQL 15, section 55.7).
    const POSTGRES: &[u8] = b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I";
    /// MySQL's `HandshakeV10` with the plugin `mysql_native_password`, and its `OK_Packet`.
    const MYSQL: [&[u8]; 2] = [
        b"\x49\0\0\x00\x0a5.7.0\0\x01\0\0\0abcdefgh\0\x00\x82\x21\x02\0\x08\0\x15\
          \0\0\0\0\0\0\0\0\0\0abcdefghijkl\0mysql_native_password\0",
        b"\x07\0\0\x02\0\0\0\x02\0\0\0",
    ];
    let scratch = Scratch::new();
    let password = scratch.file("password", PASSWORD);
    let postgres = server(|mut stream| async move {
        let _ = stream.read(&mut [0; 1024]).await;
        let _ = stream.write_all(POSTGRES).await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
    });
    let mysql = server(|mut stream| async move {
        let [handshake, ok] = MYSQL;
        let _ = stream.write_all(handshake).await;
        let _ = stream.read(&mut [0; 1024]).await;
        let _ = stream.write_all(ok).await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
    });
    for (address, kind) in [(postgres.await, "postgres"), (mysql.await, "mysql")] {
        // The first of a kind is the one without TLS.
        let Some(probe) = probes(address, &password).into_iter().find(|one| one.kind() == kind)
        else {
            continue;
        };
        assert_eq!(waited_for(&probe).await, format!("waiting for {address} to answer a query"));
    }
}

/// Rule: a name server that does not answer is named, and so is that it was asked again over TCP.
#[tokio::test]
async fn a_name_server_that_never_answers() {
    let socket = UdpSocket::bind(free()).await.unwrap();
    let server = socket.local_addr().unwrap();
    let _listener = TcpListener::bind(server).await.unwrap();
    let expected = format!("waiting for the answer from {server}");
    assert_eq!(waited_for(&dns(server)).await, expected);
    let truncates = async {
        loop {
            let mut message = [0; 512];
            let (length, from) = socket.recv_from(&mut message).await.unwrap();
            // QR and TC (RFC 1035 section 4.1.1).
            message[2] |= 0x82;
            socket.send_to(&message[..length], from).await.unwrap();
        }
    };
    let probe = dns(server);
    tokio::select! {
        text = waited_for(&probe) => assert_eq!(text, format!("asking {server} again over TCP")),
        () = truncates => {}
    }
}
