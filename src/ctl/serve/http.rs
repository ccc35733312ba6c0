//! What is answered where. Nothing can be changed from here: there is only GET (and HEAD).

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response, Sse};
use axum::routing::get;

use super::feed::Feed;
use super::names::Names;
use super::page::{PAGE, POLICY};
use super::source::Source;
use crate::api;
use crate::engine::story::StateName;
use crate::metrics::{OPENMETRICS_TYPE, PROMETHEUS_TYPE, openmetrics, prometheus_text};

const TEXT: &str = "text/plain; charset=utf-8";

/// What all answers are made of.
#[derive(Debug)]
pub(super) struct Site {
    source: Source,
    feed: Feed,
    names: Names,
}

impl Site {
    /// The daemon with this runtime directory, under these names.
    pub(super) fn new(runtime_directory: PathBuf, names: Names) -> Self {
        Self { source: Source::new(runtime_directory), feed: Feed::new(), names }
    }

    /// Keeps the listeners of `/events` informed, for ever.
    pub(super) async fn keep_informed(&self) {
        self.feed.run(&self.source).await;
    }
}

pub(super) fn router(site: Arc<Site>) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/ready/{instance}", get(ready))
        .route("/status", get(status))
        .route("/events", get(events))
        .fallback(nothing)
        .layer(from_fn_with_state(Arc::clone(&site), under_own_names))
        .layer(map_response(guarded))
        .with_state(site)
}

async fn page() -> Response {
    let kind = [(CONTENT_TYPE, "text/html; charset=utf-8")];
    (kind, [(CONTENT_SECURITY_POLICY, POLICY.as_str())], PAGE).into_response()
}

/// The metrics, in the format that the scraper asks for.
async fn metrics(State(site): State<Arc<Site>>, headers: HeaderMap) -> Response {
    let text = openmetrics(site.source.look().await.ok());
    let wants_new = headers.get_all(ACCEPT).iter().any(|accepted| {
        accepted.to_str().is_ok_and(|accepted| accepted.contains("application/openmetrics-text"))
    });
    if wants_new {
        answer(StatusCode::OK, OPENMETRICS_TYPE, text)
    } else {
        answer(StatusCode::OK, PROMETHEUS_TYPE, prometheus_text(&text))
    }
}

/// Whether this program and the daemon are there.
async fn healthz(State(site): State<Arc<Site>>) -> Response {
    match site.source.look().await {
        Ok(_) => answer(StatusCode::OK, TEXT, "vipd answers\n"),
        Err(why) => unavailable(&why),
    }
}

/// Whether this node is the active one, for load balancers.
async fn ready(State(site): State<Arc<Site>>, Path(name): Path<String>) -> Response {
    let snapshot = match site.source.look().await {
        Ok(snapshot) => snapshot,
        Err(why) => return unavailable(&why),
    };
    // A reload can leave two of one name for a moment.
    let (mut state, mut known) = (None, Vec::new());
    for instance in &snapshot.status.instances {
        known.push(instance.name.as_str());
        if instance.name.as_str() == name {
            if instance.state == StateName::Active {
                return answer(StatusCode::OK, TEXT, "active\n");
            }
            state = Some(format!("{}: {}\n", instance.state, instance.reason));
        }
    }
    if let Some(state) = state {
        return answer(StatusCode::SERVICE_UNAVAILABLE, TEXT, state);
    }
    let text = format!("there is no such instance; there are: {}\n", known.join(", "));
    answer(StatusCode::NOT_FOUND, TEXT, text)
}

/// The daemon's snapshot.
async fn status(State(site): State<Arc<Site>>) -> Response {
    const JSON: &str = "application/json";
    let line = match site.source.look().await {
        Ok(snapshot) => api::line(&*snapshot),
        Err(why) => {
            let error = serde_json::json!({ "error": &*why }).to_string();
            return answer(StatusCode::SERVICE_UNAVAILABLE, JSON, error + "\n");
        }
    };
    match line {
        Ok(line) => answer(StatusCode::OK, JSON, line),
        Err(error) => answer(StatusCode::INTERNAL_SERVER_ERROR, TEXT, error.to_string()),
    }
}

/// Snapshots as server-sent events, as things change.
async fn events(State(site): State<Arc<Site>>) -> Response {
    match site.feed.listen() {
        Some(stream) => Sse::new(stream).into_response(),
        None => unavailable("too many listen already; try again later"),
    }
}

async fn nothing() -> Response {
    let text = "there are: / /metrics /healthz /ready/INSTANCE /status /events\n";
    answer(StatusCode::NOT_FOUND, TEXT, text)
}

fn unavailable(why: &str) -> Response {
    answer(StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("{why}\n"))
}

fn answer(status: StatusCode, kind: &'static str, body: impl IntoResponse) -> Response {
    (status, [(CONTENT_TYPE, kind)], body).into_response()
}

/// Nobody is answered who asks for another machine.
async fn under_own_names(State(site): State<Arc<Site>>, request: Request, next: Next) -> Response {
    match site.names.refusal(request.uri(), request.headers()) {
        Some(why) => answer(StatusCode::MISDIRECTED_REQUEST, TEXT, why),
        None => next.run(request).await,
    }
}

/// Headers of every answer: it is true only now, and nothing else than what it says it is.
async fn guarded(mut response: Response) -> Response {
    let all: [(HeaderName, &str); 3] = [
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
    ];
    for (name, value) in all {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
