//! `http`: a web server answers (RFC 9110, RFC 9112).
//!
//! hyper alone, without reqwest around it: a look has one connection, no pool, no proxy from the
//! environment and no cookies, and hyper leaves the connection to us, so that it ends with the look
//! and a server that has restarted is noticed.

use std::pin::pin;
use std::time::Instant;

use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Bytes, Incoming};
use hyper::client::conn::http1::handshake;
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, LOCATION, USER_AGENT};
use hyper::http::request::Builder;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use url::{Host, Position, Url};

use super::connect::{self, Stream};
use super::tls::{self, Trust};
use super::words;
use crate::engine::ProbeResult;
use crate::model::{HostPort, HttpMethod, HttpProbe};

/// So much of a body is searched: a health page is short, and a download is not read to its end.
const SEARCHED: usize = 1 << 20;

/// How many redirections are followed, as `docs/configuration.md` says.
const REDIRECTIONS: usize = 10;

/// What we call ourselves in the server's log.
const AGENT: &str = concat!("vipd/", env!("CARGO_PKG_VERSION"));

type Message = Request<Full<Bytes>>;

/// What a server answered.
struct Reply {
    status: u16,
    /// Where it sends us instead.
    location: Option<String>,
    /// Whether the text stands in the body; `None` where it was not read.
    has_text: Option<bool>,
}

/// Asks once.
pub(crate) async fn look(probe: &HttpProbe) -> ProbeResult {
    words::answer(ask(probe).await)
}

/// What is wrong with a check that no server has to be asked about.
///
/// # Errors
/// What is wrong, for people.
pub(crate) fn usable(probe: &HttpProbe) -> Result<(), String> {
    let url = parsed(&probe.url)?;
    let name = name(&url, probe.host.as_deref())?;
    if url.scheme() == "https" {
        tls::server(&name)?;
    }
    let message = message(method(probe), &url, probe.host.as_deref()).body(());
    message.map(|_| ()).map_err(|error| unaskable(&url, &error))
}

async fn ask(probe: &HttpProbe) -> Result<String, String> {
    let began = Instant::now();
    let first = parsed(&probe.url)?;
    let mut url = first.clone();
    for _ in 0..=REDIRECTIONS {
        // Another server than the one that was asked for has its own name.
        let host = probe.host.as_deref().filter(|_| url.origin() == first.origin());
        let reply = request(probe, &url, host).await?;
        let Some(location) = reply.location.filter(|_| probe.follow_redirects) else {
            judge(probe, &url, reply.status, reply.has_text)?;
            let millis = began.elapsed().as_millis();
            return Ok(format!("HTTP {} in {millis} ms", reply.status));
        };
        url = redirected(&url, &location)?;
    }
    Err(format!("more than {REDIRECTIONS} redirections, from {}", shown(&first)))
}

fn judge(probe: &HttpProbe, url: &Url, status: u16, has_text: Option<bool>) -> Result<(), String> {
    if !passes(probe, status) {
        return Err(format!("HTTP {status} from {}", shown(url)));
    }
    match (&probe.body, has_text) {
        (Some(text), Some(false)) => {
            Err(format!("HTTP {status} without '{}' in it, from {}", text, shown(url)))
        }
        _ => Ok(()),
    }
}

fn passes(probe: &HttpProbe, status: u16) -> bool {
    probe.status.iter().any(|range| range.contains(status))
}

/// Connects, asks one server once, and disconnects.
async fn request(probe: &HttpProbe, url: &Url, host: Option<&str>) -> Result<Reply, String> {
    let trust = match &probe.ca {
        _ if !probe.verify => Trust::Anyone,
        Some(path) => Trust::File(path),
        None => Trust::System,
    };
    let stream = connection(url, host, trust).await?;
    let message = message(method(probe), url, host).body(Full::default());
    let message = message.map_err(|error| unaskable(url, &error))?;
    converse(url, stream, message, |response| read(probe, response)).await
}

/// Posts JSON once; any status of success will do (RFC 9110 section 15.3).
pub(crate) async fn post(url: &str, json: String) -> Result<String, String> {
    let url = Url::parse(url).map_err(|error| format!("{url}: {error}"))?;
    let stream = connection(&url, None, Trust::System).await?;
    let message = message("POST", &url, None).header(CONTENT_TYPE, "application/json");
    let message = message.body(Full::from(json)).map_err(|error| unaskable(&url, &error))?;
    let status = |response: Response<Incoming>| async move { Ok(response.status()) };
    let status = converse(&url, stream, message, status).await?;
    let said = format!("HTTP {} from {}", status.as_u16(), shown(&url));
    if status.is_success() { Ok(said) } else { Err(said) }
}

/// Sends a message over a fresh connection, and takes in the answer.
async fn converse<T, F: Future<Output = Result<T, hyper::Error>>>(
    url: &Url,
    stream: Box<dyn Stream>,
    message: Message,
    read: impl FnOnce(Response<Incoming>) -> F,
) -> Result<T, String> {
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

/// A connection to the server of a URL, with TLS where the URL says so.
async fn connection(
    url: &Url,
    host: Option<&str>,
    trust: Trust<'_>,
) -> Result<Box<dyn Stream>, String> {
    let port = url.port_or_known_default().unwrap_or_default();
    let stream = connect::tcp(&HostPort { host: name(url, None)?, port }).await?;
    if url.scheme() != "https" {
        return Ok(Box::new(stream));
    }
    let stream = tls::wrap(stream, &name(url, host)?, trust).await;
    Ok(Box::new(stream.map_err(|why| format!("{}: {why}", shown(url)))?))
}

/// The server's name or address: that of the URL, where nothing else is said.
fn name(url: &Url, host: Option<&str>) -> Result<String, String> {
    match (host, url.host()) {
        (Some(host), _) => Ok(without_port(host).to_owned()),
        (None, Some(Host::Domain(name))) => Ok(name.to_owned()),
        (None, Some(Host::Ipv4(address))) => Ok(address.to_string()),
        (None, Some(Host::Ipv6(address))) => Ok(address.to_string()),
        (None, None) => Err(format!("{} names no host", shown(url))),
    }
}

fn method(probe: &HttpProbe) -> &'static str {
    match probe.method {
        HttpMethod::Get => "GET",
        HttpMethod::Head => "HEAD",
    }
}

fn message(method: &str, url: &Url, host: Option<&str>) -> Builder {
    Request::builder()
        .method(method)
        .uri(&url[Position::BeforePath..Position::AfterQuery])
        .header(HOST, host.unwrap_or(&url[Position::BeforeHost..Position::AfterPort]))
        .header(USER_AGENT, AGENT)
        .header(CONNECTION, "close")
}

fn unaskable(url: &Url, error: &hyper::http::Error) -> String {
    format!("{} cannot be asked for: {error}", shown(url))
}

async fn read(probe: &HttpProbe, response: Response<Incoming>) -> Result<Reply, hyper::Error> {
    let status = response.status().as_u16();
    let location = location(&response);
    let text = probe.body.as_ref().filter(|_| passes(probe, status));
    let has_text = match text {
        Some(text) => Some(contains(response.into_body(), text.as_bytes()).await?),
        None => None,
    };
    Ok(Reply { status, location, has_text })
}

/// Where a redirection leads (RFC 9110 section 15.4).
fn location(response: &Response<Incoming>) -> Option<String> {
    let to = response.headers().get(LOCATION)?;
    let is_one = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
    is_one.then(|| String::from_utf8_lossy(to.as_bytes()).into_owned())
}

/// Whether a text stands in the first [`SEARCHED`] bytes of a body. It is read no further than that
/// needs.
async fn contains<B: Body<Data = Bytes> + Unpin>(
    mut body: B,
    text: &[u8],
) -> Result<bool, B::Error> {
    let mut read: Vec<u8> = Vec::new();
    while read.len() < SEARCHED
        && let Some(frame) = body.frame().await
    {
        let Ok(data) = frame?.into_data() else { continue };
        // The text may have begun in what came before.
        let from = read.len().saturating_sub(text.len());
        read.extend(data.iter().take(SEARCHED - read.len()));
        if read.get(from..).is_some_and(|new| new.windows(text.len()).any(|part| part == text)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// It is not repeated where it cannot be used: its query may hold a token.
fn parsed(url: &str) -> Result<Url, String> {
    Url::parse(url).map_err(|error| format!("the url cannot be used: {error}"))
}

fn redirected(from: &Url, location: &str) -> Result<Url, String> {
    match from.join(location) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(url),
        Ok(url) => Err(format!("{} redirects to '{}:'", shown(from), url.scheme())),
        Err(error) => Err(format!("{} redirects to no URL: {error}", shown(from))),
    }
}

/// As people may read it: a query can hold a token, and a user a password.
fn shown(url: &Url) -> String {
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
