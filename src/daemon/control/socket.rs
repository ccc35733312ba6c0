//! A socket as a file: made with its permissions, a dead daemon's one replaced, removed
//! at the end.

use std::io::{self, ErrorKind};
use std::os::unix::net::UnixListener;

use socket2::{Domain, SockAddr, Socket, Type};

use super::super::directory::Directory;

/// Who may connect, which takes the right to write: everybody. Who may ask for something is decided
/// by the client's credentials, so that the others can be told why not.
const MODE: u32 = 0o666;

/// How many clients the kernel lets wait.
const BACKLOG: i32 = 128;

/// A listening socket whose file goes with it.
#[derive(Debug)]
pub(super) struct Listening {
    pub(super) listener: UnixListener,
    directory: Directory,
    name: &'static str,
}

impl Listening {
    /// Listens in a directory; never waits.
    ///
    /// # Errors
    /// What the system says, with the path.
    pub(super) fn start(directory: &Directory, name: &'static str) -> io::Result<Self> {
        let listener =
            clear(directory, name).and_then(|()| listen(directory, name)).map_err(|error| {
                let path = directory.path().join(name);
                io::Error::new(error.kind(), format!("{}: {error}", path.display()))
            })?;
        Ok(Self { listener, directory: directory.clone(), name })
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        // What cannot be removed is cleared by the next daemon.
        let _ = self.directory.remove(self.name);
    }
}

fn listen(directory: &Directory, name: &str) -> io::Result<UnixListener> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
    socket.bind(&SockAddr::unix(directory.path().join(name))?)?;
    // The umask has taken from it.
    directory.open_socket_to(name, MODE)?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Removes the socket of a daemon that is dead, and nothing else.
fn clear(directory: &Directory, name: &str) -> io::Result<()> {
    match directory.is_socket(name)? {
        None => return Ok(()),
        Some(false) => {
            return Err(io::Error::new(
                ErrorKind::AlreadyExists,
                "there is a file that is no socket",
            ));
        }
        Some(true) => {}
    }
    // Nobody listens: refused. A full queue of clients is somebody, too.
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
    match socket.connect(&SockAddr::unix(directory.path().join(name))?) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => directory.remove(name),
        Ok(()) => Err(in_use()),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Err(in_use()),
        Err(error) => Err(error),
    }
}

fn in_use() -> io::Error {
    io::Error::new(ErrorKind::AddrInUse, "another vipd listens there")
}
