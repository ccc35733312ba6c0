//! A floating address in front of two machines with unbound, asked over UDP.

use std::net::{SocketAddr, UdpSocket};

use super::client::{Answer, TIMEOUT};
use super::lab::{Lab, VIP};
use super::page::Page;
use super::pair::Pair;
use super::service::Service;

const UNBOUND: Service = Service { unit: "unbound", check: "unbound" };

/// The types and classes of a question (RFC 1035 section 3.2).
const A_IN: [u8; 4] = [0, 1, 0, 1];
const TXT_CH: [u8; 4] = [0, 16, 0, 3];

/// What the recipe says that `www.example.com` is, with the lab's network.
const WWW: [u8; 4] = [10, 77, 0, 80];

/// A server that does not know its zone any more and asks one that is not there.
const LOSE_ZONE: &str = "set -e
    unbound-control local_zone_remove example.com.
    unbound-control forward_add +i example.com. 127.0.0.1@5399";

/// Rule: docs/recipes/dns.md, done as written, gives a pair that answers from the address that was
/// asked, whichever machine has it, and the address is where the answers are right.
pub(crate) fn follows_the_answers(lab: &Lab) {
    let mut pair = Pair::boot(lab, ["ns1", "ns2"], false);
    let recipe = Page::read("recipes/dns.md");
    for machine in &pair.machines {
        recipe.follow(machine);
    }
    pair.serve(server);
    UNBOUND.stopped(&mut pair);
    UNBOUND.hung(&mut pair);
    UNBOUND.fails(&mut pair, "answers SERVFAIL", LOSE_ZONE, "SERVFAIL", |machine| {
        machine.does("systemctl restart unbound");
    });
}

/// Who answers, if the answer is right.
fn server() -> Answer {
    let answer = ask(&["www", "example", "com"], A_IN)?;
    if !answer.ends_with(&WWW) {
        return Err(format!("answer code {}", answer.get(3).map_or(0, |flags| flags & 15)));
    }
    // The only string of the only record stands at the end, behind its length.
    let answer = ask(&["id", "server"], TXT_CH)?;
    let names = ["ns1", "ns2"].into_iter().find(|name| answer.ends_with(name.as_bytes()));
    Ok(names.ok_or("no name of a server")?.to_owned())
}

/// One question over UDP, from a socket that would see an answer of any address.
fn ask(name: &[&str], kind_and_class: [u8; 4]) -> Result<Vec<u8>, String> {
    let reason = |why: std::io::Error| format!("{:?}", why.kind());
    let socket = UdpSocket::bind("0.0.0.0:0").map_err(reason)?;
    socket.set_read_timeout(Some(TIMEOUT)).map_err(reason)?;
    // A number of its own, no flags, one question.
    let mut question = vec![7, 7, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name {
        question.push(u8::try_from(label.len()).expect("a label is short"));
        question.extend(label.as_bytes());
    }
    question.push(0);
    question.extend(kind_and_class);
    socket.send_to(&question, (VIP, 53)).map_err(reason)?;
    let mut answer = [0; 512];
    let (length, from) = socket.recv_from(&mut answer).map_err(reason)?;
    if from != SocketAddr::from((VIP, 53)) {
        return Err(format!("answered by {from}"));
    }
    Ok(answer[..length].to_vec())
}
