//! One exchange of HTTP with a server (RFC 9110, RFC 9112), over a connection that ends with it.

use std::pin::pin;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::handshake;
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, USER_AGENT};
use hyper::http::request::Builder;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use url::{Host, Position, Url};

use super::connect::{self, Stream};
use super::tls::{self, Trust};
use super::{Doing, words};
use crate::model::HostPort;

/// What we call ourselves in the server's log.
const AGENT: &str = concat!("vipd/", env!("CARGO_PKG_VERSION"));

/// What is sent.
pub(crate) type Message = Request<Full<Bytes>>;

/// Posts JSON once; any status of success will do (RFC 9110 section 15.3).
pub(crate) async fn post(url: &str, json: String, doing: &Doing) -> Result<String, String> {
    let url = parsed(url)?;
    let stream = connection(&url, None, Trust::System, doing).await?;
    let message = message("POST", &url, None).header(CONTENT_TYPE, "application/json");
    let message = message.body(Full::from(json)).map_err(|error| unaskable(&url, &error))?;
    let status = |response: Response<Incoming>| async move { Ok(response.status()) };
    let status = converse(&url, stream, message, doing, status).await?;
    let said = format!("HTTP {} from {}", status.as_u16(), shown(&url));
    if status.is_success() { Ok(said) } else { Err(said) }
}

/// What is wrong with a URL to ask this of that no server has to be asked about.
///
/// # Errors
/// What is wrong, for people.
pub(crate) fn usable(method: &str, url: &str, host: Option<&str>) -> Result<(), String> {
    let url = parsed(url)?;
    let name = name(&url, host)?;
    if url.scheme() == "https" {
        tls::server(&name)?;
    }
    let message = message(method, &url, host).body(());
    message.map(|_| ()).map_err(|error| unaskable(&url, &error))
}

/// A connection to the server of a URL, with TLS where the URL says so.
pub(crate) async fn connection(
    url: &Url,
    host: Option<&str>,
    trust: Trust<'_>,
    doing: &Doing,
) -> Result<Box<dyn Stream>, String> {
    let port = url.port_or_known_default().unwrap_or_default();
    let stream = connect::tcp(&HostPort { host: name(url, None)?, port }, doing).await?;
    if url.scheme() != "https" {
        return Ok(Box::new(stream));
    }
    let stream = tls::wrap(stream, &name(url, host)?, trust, doing).await;
    Ok(Box::new(stream.map_err(|why| format!("{}: {why}", shown(url)))?))
}

/// Sends a message over a fresh connection, and takes in the answer.
pub(crate) async fn converse<T, F: Future<Output = Result<T, hyper::Error>>>(
    url: &Url,
    stream: Box<dyn Stream>,
    message: Message,
    doing: &Doing,
    read: impl FnOnce(Response<Incoming>) -> F,
) -> Result<T, String> {
    doing.set(format!("waiting for the answer from {}", shown(url)));
    let failed = |error: hyper::Error| format!("{}: {}", shown(url), words_of(&error));
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(failed)?;
    let mut exchange = pin!(async move { read(sender.send_request(message).await?).await });
    // The connection works while the exchange waits. Once it has ended, the exchange has all that
    // will ever come, and says so.
    tokio::select! {
        biased;
        answer = &mut exchange => answer.map_err(failed),
        _ = connection => exchange.await.map_err(failed),
    }
}

/// A message without its body. `host` stands for the server where the URL's name does not.
pub(crate) fn message(method: &str, url: &Url, host: Option<&str>) -> Builder {
    Request::builder()
        .method(method)
        .uri(&url[Position::BeforePath..Position::AfterQuery])
        .header(HOST, host.unwrap_or(&url[Position::BeforeHost..Position::AfterPort]))
        .header(USER_AGENT, AGENT)
        .header(CONNECTION, "close")
}

/// What to say of a message that cannot be put together.
pub(crate) fn unaskable(url: &Url, error: &hyper::http::Error) -> String {
    format!("{} cannot be asked for: {error}", shown(url))
}

/// The server's name or address: that of the URL, where nothing else is said.
pub(crate) fn name(url: &Url, host: Option<&str>) -> Result<String, String> {
    match (host, url.host()) {
        (Some(host), _) => Ok(without_port(host).to_owned()),
        (None, Some(Host::Domain(name))) => Ok(name.to_owned()),
        (None, Some(Host::Ipv4(address))) => Ok(address.to_string()),
        (None, Some(Host::Ipv6(address))) => Ok(address.to_string()),
        (None, None) => Err(format!("{} names no host", shown(url))),
    }
}

/// The URL, or what is wrong with it.
/// It is not repeated where it cannot be used: its query may hold a token.
pub(crate) fn parsed(url: &str) -> Result<Url, String> {
    Url::parse(url).map_err(|error| format!("the url cannot be used: {error}"))
}

/// As people may read it: a query can hold a token, and a user a password.
pub(crate) fn shown(url: &Url) -> String {
    let scheme = url.scheme();
    format!("{scheme}://{}", &url[Position::BeforeHost..Position::AfterPath])
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

fn words_of(error: &hyper::Error) -> String {
    if error.is_incomplete_message() {
        "closed the connection before it had answered".to_owned()
    } else if error.is_parse() {
        format!("answers with what is no HTTP ({error})")
    } else {
        words::chain(error)
    }
}
