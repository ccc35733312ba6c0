//! `dns`: a name server resolves a name (RFC 1035, RFC 7766).
//!
//! hickory's codec over sockets of our own. One question over UDP, which is not repeated: `fall` is
//! there for a lost one. An answer that did not fit is asked for again over TCP, as RFC 2181
//! section 9 wants it: what did not fit may be the record that is expected.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Instant;

use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, Record, RecordType as Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

use crate::daemon::outside::{Doing, connect, words};
use crate::engine::ProbeResult;
use crate::model::{DnsProbe, RecordType};

/// The longest message over UDP to who has not said that it takes longer ones (RFC 1035 section
/// 4.2.1). Some servers send longer ones all the same.
const LONGEST: usize = 4096;

/// So many records of a wrong answer are shown.
const SHOWN: usize = 3;

/// Asks once.
pub(crate) async fn look(probe: &DnsProbe, doing: &Doing) -> ProbeResult {
    words::answer(ask(probe, doing).await)
}

/// What is wrong with a check that no server has to be asked about.
///
/// # Errors
/// What is wrong, for people.
pub(crate) fn usable(probe: &DnsProbe) -> Result<(), String> {
    question(probe)?;
    expected(probe).map(|_| ())
}

async fn ask(probe: &DnsProbe, doing: &Doing) -> Result<String, String> {
    let began = Instant::now();
    let question = question(probe)?;
    let expected = expected(probe)?;
    doing.set(format!("waiting for the answer from {}", probe.server));
    let mut answer = over_udp(probe.server, &question).await?;
    if answer.metadata.truncation {
        doing.set(format!("asking {} again over TCP", probe.server));
        answer = over_tcp(probe.server, &question).await?;
    }
    let record = judge(probe, &answer, expected.as_ref())?;
    Ok(format!("{record} in {} ms", began.elapsed().as_millis()))
}

fn question(probe: &DnsProbe) -> Result<Message, String> {
    let mut name = Name::from_str_relaxed(&probe.name)
        .map_err(|error| format!("'{}' is no name: {error}", probe.name))?;
    name.set_fqdn(true);
    // It has a random number of its own.
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(name, type_of(probe)));
    Ok(message)
}

fn expected(probe: &DnsProbe) -> Result<Option<Expected>, String> {
    probe.expect.as_deref().map(|text| Expected::new(probe, text)).transpose()
}

fn type_of(probe: &DnsProbe) -> Type {
    match probe.record_type {
        RecordType::A => Type::A,
        RecordType::Aaaa => Type::AAAA,
        RecordType::Cname => Type::CNAME,
        RecordType::Mx => Type::MX,
        RecordType::Ns => Type::NS,
        RecordType::Ptr => Type::PTR,
        RecordType::Soa => Type::SOA,
        RecordType::Srv => Type::SRV,
        RecordType::Txt => Type::TXT,
    }
}

async fn over_udp(server: SocketAddr, question: &Message) -> Result<Message, String> {
    let any: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let bytes = encoded(question)?;
    let mut answer = vec![0; LONGEST];
    let exchange = async {
        let socket = UdpSocket::bind(any).await?;
        // From nobody else, and with ICMP's word that nobody listens.
        socket.connect(server).await?;
        socket.send(&bytes).await?;
        loop {
            let length = socket.recv(&mut answer).await?;
            let message = decoded(answer.get(..length).unwrap_or_default(), server);
            // Another number or question: an answer to somebody else, or a forged one.
            if message.as_ref().map_or(true, |message| answers(message, question)) {
                return Ok(message);
            }
        }
    };
    exchange.await.map_err(|error: std::io::Error| connect::refusal(&error, &server.to_string()))?
}

async fn over_tcp(server: SocketAddr, question: &Message) -> Result<Message, String> {
    let bytes = encoded(question)?;
    let length = u16::try_from(bytes.len()).map_err(|error| error.to_string())?;
    let exchange = async {
        let mut stream = TcpStream::connect(server).await?;
        stream.write_all(&[&length.to_be_bytes()[..], &bytes].concat()).await?;
        let mut answer = vec![0; usize::from(stream.read_u16().await?)];
        stream.read_exact(&mut answer).await?;
        Ok(answer)
    };
    let answer = exchange.await.map_err(|error: std::io::Error| {
        format!("asked over TCP, {}", connect::refusal(&error, &server.to_string()))
    })?;
    let message = decoded(&answer, server)?;
    if !answers(&message, question) {
        return Err(format!("{server} answers another question over TCP"));
    }
    Ok(message)
}

fn encoded(message: &Message) -> Result<Vec<u8>, String> {
    message.to_vec().map_err(|error| format!("the question cannot be written: {error}"))
}

fn decoded(bytes: &[u8], server: SocketAddr) -> Result<Message, String> {
    Message::from_vec(bytes)
        .map_err(|error| format!("{server} answers with what is no DNS message: {error}"))
}

fn answers(answer: &Message, question: &Message) -> bool {
    answer.metadata.id == question.metadata.id && answer.queries == question.queries
}

/// The record that passes.
fn judge(
    probe: &DnsProbe,
    answer: &Message,
    expected: Option<&Expected>,
) -> Result<String, String> {
    let DnsProbe { name, server, .. } = probe;
    let wanted = type_of(probe);
    match answer.metadata.response_code {
        ResponseCode::NoError => {}
        code => return Err(format!("{} for {name} {wanted} from {server}", name_of(code))),
    }
    // Others may stand there, too: the aliases on the way.
    let found: Vec<&Record> =
        answer.answers.iter().filter(|record| record.record_type() == wanted).collect();
    if let Some(record) =
        found.iter().find(|record| expected.is_none_or(|expected| expected.is(&record.data)))
    {
        return Ok(record.data.to_string());
    }
    if found.is_empty() {
        return Err(format!("no {wanted} record for {name} from {server}"));
    }
    let shown: Vec<String> =
        found.iter().take(SHOWN).map(|record| record.data.to_string()).collect();
    let more = if found.len() > SHOWN { ", ..." } else { "" };
    let expect = probe.expect.as_deref().unwrap_or_default();
    let shown = shown.join(", ");
    Err(format!("{name} {wanted} is {shown}{more} and not {expect}, from {server}"))
}

/// The code's name (RFC 1035 section 4.1.1), by which people know it.
fn name_of(code: ResponseCode) -> String {
    match code {
        ResponseCode::FormErr => "FORMERR".to_owned(),
        ResponseCode::ServFail => "SERVFAIL".to_owned(),
        ResponseCode::NXDomain => "NXDOMAIN".to_owned(),
        ResponseCode::NotImp => "NOTIMP".to_owned(),
        ResponseCode::Refused => "REFUSED".to_owned(),
        other => format!("error {} ({other})", u16::from(other)),
    }
}

/// The data of a record as it can be compared.
enum Expected {
    /// Of a TXT record: its strings are one text, wherever they are cut (RFC 7208 section 3.3).
    Text(Vec<u8>),
    /// Of another one, in the words of a zone file.
    Words(String),
}

impl Expected {
    fn new(probe: &DnsProbe, text: &str) -> Result<Self, String> {
        if probe.record_type == RecordType::Txt && !text.trim_start().starts_with('"') {
            return Ok(Self::Text(text.as_bytes().to_vec()));
        }
        match RData::try_from_str(type_of(probe), text) {
            Ok(data) => Ok(Self::of(&data)),
            Err(error) => Err(format!("'{text}' is no {} record: {error}", type_of(probe))),
        }
    }

    fn of(data: &RData) -> Self {
        match data {
            RData::TXT(strings) => Self::Text(strings.txt_data.concat()),
            other => Self::Words(words_of(&other.to_string())),
        }
    }

    fn is(&self, data: &RData) -> bool {
        match (self, Self::of(data)) {
            (Self::Text(expected), Self::Text(found)) => *expected == found,
            (Self::Words(expected), Self::Words(found)) => *expected == found,
            _ => false,
        }
    }
}

/// Names are the same in small letters, and with a final dot or without.
fn words_of(data: &str) -> String {
    let words: Vec<&str> = data.split_whitespace().map(|word| word.trim_end_matches('.')).collect();
    words.join(" ").to_lowercase()
}
