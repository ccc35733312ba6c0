//! Connections to servers, by address, name or path.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
#[cfg(feature = "postgres")]
use std::path::Path;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
#[cfg(feature = "postgres")]
use tokio::net::UnixStream;

use super::{Aside, Doing, words};
use crate::model::HostPort;

/// A connection of any kind.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Connects to the first address of a host that takes it, in the resolver's order.
///
/// # Errors
/// Why the last of them did not, for people.
pub(crate) async fn tcp(to: &HostPort, doing: &Doing) -> Result<TcpStream, String> {
    let mut why = format!("{} has no address", to.host);
    for address in addresses(to, doing).await? {
        doing.set(format!("connecting to {address}"));
        match TcpStream::connect(address).await {
            Ok(stream) => {
                // Requests are whole when they are written.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(error) => why = refusal(&error, &address.to_string()),
        }
    }
    Err(why)
}

/// Connects to a Unix socket.
///
/// # Errors
/// Why not, for people.
#[cfg(feature = "postgres")]
pub(crate) async fn unix(path: &Path, doing: &Doing) -> Result<UnixStream, String> {
    doing.set(format!("connecting to {}", path.display()));
    UnixStream::connect(path).await.map_err(|error| refusal(&error, &path.display().to_string()))
}

/// The addresses of a host: itself where it is one, or what the resolver says.
///
/// # Errors
/// What the resolver says.
pub(crate) async fn addresses(of: &HostPort, doing: &Doing) -> Result<Vec<SocketAddr>, String> {
    let HostPort { host, port } = of;
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, *port)]);
    }
    doing.set(format!("looking up {host}"));
    let asked = (host.clone(), *port);
    let found = Aside::shared(host).run(move || Ok(asked.to_socket_addrs()?.collect())).await;
    found.map_err(|error| format!("{host} cannot be looked up: {}", resolver(&error)))
}

/// Why a server did not take a connection.
pub(crate) fn refusal(error: &io::Error, server: &str) -> String {
    match error.kind() {
        ErrorKind::ConnectionRefused => format!("connection refused by {server}"),
        _ => format!("{server}: {}", words::system(error)),
    }
}

/// Why a connection that stood has failed.
pub(crate) fn loss(error: &io::Error, server: &str) -> String {
    match error.kind() {
        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
            format!("{server} closed the connection before it had answered")
        }
        _ => format!("{server}: {}", words::system(error)),
    }
}

/// Without the words that the standard library puts before those of `getaddrinfo`.
fn resolver(error: &io::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(": ").map_or(text.clone(), |(_, why)| why.to_owned())
}
