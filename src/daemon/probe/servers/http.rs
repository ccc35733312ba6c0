//! `http`, with nginx.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::authority::{Authority, Certificate};
use super::scratch::Scratch;
use super::server::{Server, free};
use super::*;
use crate::model::{HttpMethod, HttpProbe, StatusRange};

/// A year in which no test runs any more.
const VALID: i32 = 2400;

/// What is asked for.
const PAGES: &str = r#"
    location = /health { return 200 "{\"status\": \"green\"}"; }
    location = /down { return 503; }
    location = /moved { return 302 /health; }
    location = /loop { return 302 /loop; }
    location = /elsewhere { return 302 http://OTHER/host; }
    location = /away { return 302 ftp://example.test/; }
    location = /host { return 200 "host=$http_host tls=$ssl_server_name."; }
    location = /closed { return 444; }
"#;

struct Nginx {
    scratch: Scratch,
    authority: Authority,
    plain: SocketAddr,
    /// Its certificate is for `db.test` alone.
    secure: SocketAddr,
    expired: SocketAddr,
    server: Server,
}

impl Nginx {
    async fn start() -> Self {
        let scratch = Scratch::new();
        let authority = Authority::new(&scratch);
        let (plain, secure, expired) = (free(), free(), free());
        let pages = PAGES.replace("OTHER", &plain.to_string());
        let server =
            |listen: &str, more: &str| format!("server {{ listen {listen}; {more} {pages} }}\n");
        let tls = |address: SocketAddr, Certificate { chain, key }: Certificate| {
            let (chain, key) = (chain.display(), key.display());
            let files = format!("ssl_certificate {chain}; ssl_certificate_key {key};");
            server(&format!("{address} ssl"), &files)
        };
        let here = scratch.path("").display().to_string();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {here}{kind};\n"))
            .concat();
        let config = format!(
            "daemon off; master_process off; pid {here}nginx.pid; error_log stderr;\n\
             events {{}}\nhttp {{ access_log off;\n{temporary}{}{}{} }}\n",
            server(&plain.to_string(), ""),
            tls(secure, authority.certificate(&scratch, "db.test", VALID)),
            tls(expired, authority.certificate(&scratch, &expired.ip().to_string(), 2001)),
        );
        let config = scratch.file("nginx.conf", config).display().to_string();
        let server = Server::start(&scratch, "nginx", &["-c", &config, "-e", "stderr"]);
        let nginx = Self { scratch, authority, plain, secure, expired, server };
        comes_to_pass(&nginx.probe("/health", |_| {})).await;
        nginx
    }

    /// A look at a page without TLS, with something changed.
    fn probe(&self, page: &str, change: impl FnOnce(&mut HttpProbe)) -> Probe {
        probe(format!("http://{}{page}", self.plain), change)
    }

    /// The same with TLS, by those whom the test's authority is to be trusted.
    fn secure(&self, page: &str, change: impl FnOnce(&mut HttpProbe)) -> Probe {
        probe(format!("https://{}{page}", self.secure), |probe| {
            probe.ca = Some(self.authority.file.clone());
            probe.host = Some("db.test".to_owned());
            change(probe);
        })
    }
}

fn probe(url: String, change: impl FnOnce(&mut HttpProbe)) -> Probe {
    let mut probe = HttpProbe {
        url,
        method: HttpMethod::Get,
        status: vec![StatusRange::SUCCESS],
        body: None,
        host: None,
        ca: None,
        verify: true,
        follow_redirects: false,
    };
    change(&mut probe);
    Probe::Http(probe)
}

fn body(text: &str) -> impl FnOnce(&mut HttpProbe) {
    let text = text.to_owned();
    move |probe| probe.body = Some(text)
}

/// Rule: the status passes or fails, and the text must stand in the body.
#[tokio::test]
async fn status_and_body_decide() {
    let nginx = Nginx::start().await;
    let said = passes(&nginx.probe("/health", |_| {})).await;
    assert!(said.starts_with("HTTP 200 in ") && said.ends_with(" ms"), "{said}");
    passes(&nginx.probe("/health", |probe| probe.method = HttpMethod::Head)).await;
    passes(&nginx.probe("/health", body("\"status\": \"green\""))).await;
    let down = format!("HTTP 503 from http://{}/down", nginx.plain);
    fails_with(&nginx.probe("/down", |_| {}), &down).await;
    passes(&nginx.probe("/down", |probe| {
        probe.status =
            vec![StatusRange { first: 400, last: 404 }, StatusRange { first: 503, last: 503 }];
    }))
    .await;
    fails_with(&nginx.probe("/health", body("yellow")), "HTTP 200 without 'yellow'").await;
    fails_with(&nginx.probe("/closed", |_| {}), "closed the connection before").await;
    let secret = fails(&nginx.probe("/down?token=hunter2", |_| {})).await;
    assert!(!secret.contains("hunter2"), "{secret}");
}

/// Rule: a redirection is its own answer, unless it is to be followed; ten times at the most, and
/// to web servers only.
#[tokio::test]
async fn redirections_are_followed_where_that_is_wanted() {
    let nginx = Nginx::start().await;
    let followed = |page: &str| nginx.probe(page, |probe| probe.follow_redirects = true);
    fails_with(&nginx.probe("/moved", |_| {}), "HTTP 302 from").await;
    passes(&followed("/moved")).await;
    fails_with(&followed("/loop"), "more than 10 redirections").await;
    fails_with(&followed("/away"), "redirects to 'ftp:'").await;
}

/// Rule: `host` is what the server hears, in the header and in TLS; another one to which it
/// redirects hears its own.
#[tokio::test]
async fn the_host_is_what_the_configuration_says() {
    let nginx = Nginx::start().await;
    let own = format!("host={} tls=.", nginx.plain);
    passes(&nginx.probe("/host", body(&own))).await;
    passes(&nginx.secure("/host", body("host=db.test tls=db.test."))).await;
    passes(&nginx.secure("/host", |probe| {
        (probe.host, probe.body) =
            (Some("db.test:8443".into()), Some("host=db.test:8443 tls=db.test.".into()));
    }))
    .await;
    let own = format!("host={} tls=.", nginx.plain);
    passes(&nginx.secure("/elsewhere", |probe| {
        (probe.follow_redirects, probe.body) = (true, Some(own));
    }))
    .await;
}

/// Rule: a certificate that is not valid fails by its name, and passes where nothing is verified.
#[tokio::test]
async fn certificates_fail_by_name() {
    let nginx = Nginx::start().await;
    passes(&nginx.secure("/health", |_| {})).await;
    fails_with(&nginx.secure("/health", |probe| probe.ca = None), "an unknown issuer").await;
    let wrong = format!("is not for {}", nginx.secure.ip());
    fails_with(&nginx.secure("/health", |probe| probe.host = None), &wrong).await;
    let expired = |change: fn(&mut HttpProbe)| {
        probe(format!("https://{}/health", nginx.expired), |probe| {
            probe.ca = Some(nginx.authority.file.clone());
            change(probe);
        })
    };
    fails_with(&expired(|_| {}), "has expired").await;
    passes(&expired(|probe| (probe.ca, probe.verify) = (None, false))).await;
    let plain = nginx.secure("/", |probe| probe.url = format!("https://{}/", nginx.plain));
    fails_with(&plain, "does not speak TLS").await;
    fails_with(&probe(format!("http://{}/", nginx.secure), |_| {}), "HTTP 400").await;
}

/// Rule: a file of authorities that cannot be used is named.
#[tokio::test]
async fn unusable_authorities_are_named() {
    let nginx = Nginx::start().await;
    let with = |ca: PathBuf| nginx.secure("/health", |probe| probe.ca = Some(ca));
    fails_with(&with("/nonexistent/ca.pem".into()), "/ca.pem: no such file or directory").await;
    fails_with(&with(nginx.scratch.file("empty.pem", "")), "there is no certificate").await;
}

/// Rule: a server that has gone is noticed by the next look, whatever came before.
#[tokio::test]
async fn no_connection_outlives_its_look() {
    let nginx = Nginx::start().await;
    let probe = nginx.probe("/health", |_| {});
    passes(&probe).await;
    nginx.server.crash();
    fails_with(&probe, "connection refused").await;
}
