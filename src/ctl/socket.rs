//! One request to a daemon, and its answer.

use std::fs;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::{Gid, Group, Uid, User};
use socket2::{Domain, SockAddr, Socket, Type};

use super::exit::Exit;
use super::plain::without_control_characters;
use crate::api::{self, Request};

/// An answer that is longer is none: what a client reads is bounded, too.
pub(super) const LONGEST_ANSWER: u64 = 16 * 1024 * 1024;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// Nobody listens.
    #[error(
        "no vipd answers on {}: {error}\n  \
         is it running on this machine? systemctl status vipd", path.display()
    )]
    NoDaemon {
        /// The socket.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The socket may not be used.
    #[error("{} may not be used by this user, only by {allowed}", path.display())]
    Permission {
        /// The socket.
        path: PathBuf,
        /// Who may.
        allowed: String,
    },
    /// Nothing came in time.
    #[error(
        "vipd did not answer within {} s; it may still do what was asked for: systemctl status \
         vipd, journalctl -u vipd", .0.as_secs()
    )]
    Late(Duration),
    /// It listens, and has said nothing.
    #[error(
        "vipd listens on {} and says nothing: its protocol loop is stuck or far too busy; look at \
         its log (journalctl -u vipd) and at the load of this machine", .0.display()
    )]
    Busy(PathBuf),
    /// What it says is not understood.
    #[error(
        "what vipd says on {} is not understood ({why}); vipd and vipctl should be of one version",
        path.display()
    )]
    NotUnderstood {
        /// The socket.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The connection ended first.
    #[error(
        "vipd ended the connection without an answer ({0}); what has become of the request is in \
         its log: journalctl -u vipd"
    )]
    Ended(io::Error),
}

impl Trouble {
    /// The exit code for it.
    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::NoDaemon { .. } | Self::Busy(_) | Self::Ended(_) => Exit::Unavailable,
            Self::NotUnderstood { .. } => Exit::Protocol,
            Self::Permission { .. } => Exit::Permission,
            Self::Late(_) => Exit::Late,
        }
    }
}

/// Sends a request and returns the line that answers it, without its end. No single wait is longer
/// than `patience`.
///
/// # Errors
/// Why there is no answer.
pub(super) fn ask(path: &Path, request: &Request, patience: Duration) -> Result<String, Trouble> {
    let stream = connect(path, patience).map_err(|error| match error.kind() {
        ErrorKind::PermissionDenied => {
            Trouble::Permission { path: path.to_owned(), allowed: allowed(path) }
        }
        // The queue of clients is full, and nobody works it off.
        ErrorKind::WouldBlock => Trouble::Late(patience),
        _ => Trouble::NoDaemon { path: path.to_owned(), error },
    })?;
    exchange(stream, request).map_err(|error| match error.kind() {
        ErrorKind::WouldBlock => Trouble::Late(patience),
        _ => Trouble::Ended(error),
    })
}

pub(super) fn connect(path: &Path, patience: Duration) -> io::Result<UnixStream> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // This one bounds the wait for the connection, too (`unix(7)`).
    socket.set_write_timeout(Some(patience))?;
    socket.set_read_timeout(Some(patience))?;
    socket.connect(&SockAddr::unix(path)?)?;
    Ok(socket.into())
}

fn exchange(mut stream: UnixStream, request: &Request) -> io::Result<String> {
    match stream.write_all(&api::line(request)?) {
        // It has answered before it has read, that there are too many clients.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
        written => written?,
    }
    let mut answer = String::new();
    BufReader::new(stream.take(LONGEST_ANSWER)).read_line(&mut answer)?;
    match answer.strip_suffix('\n') {
        Some(line) => Ok(without_control_characters(line)),
        None => Err(ErrorKind::UnexpectedEof.into()),
    }
}

/// Who may use the socket, as far as this user can see.
fn allowed(path: &Path) -> String {
    let Ok(metadata) = fs::metadata(path) else {
        return "those who may enter its directory: try it as root, with sudo".to_owned();
    };
    let user = Uid::from_raw(metadata.uid());
    let name = User::from_uid(user).ok().flatten().map_or(user.to_string(), |user| user.name);
    let group = Gid::from_raw(metadata.gid());
    let group_name = Group::from_gid(group).ok().flatten().map_or(group.to_string(), |g| g.name);
    format!("{name} and the members of the group {group_name}: try it with sudo")
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::thread::{self, JoinHandle};

    use super::*;
    use crate::api::Handover;

    const PATIENCE: Duration = Duration::from_secs(30);

    fn request() -> Request {
        Request::Handover(Handover { instance: "web".try_into().unwrap(), to: None })
    }

    /// A socket of the test's own, gone at its end.
    struct Place(PathBuf);

    impl Place {
        fn new(name: &str) -> Self {
            Self(std::env::temp_dir().join(format!("vipctl-{}-{name}", std::process::id())))
        }

        /// A daemon that serves one client.
        fn daemon(&self, serve: impl FnOnce(UnixStream) + Send + 'static) -> JoinHandle<()> {
            let listener = UnixListener::bind(&self.0).unwrap();
            thread::spawn(move || serve(listener.accept().unwrap().0))
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.0);
        }
    }

    /// Rule: one line goes out, one line comes back.
    #[test]
    fn a_request_and_its_answer_are_a_line_each() {
        let place = Place::new("lines");
        let daemon = place.daemon(|mut stream| {
            let mut line = String::new();
            BufReader::new(&stream).read_line(&mut line).unwrap();
            assert_eq!(line, "{\"handover\":{\"instance\":\"web\",\"to\":null}}\n");
            stream.write_all(b"{\"later\":\n").unwrap();
        });
        assert_eq!(ask(&place.0, &request(), PATIENCE).unwrap(), "{\"later\":");
        daemon.join().unwrap();
    }

    /// Rule: where no daemon is, the path is named and where to look.
    #[test]
    fn no_daemon_is_told_with_the_path() {
        let place = Place::new("nobody");
        let trouble = ask(&place.0, &request(), PATIENCE).unwrap_err();
        let text = trouble.to_string();
        assert!(text.contains(place.0.to_str().unwrap()) && text.contains("systemctl"), "{text}");
        assert_eq!(trouble.exit(), Exit::Unavailable);
        drop(UnixListener::bind(&place.0).unwrap());
        assert_eq!(ask(&place.0, &request(), PATIENCE).unwrap_err().exit(), Exit::Unavailable);
    }

    /// Rule: a daemon that says nothing is not waited for for ever, and one that ends in the
    /// middle of its answer has not answered.
    #[test]
    fn no_answer_is_told() {
        let place = Place::new("silent");
        let _listener = UnixListener::bind(&place.0).unwrap();
        let trouble = ask(&place.0, &request(), Duration::from_millis(50)).unwrap_err();
        assert_eq!(trouble.exit(), Exit::Late, "{trouble}");

        let place = Place::new("half");
        let daemon = place.daemon(|mut stream| {
            BufReader::new(&stream).read_line(&mut String::new()).unwrap();
            stream.write_all(b"{\"error\":").unwrap();
        });
        let trouble = ask(&place.0, &request(), PATIENCE).unwrap_err();
        assert!(matches!(trouble, Trouble::Ended(_)), "{trouble}");
        daemon.join().unwrap();
    }

    /// Rule: who may use the socket is named by user and group.
    #[test]
    fn those_who_may_are_named() {
        let place = Place::new("allowed");
        let _listener = UnixListener::bind(&place.0).unwrap();
        let text = allowed(&place.0);
        let own = User::from_uid(Uid::effective()).unwrap().unwrap().name;
        assert!(text.starts_with(&format!("{own} and the members of the group ")), "{text}");
        assert!(allowed(Path::new("/nonexistent/control.sock")).contains("directory"));
    }
}
