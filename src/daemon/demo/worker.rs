//! Threads that do nothing but traffic: what they do must not wait for the terminal.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use socket2::{Domain, Protocol, Socket, Type};

/// Room for what arrives while a busy machine lets nobody read. The kernel may grant less.
const BUFFER: usize = 1 << 20;

/// A thread that is told to end, and waited for, when this is dropped.
#[derive(Debug)]
pub(super) struct Worker {
    running: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Starts a thread of that name. The work should end soon after [`goes_on`] has said so.
    pub(super) fn start(
        name: &str,
        work: impl FnOnce(&AtomicBool) + Send + 'static,
    ) -> io::Result<Self> {
        let running = Arc::new(AtomicBool::new(true));
        let told = running.clone();
        let thread = std::thread::Builder::new().name(name.to_owned());
        let thread = thread.spawn(move || work(&told))?;
        Ok(Self { running, thread: Some(thread) })
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.running.store(false, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic in there has been written to standard error already.
            let _ = thread.join();
        }
    }
}

/// Whether a worker has not been told to end.
pub(super) fn goes_on(running: &AtomicBool) -> bool {
    running.load(Ordering::Relaxed)
}

/// A UDP socket of this thread's network namespace.
pub(super) fn datagram_socket() -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_recv_buffer_size(BUFFER)?;
    Ok(socket)
}
