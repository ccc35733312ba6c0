//! Processes, by the kernel's process events connector (Linux' `linux/cn_proc.h` and
//! `Documentation/driver-api/connector.rst`). It tells only who has `CAP_NET_ADMIN` in the
//! machine's first user, process and network namespaces; elsewhere it keeps silent, so that its
//! answer to the subscription is waited for.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use netlink_proto::sys::{AsyncSocket as _, SocketAddr, TokioSocket};
use tokio::time::timeout;

use super::stir::{Stir, Wanted};
use crate::daemon::probe::desk::Desks;
use crate::daemon::probe::process::is_one;
use crate::model::{ProcessProbe, TrackName};

/// `NETLINK_CONNECTOR` (`netlink(7)`).
const CONNECTOR: isize = 11;

/// `CN_IDX_PROC` and `CN_VAL_PROC`: whose messages these are, and the multicast group.
const IDENTITY: [u32; 2] = [1, 1];

/// `PROC_CN_MCAST_LISTEN`.
const LISTEN: u32 = 1;

/// The length of `struct nlmsghdr` and `struct cn_msg`; what follows is a `struct proc_event`.
const NETLINK_HEADER: usize = 16;
const CONNECTOR_HEADER: usize = 20;
const EVENT_AT: usize = NETLINK_HEADER + CONNECTOR_HEADER;

/// Where the event's own fields are in a `struct proc_event`, after its kind, its processor and its
/// time.
const FIELDS_AT: usize = EVENT_AT + 16;

/// `PROC_EVENT_*`: the answer to the subscription, and what stirs a check.
const NONE: u32 = 0;
const EXEC: u32 = 2;
const NAME: u32 = 0x200;
const EXIT: u32 = 0x8000_0000;

/// How long the answer to the subscription may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// The longest message: a header and a `struct proc_event`, with room to grow.
const LONGEST: usize = 256;

/// The kernel's buffer for events in bytes.
const BUFFER: usize = 1 << 20;

/// Watches until something fails; says what.
pub(super) async fn watch(
    wanted: Wanted<ProcessProbe>,
    stir: Stir,
    desks: Arc<Desks>,
) -> io::Error {
    let socket = match subscribe().await {
        Ok(socket) => socket,
        Err(error) => return error,
    };
    loop {
        let tracks = match receive(&socket).await {
            Ok(message) => match event(&message) {
                Some(event) => about(&wanted, &desks, event),
                None => continue,
            },
            // More events than could be read.
            Err(error) if error.raw_os_error() == Some(nix::libc::ENOBUFS) => {
                wanted.iter().map(|(track, _)| track.clone()).collect()
            }
            Err(error) => return error,
        };
        stir.all(tracks).await;
    }
}

/// Something that happened to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    /// The kernel takes the subscription, or says with this number why not.
    Subscribed(u32),
    /// It became another program, or has another name.
    Became(u32),
    /// It ended.
    Ended(u32),
}

async fn subscribe() -> io::Result<TokioSocket> {
    let mut socket = TokioSocket::new(CONNECTOR)?;
    // The administrator's limit may be lower; events that do not fit are noticed.
    let _ = socket.socket_ref().set_rx_buf_sz(i32::try_from(BUFFER).unwrap_or(i32::MAX));
    let [group, _] = IDENTITY;
    socket.socket_mut().bind(&SocketAddr::new(0, group))?;
    socket.socket_ref().send_to(&subscription(), &SocketAddr::new(0, 0), 0)?;
    let answer = async {
        loop {
            if let Some(Event::Subscribed(error)) = event(&receive(&socket).await?) {
                return match error {
                    0 => Ok(()),
                    number => Err(io::Error::from_raw_os_error(number.cast_signed())),
                };
            }
        }
    };
    timeout(PATIENCE, answer)
        .await
        .map_err(|_| io::Error::other("only outside of containers, with CAP_NET_ADMIN"))??;
    Ok(socket)
}

/// A `struct nlmsghdr`, a `struct cn_msg` and the operation, in the machine's byte order.
fn subscription() -> Vec<u8> {
    const DONE: u16 = 3;
    const OPERATION: u16 = 4;
    const LENGTH: u32 = 40;
    let [index, value] = IDENTITY;
    let mut message = Vec::new();
    message.extend(LENGTH.to_ne_bytes());
    message.extend(DONE.to_ne_bytes());
    message.extend([0; 10]);
    message.extend(index.to_ne_bytes());
    message.extend(value.to_ne_bytes());
    message.extend([0; 8]);
    message.extend(OPERATION.to_ne_bytes());
    message.extend([0; 2]);
    message.extend(LISTEN.to_ne_bytes());
    message
}

async fn receive(socket: &TokioSocket) -> io::Result<Vec<u8>> {
    let mut message = Vec::with_capacity(LONGEST);
    poll_fn(|context| socket.poll_recv(context, &mut message)).await?;
    Ok(message)
}

/// What a message says; `None`: nothing that stirs a check. Threads come and go unheard.
fn event(message: &[u8]) -> Option<Event> {
    if [word(message, NETLINK_HEADER)?, word(message, NETLINK_HEADER + 4)?] != IDENTITY {
        return None;
    }
    let (thread, process) = (word(message, FIELDS_AT)?, word(message, FIELDS_AT + 4));
    match word(message, EVENT_AT)? {
        NONE => Some(Event::Subscribed(thread)),
        EXEC | NAME => process.map(Event::Became),
        EXIT if process == Some(thread) => Some(Event::Ended(thread)),
        _ => None,
    }
}

fn word(message: &[u8], at: usize) -> Option<u32> {
    message.get(at..)?.first_chunk::<4>().map(|bytes| u32::from_ne_bytes(*bytes))
}

/// The checks that an event is about: those whose process has ended, and those that have none and
/// may have found one.
fn about(wanted: &[(TrackName, ProcessProbe)], desks: &Desks, event: Event) -> BTreeSet<TrackName> {
    wanted
        .iter()
        .filter(|(track, probe)| {
            let known = desks.of(track).process.load(Ordering::Relaxed);
            match event {
                Event::Subscribed(_) => false,
                Event::Ended(number) => number == known,
                Event::Became(number) => number == known || known == 0 && is_one(probe, number),
            }
        })
        .map(|(track, _)| track.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use tokio::sync::mpsc;

    use super::*;
    use crate::daemon::netlink::News;
    use crate::engine::Input;

    fn message(kind: u32, fields: [u32; 2]) -> Vec<u8> {
        let mut message = vec![0; NETLINK_HEADER];
        message.extend(IDENTITY.iter().flat_map(|word| word.to_ne_bytes()));
        message.extend([0; CONNECTOR_HEADER - 8]);
        message.extend(kind.to_ne_bytes());
        message.extend([0; 12]);
        message.extend(fields.iter().flat_map(|word| word.to_ne_bytes()));
        message
    }

    /// Rule: the end of a thread is not the end of its process; a message that is cut short, or is
    /// somebody else's, says nothing.
    #[test]
    fn messages() {
        assert_eq!(event(&message(NONE, [1, 0])), Some(Event::Subscribed(1)));
        assert_eq!(event(&message(EXEC, [8, 7])), Some(Event::Became(7)));
        assert_eq!(event(&message(EXIT, [7, 7])), Some(Event::Ended(7)));
        assert_eq!(event(&message(EXIT, [8, 7])), None);
        let whole = message(EXIT, [7, 7]);
        assert!((0..whole.len()).all(|length| event(&whole[..length]).is_none()));
        let mut other = whole;
        other[NETLINK_HEADER] = 9;
        assert_eq!(event(&other), None);
    }

    /// Rule: where the kernel tells, a process that begins or ends stirs its check.
    #[test]
    fn a_real_process_stirs() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            if let Err(why) = subscribe().await {
                eprintln!("not told here: {why}");
                return;
            }
            let track = TrackName::try_from("sleep").unwrap();
            let probe = ProcessProbe::CommandLine("1000.1875".to_owned());
            let desks = Arc::new(Desks::default());
            let (news, mut heard) = mpsc::channel(64);
            tokio::spawn(watch(vec![(track.clone(), probe)], Stir(news), Arc::clone(&desks)));
            let mut stirs = async || {
                let news = timeout(PATIENCE * 5, heard.recv()).await.unwrap().unwrap();
                assert!(matches!(news, News::Input(Input::Stirred { .. })), "{news:?}");
            };
            tokio::time::sleep(Duration::from_millis(100)).await;
            let mut child = Command::new("sleep").arg("1000.1875").spawn().unwrap();
            stirs().await;
            desks.of(&track).process.store(child.id(), Ordering::Relaxed);
            child.kill().unwrap();
            stirs().await;
            child.wait().unwrap();
        });
    }
}
