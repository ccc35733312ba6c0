//! `dns`, with unbound.

use std::net::SocketAddr;

use tokio::net::UdpSocket;

use super::scratch::Scratch;
use super::server::{Server, free};
use super::*;
use crate::model::{DnsProbe, RecordType};

/// What the server knows. The TXT record of `long` does not fit into 512 bytes.
const ZONE: &str = r#"
    local-zone: "example.test." static
    local-zone: "refused.test." always_refuse
    local-data: "www.example.test. A 10.0.0.100"
    local-data: "www.example.test. A 10.0.0.101"
    local-data: "www.example.test. AAAA fd00::100"
    local-data: "example.test. MX 10 Mail.example.test."
    local-data: "example.test. NS ns.example.test."
    local-data: "example.test. SOA ns.example.test. admin.example.test. 7 3600 600 86400 60"
    local-data: "_ldap._tcp.example.test. SRV 0 5 389 db.example.test."
    local-data: "alias.example.test. CNAME www.example.test."
    local-data: '_spf.example.test. TXT "v=spf1 -all"'
    local-data-ptr: "10.0.0.100 www.example.test"
"#;

fn start(scratch: &Scratch) -> (Server, SocketAddr) {
    let address = free();
    let long = (0..4)
        .map(|n| format!("    local-data: 'long.example.test. TXT \"{}{n}\"'\n", "x".repeat(200)))
        .collect::<Vec<_>>()
        .concat();
    let (ip, port) = (address.ip(), address.port());
    let config = format!(
        "server:\n  interface: {ip}@{port}\n  do-daemonize: no\n  chroot: \"\"\n  username: \"\"\n  \
         pidfile: \"\"\n  use-syslog: no\n  access-control: 127.0.0.0/8 allow\n  \
         num-threads: 1\n  max-udp-size: 512\n  module-config: \"iterator\"\n{ZONE}{long}\
         remote-control:\n  control-enable: no\n"
    );
    let path = scratch.file("unbound.conf", config);
    let server = Server::start(scratch, "unbound", &["-d", "-c", path.to_str().unwrap()]);
    (server, address)
}

fn probe(server: SocketAddr, name: &str, record_type: RecordType, expect: Option<&str>) -> Probe {
    let (name, expect) = (name.to_owned(), expect.map(str::to_owned));
    Probe::Dns(DnsProbe { server, name, record_type, expect })
}

/// Rule: a record of every type is compared as a zone file writes it: names in any case, with their
/// final dot or without, and beside other records.
#[tokio::test]
async fn records_are_found_as_a_zone_file_writes_them() {
    let scratch = Scratch::new();
    let (_server, address) = start(&scratch);
    comes_to_pass(&probe(address, "www.example.test", RecordType::A, None)).await;
    for (name, record_type, expect) in [
        ("www.example.test", RecordType::A, "10.0.0.101"),
        ("WWW.example.test.", RecordType::Aaaa, "FD00:0::100"),
        ("alias.example.test", RecordType::Cname, "www.example.test"),
        ("example.test", RecordType::Mx, "10 mail.example.test."),
        ("example.test", RecordType::Ns, "NS.example.test"),
        ("100.0.0.10.in-addr.arpa", RecordType::Ptr, "www.example.test."),
        ("example.test", RecordType::Soa, "ns.example.test admin.example.test 7 3600 600 86400 60"),
        ("_ldap._tcp.example.test", RecordType::Srv, "0 5 389 db.example.test"),
        ("_spf.example.test", RecordType::Txt, "v=spf1 -all"),
        ("_spf.example.test", RecordType::Txt, "\"v=spf1 \" \"-all\""),
    ] {
        passes(&probe(address, name, record_type, Some(expect))).await;
    }
}

/// Rule: what is missing, wrong or refused is told by its name.
#[tokio::test]
async fn other_answers_are_named() {
    let scratch = Scratch::new();
    let (_server, address) = start(&scratch);
    let ask = |name, record_type, expect| probe(address, name, record_type, expect);
    comes_to_pass(&ask("www.example.test", RecordType::A, None)).await;
    let unlike = "www.example.test A is 10.0.0.10";
    let wrong = ask("www.example.test", RecordType::A, Some("10.0.0.9"));
    fails_with(&wrong, unlike).await;
    fails_with(&wrong, "and not 10.0.0.9").await;
    let absent = ask("nobody.example.test", RecordType::A, None);
    fails_with(&absent, "NXDOMAIN for nobody.example.test A").await;
    fails_with(&ask("www.example.test", RecordType::Mx, None), "no MX record").await;
    fails_with(&ask("www.refused.test", RecordType::A, None), "REFUSED").await;
    let number = ask("www.example.test", RecordType::A, Some("ten"));
    fails_with(&number, "'ten' is no A record").await;
    let long = "x".repeat(64);
    fails_with(&ask(&long, RecordType::A, None), "is no name").await;
}

/// Rule: what does not fit into an answer over UDP is there all the same.
#[tokio::test]
async fn a_truncated_answer_is_fetched_over_tcp() {
    let scratch = Scratch::new();
    let (_server, address) = start(&scratch);
    comes_to_pass(&probe(address, "www.example.test", RecordType::A, None)).await;
    for n in 0..4 {
        let expect = format!("{}{n}", "x".repeat(200));
        passes(&probe(address, "long.example.test", RecordType::Txt, Some(&expect))).await;
    }
}

/// Rule: an answer with another number is nobody's, and the right one after it counts.
#[tokio::test]
async fn a_forged_answer_is_not_taken() {
    use hickory_proto::op::{Message, ResponseCode};
    let address = free();
    let socket = UdpSocket::bind(address).await.unwrap();
    let server = async {
        let mut bytes = [0; 512];
        let (length, from) = socket.recv_from(&mut bytes).await.unwrap();
        let question = Message::from_vec(&bytes[..length]).unwrap();
        let mut answer = question.clone().into_response();
        for (id, code) in [
            (question.metadata.id.wrapping_add(1), ResponseCode::NXDomain),
            (question.metadata.id, ResponseCode::ServFail),
        ] {
            (answer.metadata.id, answer.metadata.response_code) = (id, code);
            socket.send_to(&answer.to_vec().unwrap(), from).await.unwrap();
        }
    };
    let probe = probe(address, "www.example.test", RecordType::A, None);
    tokio::join!(server, fails_with(&probe, "SERVFAIL for www.example.test A"));
}
