//! A floating address in front of two machines with nginx.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use super::client::{Answer, TIMEOUT};
use super::lab::{Lab, VIP};
use super::page::Page;
use super::pair::Pair;
use super::service::Service;
use super::{departure, life};

/// Rule: docs/recipes/nginx.md, done as written, gives a pair whose clients notice no planned move
/// and a short gap at a failure; and both machines are clean afterwards.
pub(crate) fn everything_that_happens(lab: &Lab) {
    let mut pair = Pair::boot(lab, ["web1", "web2"], false);
    let recipe = Page::read("recipes/nginx.md");
    for machine in &pair.machines {
        recipe.follow(machine);
    }
    pair.serve(ask);
    let address = format!("{VIP}/24");
    pair.machines[0].reports(&["web: active (priority 200) with ", &address, " on eth0 since "]);
    pair.machines[1]
        .reports(&["web: backup (priority 190) on eth0", "web1 (10.77.0.11) is active"]);
    let nginx = Service { unit: "nginx", check: "nginx" };
    nginx.stopped(&mut pair);
    nginx.hung(&mut pair);
    departure::reloaded_badly(&mut pair);
    // The other machine is upgraded later: the address does not come back by itself.
    departure::upgraded(&mut pair);
    life::passes(pair);
}

/// `GET /` on a connection of its own: the page is the server's name.
pub(crate) fn ask() -> Answer {
    page().map_err(|why| format!("{:?}", why.kind()))
}

fn page() -> std::io::Result<String> {
    let text = request()?;
    let body = text.strip_prefix("HTTP/1.1 200 ").and_then(|text| text.split_once("\r\n\r\n"));
    body.map(|(_, body)| body.trim().to_owned()).ok_or(std::io::ErrorKind::InvalidData.into())
}

/// All that comes back for a `GET /`.
pub(crate) fn request() -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from((VIP, 80)), TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}
