//! `http`: a web server answers (RFC 9110, RFC 9112).
//!
//! hyper alone, without reqwest around it: a look has one connection, no pool, no proxy from the
//! environment and no cookies, and hyper leaves the connection to us, so that it ends with the look
//! and a server that has restarted is noticed.

use std::time::Instant;

use http_body_util::{BodyExt, Full};
use hyper::Response;
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::LOCATION;
use url::Url;

use crate::daemon::outside::http::{connection, converse, message, parsed, shown, unaskable};
use crate::daemon::outside::tls::Trust;
use crate::daemon::outside::{self, Doing, words};
use crate::engine::ProbeResult;
use crate::model::{HttpMethod, HttpProbe};

/// So much of a body is searched: a health page is short, and a download is not read to its end.
const SEARCHED: usize = 1 << 20;

/// How many redirections are followed, as `docs/configuration.md` says.
const REDIRECTIONS: usize = 10;

/// What a server answered.
struct Reply {
    status: u16,
    /// Where it sends us instead.
    location: Option<String>,
    /// Whether the text stands in the body; `None` where it was not read.
    has_text: Option<bool>,
}

/// Asks once.
pub(crate) async fn look(probe: &HttpProbe, doing: &Doing) -> ProbeResult {
    words::answer(ask(probe, doing).await)
}

/// What is wrong with a check that no server has to be asked about.
///
/// # Errors
/// What is wrong, for people.
pub(crate) fn usable(probe: &HttpProbe) -> Result<(), String> {
    outside::http::usable(method(probe), &probe.url, probe.host.as_deref())
}

async fn ask(probe: &HttpProbe, doing: &Doing) -> Result<String, String> {
    let began = Instant::now();
    let first = parsed(&probe.url)?;
    let mut url = first.clone();
    for _ in 0..=REDIRECTIONS {
        // Another server than the one that was asked for has its own name.
        let host = probe.host.as_deref().filter(|_| url.origin() == first.origin());
        let reply = request(probe, &url, host, doing).await?;
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
async fn request(
    probe: &HttpProbe,
    url: &Url,
    host: Option<&str>,
    doing: &Doing,
) -> Result<Reply, String> {
    let trust = match &probe.ca {
        _ if !probe.verify => Trust::Anyone,
        Some(path) => Trust::File(path),
        None => Trust::System,
    };
    let stream = connection(url, host, trust, doing).await?;
    let message = message(method(probe), url, host).body(Full::default());
    let message = message.map_err(|error| unaskable(url, &error))?;
    converse(url, stream, message, doing, |response| read(probe, response)).await
}

fn method(probe: &HttpProbe) -> &'static str {
    match probe.method {
        HttpMethod::Get => "GET",
        HttpMethod::Head => "HEAD",
    }
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

fn redirected(from: &Url, location: &str) -> Result<Url, String> {
    match from.join(location) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(url),
        Ok(url) => Err(format!("{} redirects to '{}:'", shown(from), url.scheme())),
        Err(error) => Err(format!("{} redirects to no URL: {error}", shown(from))),
    }
}
