//! What the nodes serve behind the address that moves: their names.

use std::io;
use std::net::UdpSocket;
use std::time::Duration;

use super::cast::{Node, SERVICE};
use super::worker::{Worker, datagram_socket, goes_on};

/// How soon the server notices that it should end.
const GLANCE: Duration = Duration::from_millis(50);

/// Answers each datagram in this thread's network namespace with its number and the node's
/// name. The socket is bound to the virtual address also while the node does not hold it, as any
/// server behind one may be.
pub(super) fn start(node: Node) -> io::Result<Worker> {
    let socket = datagram_socket()?;
    socket.set_freebind_v4(true)?;
    socket.bind(&SERVICE.into())?;
    socket.set_read_timeout(Some(GLANCE))?;
    let socket = UdpSocket::from(socket);
    Worker::start(node.name(), move |running| {
        while goes_on(running) {
            answer(node, &socket);
        }
    })
}

fn answer(node: Node, socket: &UdpSocket) {
    let mut bytes = [0; 64];
    let Ok((_, client)) = socket.recv_from(&mut bytes) else { return };
    let Some(number) = bytes.first_chunk::<8>() else { return };
    let answer = [number.as_slice(), node.name().as_bytes()].concat();
    // A client that is gone is no concern of the server.
    let _ = socket.send_to(&answer, client);
}
