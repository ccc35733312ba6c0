//! Two gateways between an inner and an outer network, and a connection through them that lasts.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use super::client::{Answer, Client, TIMEOUT};
use super::lab::{Holders, Host, Lab, Segment, VIP, within};
use super::page::Page;
use super::pair::Pair;
use super::service::PATIENCE;

/// The workstations' network, their gateway, and a server that they use.
const INNER: [u8; 3] = [192, 168, 0];
const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 168, 0, 1);
const SERVER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(10, 77, 0, 1)), 7000);

/// How long the two addresses may be apart.
const APART: Duration = Duration::from_secs(3);

/// How long the client may wait: TCP sends again after pauses that become longer.
const GAP: Duration = Duration::from_secs(15);

/// A client gets through once everything was answered for this long.
const STEADILY: Duration = Duration::from_millis(500);

/// Rule: docs/recipes/gateway.md, done as written, gives a pair of gateways whose addresses are on
/// one machine together, and a connection through it survives each move: because of conntrackd,
/// as one that moves without it shows.
pub(crate) fn both_addresses_move(lab: &Lab) {
    let pair = Pair::boot(lab, ["gw1", "gw2"], false);
    let inner = Segment::another(lab, "inner", INNER);
    let recipe = Page::read("recipes/gateway.md");
    for machine in &pair.machines {
        inner.connect(machine.host(), "eth1");
        recipe.follow(machine);
    }
    let hosts = [pair.machines[0].host(), pair.machines[1].host()];
    let holders = Holders::watch(&hosts, GATEWAY);
    serve(pair.watcher());
    let workstation = inner.host(50);
    workstation.run(&format!("ip route add default via {GATEWAY}"));
    let mut session = Session { stream: None, opened: 0, asked: false };
    let client = Client::start(&workstation, move || session.ask());
    let gateways = Gateways { pair, inner, holders, workstation, client };
    gateways.are_at(0);
    gateways.gets_through();
    let late = gateways.cut_and_mended();
    gateways.stopped(&late);
    gateways.without_conntrackd();
}

struct Gateways<'a> {
    pair: Pair<'a>,
    inner: Segment,
    holders: Holders,
    workstation: Host,
    client: Client,
}

impl Gateways<'_> {
    /// One cable of the active machine, the other one, and both, as when it dies. What is opened
    /// while it is away survives the next move, too.
    fn cut_and_mended(&self) -> TcpStream {
        let (outer, inner) = (&self.pair.segment, &self.inner);
        let mut late = self.opened();
        for (what, cables) in [
            ("outer cable cut", &[outer][..]),
            ("inner cable cut", &[inner][..]),
            ("both cables cut", &[outer, inner][..]),
        ] {
            let set = |host: &Host, state| cables.iter().for_each(|at| at.cable(host, state));
            let mut next = None;
            let mend = |host: &Host| {
                next = Some(self.opened());
                set(host, "up");
            };
            self.moves(what, |host| set(host, "down"), mend);
            self.keeps_the_connections(what, &late);
            late = next.expect("it was mended");
        }
        late
    }

    fn stopped(&self, late: &TcpStream) {
        let machine = &self.pair.machines[self.pair.active()];
        let stop = |_: &Host| drop(machine.does("systemctl stop vipd"));
        self.moves("vipd stopped", stop, |_| drop(machine.does("systemctl start vipd")));
        self.keeps_the_connections("vipd stopped", late);
    }

    /// The other machine knows nothing of the connection: it is lost. The hook says so.
    fn without_conntrackd(&self) {
        for machine in &self.pair.machines {
            machine.does("systemctl stop conntrackd");
        }
        let active = self.pair.active();
        let other = &self.pair.machines[1 - active];
        other.does("conntrack --flush");
        self.pair.segment.cable(self.pair.machines[active].host(), "down");
        self.are_at(1 - active);
        other.reports(&["hook before_claim failed"]);
        exchange(&self.opened()).expect("a new connection");
        sleep(STEADILY);
        let connection = self.client.served_by(STEADILY);
        assert_eq!(connection, None, "the connection lives without conntrackd");
    }

    /// Both addresses move from the active machine to the other one, about at once, and the client
    /// gets through there.
    fn moves(&self, what: &str, act: impl FnOnce(&Host), mend: impl FnOnce(&Host)) {
        let (start, active) = (Instant::now(), self.pair.active());
        let machine = &self.pair.machines[active];
        act(machine.host());
        let (outer, inner) = self.are_at(1 - active);
        self.gets_through();
        let moved = start.elapsed().as_millis();
        let status = machine.status();
        mend(machine.host());
        machine.reports(&["wan: backup (", "lan: backup ("]);
        within(PATIENCE, "it could take over again", || !machine.status().contains("hold_down"));
        let account = self.client.account(start);
        self.pair.lab.note(format!("{what}: {account}; served again after {moved} ms; {status}"));
        assert!(account.longest_gap <= GAP, "{what}: {account}");
        let apart = outer.max(inner) - outer.min(inner);
        assert!(apart <= APART, "{what}: the addresses were apart for {apart:?}");
    }

    /// Waits until one machine has both addresses; when it had each.
    fn are_at(&self, place: usize) -> (Instant, Instant) {
        let number = self.pair.machines[place].host().number();
        let (mut outer, mut inner) = (None, None);
        within(PATIENCE, "one machine has both addresses", || {
            if self.pair.holds_alone(place) {
                outer.get_or_insert_with(Instant::now);
            }
            if self.holders.now() == [number] {
                inner.get_or_insert_with(Instant::now);
            }
            outer.is_some() && inner.is_some()
        });
        (outer.expect("it was waited for"), inner.expect("it was waited for"))
    }

    fn gets_through(&self) {
        let get_through = || self.client.served_by(STEADILY).is_some();
        within(PATIENCE, "the client gets through", get_through);
    }

    /// Another connection of the workstation's, which works.
    fn opened(&self) -> TcpStream {
        let stream = self.workstation.inside(|| TcpStream::connect_timeout(&SERVER, PATIENCE));
        let stream = stream.expect("a new connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        exchange(&stream).expect("the server answers");
        stream
    }

    fn keeps_the_connections(&self, what: &str, late: &TcpStream) {
        let connection = self.client.served_by(STEADILY);
        assert_eq!(connection.as_deref(), Some("connection 1"), "{what}: it is another one");
        exchange(late).unwrap_or_else(|why| panic!("{what}: a later connection: {why}"));
    }
}

/// A question and its answer.
fn exchange(mut stream: &TcpStream) -> std::io::Result<()> {
    stream.write_all(b"?")?;
    stream.read_exact(&mut [0])
}

/// A program that has one connection to the server, and opens another one when it is lost.
struct Session {
    stream: Option<TcpStream>,
    opened: u32,
    /// What was asked has not been answered yet: that may take until TCP sends it again.
    asked: bool,
}

impl Session {
    fn ask(&mut self) -> Answer {
        let answer = self.exchange();
        let lost = |why: &std::io::Error| why.kind() != std::io::ErrorKind::WouldBlock;
        if answer.as_ref().is_err_and(lost) {
            self.stream = None;
        }
        answer.map(|()| format!("connection {}", self.opened)).map_err(|why| why.kind().to_string())
    }

    fn exchange(&mut self) -> std::io::Result<()> {
        if self.stream.is_none() {
            let stream = TcpStream::connect_timeout(&SERVER, TIMEOUT)?;
            stream.set_read_timeout(Some(TIMEOUT))?;
            self.opened += 1;
            self.asked = false;
            self.stream = Some(stream);
        }
        let stream = self.stream.as_mut().ok_or(std::io::ErrorKind::NotConnected)?;
        if !self.asked {
            stream.write_all(b"?")?;
            self.asked = true;
        }
        stream.read_exact(&mut [0])?;
        self.asked = false;
        Ok(())
    }
}

/// Answers each byte with one, to those who come from the gateways' outer address.
fn serve(host: &Host) {
    let listener = host.inside(|| TcpListener::bind(SERVER)).expect("a listening socket");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let is_translated = stream.peer_addr().is_ok_and(|peer| peer.ip() == VIP);
            if is_translated {
                thread::spawn(move || std::io::copy(&mut &stream, &mut &stream));
            }
        }
    });
}
