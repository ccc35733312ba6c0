//! Connections, and what bounds them: how many, how slow, how long.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::http::{Site, router};

/// How many connections there may be; others wait in the kernel's queue.
const CONNECTIONS: usize = 256;

/// How long a client may take to send a request, and may stay without sending one.
const REQUEST: Duration = Duration::from_secs(5);

/// How long what was written may wait for a client that does not read (`TCP_USER_TIMEOUT`,
/// `tcp(7)`).
const READING: Duration = Duration::from_secs(20);

/// The longest request line with its headers, in bytes.
const LONGEST_REQUEST: usize = 16 * 1024;

/// After this time a connection takes no further request: a client connects anew.
const REUSE: Duration = Duration::from_secs(300);

/// After this time more, what it does is broken off. Longer than any listener of `/events` stays.
const ENDING: Duration = Duration::from_secs(3600);

/// How long to wait where the system has no room for a connection, before trying again.
const NO_ROOM: Duration = Duration::from_millis(200);

/// Serves all listeners, for ever.
pub(super) async fn run(listeners: Vec<TcpListener>, site: Site) {
    let site = Arc::new(site);
    let router = router(Arc::clone(&site));
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { site.keep_informed().await });
    for listener in listeners {
        tasks.spawn(accept(listener, router.clone(), Arc::clone(&places)));
    }
    tasks.join_all().await;
}

async fn accept(listener: TcpListener, router: Router, places: Arc<Semaphore>) {
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(connection(stream, router.clone(), place));
            }
            Err(error) => {
                eprintln!("vipctl: no connection can be taken: {error}");
                sleep(NO_ROOM).await;
            }
        }
    }
}

/// Serves one client. Whatever goes wrong with it is the client's affair.
async fn connection(stream: TcpStream, router: Router, _place: OwnedSemaphorePermit) {
    let socket = SockRef::from(&stream);
    // Both only make it better.
    let _ = socket.set_tcp_user_timeout(Some(READING));
    let _ = socket.set_tcp_nodelay(true);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST)
        .max_buf_size(LONGEST_REQUEST)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = pin!(connection);
    if timeout(REUSE, connection.as_mut()).await.is_err() {
        connection.as_mut().graceful_shutdown();
        let _ = timeout(ENDING, connection).await;
    }
}
