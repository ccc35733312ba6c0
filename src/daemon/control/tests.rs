//! The control socket as its clients see it, with a protocol loop of the test's own.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Instant;

use super::door::CLIENTS;
use super::*;
use crate::api::{
    self, CONTROL_SOCKET, FileStatus, Handover, LONGEST_REQUEST, LoopStatus, STATUS_SOCKET,
    Snapshot,
};
use crate::engine::{HandoverAnswer, HandoverRefusal, StandbyAnswer, Status};
use crate::histogram::Histogram;
use crate::time::Wall;

/// Far longer than anything here may take.
const BOUND: Duration = Duration::from_secs(30);

const HANDOVER: &[u8] = b"{\"handover\":{\"instance\":\"web\",\"to\":\"node2\"}}\n";

/// A directory of the test's own, gone at its end.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("vipd-control-{}-{number}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    fn socket(&self) -> PathBuf {
        self.0.join(CONTROL_SOCKET)
    }

    /// A client that has said this.
    fn client(&self, says: &[u8]) -> UnixStream {
        let mut stream = UnixStream::connect(self.socket()).unwrap();
        stream.set_read_timeout(Some(BOUND)).unwrap();
        stream.write_all(says).unwrap();
        stream
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn response(stream: UnixStream) -> Response {
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: '{line}'"))
}

#[track_caller]
fn assert_error(stream: UnixStream, text: &str) {
    match response(stream) {
        Response::Error(error) => assert!(error.contains(text), "{error}"),
        other => panic!("{other:?}"),
    }
}

fn nobody() -> HandoverAnswer {
    HandoverAnswer::Refused(HandoverRefusal::OwnNode)
}

fn start(directory: &Directory) -> io::Result<Control> {
    let open = super::super::directory::Directory::make(&directory.0)?;
    Control::start(&open, StandbyFile::new(Some(&directory.0)), None)
}

/// The next request, as the protocol loop gets it.
fn next_request(control: &mut Control) -> (Request, oneshot::Sender<Response>) {
    match next(control).unwrap() {
        Asked::Request { request, reply } => (request, reply),
        Asked::Snapshot(_) => panic!("nobody wants to know how it is"),
    }
}

/// What the protocol loop gets next.
fn next(control: &mut Control) -> Result<Asked, Gone> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(BOUND, control.next()).await.unwrap() })
}

/// Rule: a request reaches the protocol loop as it was sent, and its answer the client, whatever
/// order the answers come in.
#[test]
fn each_client_gets_its_own_answer() {
    let directory = Directory::new();
    let mut control = start(&directory).unwrap();
    let ask = |control: &mut Control, instance: &str| {
        let handover = Handover { instance: instance.try_into().unwrap(), to: None };
        let request = Request::Handover(handover);
        let client = directory.client(&api::line(&request).unwrap());
        let (asked, reply) = next_request(control);
        assert_eq!(asked, request);
        (client, control.admit(reply))
    };
    let (first, number) = ask(&mut control, "web");
    let (second, other) = ask(&mut control, "mail");
    assert_ne!(number, other);
    let leaving = HandoverAnswer::Refused(HandoverRefusal::Leaving);
    control.answer(other, Answer::Handover(leaving.clone()));
    assert_eq!(response(second), Response::Handover(leaving));
    control.answer(number, Answer::Handover(nobody()));
    assert_eq!(response(first), Response::Handover(nobody()));
    control.answer(number, Answer::Handover(nobody()));
    assert!(control.finish());
}

/// Bug guarded: `vipctl online` reached the protocol loop when the standby before it had ended, which
/// it was to call off. Now it does at once, and what is kept is what the last answer says.
#[test]
fn a_standby_under_way_holds_nobody_up() {
    let directory = Directory::new();
    let mut control = start(&directory).unwrap();
    let mut ask = |request: &Request| {
        let client = directory.client(&api::line(request).unwrap());
        let (_, reply) = next_request(&mut control);
        (client, control.admit(reply))
    };
    let (out, standby) = ask(&Request::Standby(api::Standby { instance: None, force: true }));
    let (back, online) = ask(&Request::Online(api::Online { instance: None }));
    for (request, client, node) in [(standby, out, true), (online, back, false)] {
        let standby = Standby { node, ..Standby::default() };
        let (moved, refused) = (Vec::new(), Vec::new());
        let answer = StandbyAnswer { standby: standby.clone(), moved, refused };
        control.answer(request, Answer::Standby(answer.clone()));
        assert_eq!(response(client), Response::Standby(Stood { answer, not_kept: None }));
        assert_eq!(StandbyFile::new(Some(&directory.0)).read(), Ok(standby));
    }
}

/// Rule: what is no request is answered with what is wrong, and reaches nobody.
#[test]
fn garbage_is_answered_with_what_is_wrong() {
    let directory = Directory::new();
    let mut control = start(&directory).unwrap();
    assert_error(directory.client(b"{\"dance\":1}\n"), "unknown variant `dance`");
    assert_error(directory.client(b"\x00\xff\xfe\n"), "not a request");
    let half = directory.client(b"{\"handover\":");
    half.shutdown(std::net::Shutdown::Write).unwrap();
    assert_error(half, "EOF while parsing");
    let silent = directory.client(b"");
    silent.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(BufReader::new(silent).read_line(&mut String::new()).unwrap(), 0);
    assert!(control.requests.as_mut().unwrap().try_recv().is_err());
}

/// Rule: a line is read up to its bound and no further; one of exactly that length is a request.
#[test]
fn a_line_is_bounded() {
    let directory = Directory::new();
    let mut control = start(&directory).unwrap();
    let mut longest = vec![b' '; LONGEST_REQUEST - HANDOVER.len()];
    longest.extend_from_slice(HANDOVER);
    let client = directory.client(&longest);
    next_request(&mut control).1.send(Response::Handover(nobody())).unwrap();
    assert_eq!(response(client), Response::Handover(nobody()));

    let mut client = directory.client(b"");
    // It may be told before it has written all of that.
    let _ = client.write_all(&vec![b' '; LONGEST_REQUEST]);
    assert_error(client, "longer than 65536 bytes");
}

/// Rule: a client that does not end its line is told so after some seconds, and holds up nobody
/// meanwhile.
#[test]
fn a_slow_client_holds_up_nobody() {
    let directory = Directory::new();
    let mut control = start(&directory).unwrap();
    let slow = directory.client(b"{");
    let start = Instant::now();
    let quick = directory.client(HANDOVER);
    next_request(&mut control).1.send(Response::Handover(nobody())).unwrap();
    assert_eq!(response(quick), Response::Handover(nobody()));
    assert_error(slow, "no whole line came within 5 s");
    assert!(start.elapsed() >= Duration::from_secs(4));
}

/// Rule: there is a bound on the clients that are served at once; one too many is told, and it is
/// served once another one has gone.
#[test]
fn one_client_too_many_is_turned_away() {
    let directory = Directory::new();
    let mut control = start(&directory).unwrap();
    let clients: Vec<_> = (0..CLIENTS).map(|_| directory.client(HANDOVER)).collect();
    let mut asked: Vec<_> = clients.iter().map(|_| next_request(&mut control).1).collect();
    assert_error(UnixStream::connect(directory.socket()).unwrap(), "16 clients are being served");
    asked.pop().unwrap().send(Response::Handover(nobody())).unwrap();
    let start = Instant::now();
    loop {
        let mut client = UnixStream::connect(directory.socket()).unwrap();
        client.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        // It may have been turned away already, or wait for the rest of its line.
        let _ = client.write_all(b"{");
        if client.read(&mut [0]).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
            break;
        }
        assert!(start.elapsed() < BOUND, "still turned away");
    }
}

/// Rule: when vipd stops, whoever waits for an answer hears that there is none, and the socket is
/// removed.
#[test]
fn the_end_is_told_to_those_who_wait() {
    let directory = Directory::new();
    let mut control = start(&directory).unwrap();
    let admitted = directory.client(HANDOVER);
    let (_, reply) = next_request(&mut control);
    control.admit(reply);
    let queued = directory.client(HANDOVER);
    while control.requests.as_ref().unwrap().is_empty() {
        thread::yield_now();
    }
    assert!(control.finish());
    assert_error(admitted, "vipd stopped before it answered");
    assert_error(queued, "vipd stopped before it answered");
    assert!(!directory.socket().exists());
}

/// A snapshot that does not fit into a socket's buffer.
fn long_snapshot() -> Snapshot {
    Snapshot {
        format: Snapshot::FORMAT,
        vipd: String::new(),
        taken: Wall(0),
        started: Wall(0),
        process: 1,
        text: "x".repeat(1024 * 1024),
        status: Status::default(),
        file: FileStatus {
            path: String::new(),
            loaded: Wall(0),
            refused: Vec::new(),
            awaited: Vec::new(),
        },
        protocol_loop: LoopStatus { lateness: Histogram::of_lateness(), held_up: 0 },
        notes: Vec::new(),
        events: Vec::new(),
    }
}

/// Answers everybody who wants to know how it is, until it is over.
fn show(control: &mut Control, over: &AtomicBool) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let snapshot = long_snapshot();
    while !over.load(Ordering::Relaxed) {
        let asked = runtime.block_on(async {
            tokio::time::timeout(Duration::from_millis(20), control.next()).await
        });
        if let Ok(Ok(Asked::Snapshot(reply))) = asked {
            let _ = reply.send(snapshot.clone());
        }
    }
}

/// Bug guarded: clients of the status socket that never read a long snapshot held all its places
/// for 5 s, again and again. Where others wait, they lose them.
#[test]
fn those_who_do_not_read_lose_their_places() {
    let directory = Directory::new();
    let mut control = start(&directory).unwrap();
    let over = AtomicBool::new(false);
    let (length, took) = thread::scope(|scope| {
        scope.spawn(|| show(&mut control, &over));
        let connect = || UnixStream::connect(directory.0.join(STATUS_SOCKET)).unwrap();
        let _idle: Vec<UnixStream> = (0..120).map(|_| connect()).collect();
        let asked = Instant::now();
        let mut honest = connect();
        honest.set_read_timeout(Some(BOUND)).unwrap();
        let mut text = String::new();
        let read = honest.read_to_string(&mut text);
        let took = asked.elapsed();
        over.store(true, Ordering::Relaxed);
        (read.unwrap(), took)
    });
    assert!(length > 1024 * 1024, "{length}");
    // It took two times 5 s before.
    assert!(took < Duration::from_secs(8), "{took:?}");
}

/// Bug guarded: clients that have gone must not fill the protocol loop's memory.
#[test]
fn a_client_that_has_gone_is_forgotten() {
    let mut waiting = Waiting::default();
    let first = waiting.admit(oneshot::channel().0);
    let second = waiting.admit(oneshot::channel().0);
    assert_eq!(waiting.clients.keys().copied().collect::<Vec<_>>(), [second]);
    waiting.answer(first, Answer::Handover(nobody()));
    waiting.answer(second, Answer::Handover(nobody()));
    assert!(waiting.clients.is_empty());
}

/// Rule: a panic of the control thread is told to the protocol loop once, and costs it nothing
/// else.
#[test]
fn a_panic_of_the_thread_is_told_once() {
    let mut control =
        Control::spawn(watch::channel(None).0, watch::channel(Standby::default()).0, |_requests| {
            panic!("a mistake in the thread")
        })
        .unwrap();
    assert!(next(&mut control).is_err());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let again = runtime
        .block_on(async { tokio::time::timeout(Duration::from_millis(10), control.next()).await });
    assert!(again.is_err(), "nothing more is told");
    assert!(control.finish());
}

/// Rule: everybody may connect, whatever the umask, so that who may not ask can be told so; the
/// socket of a dead daemon is replaced.
#[test]
fn a_dead_daemons_socket_is_replaced() {
    let directory = Directory::new();
    fs::create_dir_all(&directory.0).unwrap();
    drop(UnixListener::bind(directory.socket()).unwrap());
    let control = start(&directory).unwrap();
    let mode = fs::metadata(directory.socket()).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o666, "{mode:o}");
    directory.client(HANDOVER);
    assert!(control.finish());
}

/// Rule: what is not a dead daemon's is left alone: a live one's socket, and any other file.
#[test]
fn what_is_not_ours_is_left_alone() {
    let directory = Directory::new();
    let control = start(&directory).unwrap();
    let error = start(&directory).unwrap_err().to_string();
    assert!(error.contains("status.sock: another vipd listens there"), "{error}");
    directory.client(HANDOVER);
    assert!(control.finish());

    fs::write(directory.socket(), "dear diary").unwrap();
    let error = start(&directory).unwrap_err().to_string();
    assert!(error.contains("no socket"), "{error}");
    assert_eq!(fs::read_to_string(directory.socket()).unwrap(), "dear diary");

    fs::remove_file(directory.socket()).unwrap();
    let _other = UnixDatagram::bind(directory.socket()).unwrap();
    assert!(start(&directory).is_err());
    assert!(directory.socket().exists());
}
