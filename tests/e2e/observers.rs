//! Those for whom `vipctl serve` is there: a browser and a Prometheus, on a real pair.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use url::form_urlencoded::byte_serialize;

use crate::lab::{BOUND, Browser, Host, Lab, Process, ask, within};
use crate::serve::{HOSTILE, Pair, break_at};

/// What the page says that the state of the instance is.
const STATE: &str = "document.querySelector('[data-instance=web]').dataset.state";

/// What it says of the check.
const CHECK: &str = "document.querySelector('[data-check=app]').textContent";

/// Where the pictures go, for people to look at.
fn picture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("serve-{name}.png"))
}

/// Rule: the page shows the state of a real pair, follows a failover by itself, shows what a
/// program said as text and never as markup, fits on a telephone, and says when it is true no more.
pub(crate) fn browser(lab: &Lab) {
    let mut pair = Pair::new(lab);
    let mut browser = Browser::start(&pair.group.watcher);
    browser.open(&pair.webs[0].url("/"), 1280, "dark");
    browser.shows(STATE, "active");
    browser.shows("document.body.classList.contains('lost')", "false");
    browser.shows("document.querySelector('.held').textContent", "10.77.0.100/24");
    let routing = "[...document.querySelectorAll('.routing li')].map(\
        (one) => one.className + ' ' + one.textContent).join()";
    browser.shows(
        routing,
        "held route 10.9.0.0/16 via 10.77.0.1 dev eth0,\
         held rule from 10.77.0.100/32 lookup 100 priority 1000",
    );
    browser.picture(&picture("desktop-dark"));

    break_at(&pair.group.nodes[0]);
    browser.shows(STATE, "fault");
    browser.shows("document.querySelectorAll('.routing li:not(.held)').length", "2");
    pair.group.taken_over_by(&pair.group.nodes[1]);
    let rows = "[...document.querySelectorAll('[data-instance=web] tbody tr')].map(\
        (row) => row.cells[0].firstChild.textContent + ' ' + row.cells[1].textContent).join()";
    browser.shows(rows, "node11 fault,node12 active");

    // On a busy machine a look may come to nothing before: the program has not answered in time.
    let hostile = serde_json::to_string(HOSTILE).expect("a string");
    browser.shows(&format!("{CHECK}.includes({hostile})"), "true");
    assert_eq!(browser.text("typeof hacked"), "undefined");
    assert_eq!(browser.text("document.querySelectorAll('img, main script').length"), "0");

    browser.screen(390, "light");
    browser.shows("document.documentElement.scrollWidth <= 390", "true");
    browser.picture(&picture("phone-light"));

    pair.agents.remove(0).kill();
    browser.shows("document.title", "vipd is gone \u{2013} vipd");
    browser.shows("document.body.classList.contains('lost')", "true");
    browser.picture(&picture("phone-gone"));
    browser.open(&pair.webs[1].url("/"), 1280, "light");
    browser.shows(STATE, "active");
    pair.webs.remove(1).kill();
    browser.shows("document.title", "connection lost \u{2013} vipd");
    browser.shows("document.body.classList.contains('lost')", "true");
    browser.picture(&picture("desktop-lost"));
}

/// Rule: a real Prometheus scrapes a real pair, can evaluate all alerts, and forgets the states of
/// a daemon at once when that is gone.
pub(crate) fn prometheus(lab: &Lab) {
    let mut pair = Pair::new(lab);
    let watcher = &pair.group.watcher;
    let prometheus = Prometheus::start(watcher, &pair);
    let active = "sum by (vrrp_instance) (vipd_instance_state{state=\"active\"})";
    prometheus.finds(active, &["1"]);
    prometheus.finds("count(vipd_up == 1)", &["2"]);
    let on_first = "vipd_instance_state{state=\"active\", instance=~\"10.77.0.11:.*\"}";
    prometheus.finds(on_first, &["1"]);
    prometheus.finds("sum(vipd_loop_lateness_seconds_bucket{le=\"+Inf\"}) > bool 0", &["1"]);
    prometheus.finds("count(up{job=\"vipd\"})", &["2"]);

    pair.agents.remove(0).kill();
    prometheus.finds("vipd_up{instance=~\"10.77.0.11:.*\"}", &["0"]);
    prometheus.finds("count(vipd_instance_state{instance=~\"10.77.0.11:.*\"})", &[]);
    prometheus.finds(active, &["1"]);
    prometheus.finds("ALERTS{alertname=\"VipdDown\"}", &["1"]);
    let rules = prometheus.ask("rules");
    let rules = rules["data"]["groups"][0]["rules"].as_array().expect("rules").clone();
    assert!(rules.len() > 10);
    for rule in &rules {
        assert_eq!(rule["health"], "ok", "{rule}");
    }
}

struct Prometheus<'a> {
    host: &'a Host,
    _process: Process,
}

impl<'a> Prometheus<'a> {
    fn start(host: &'a Host, pair: &Pair) -> Self {
        let addresses: Vec<String> =
            pair.webs.iter().map(|web| web.address().to_string()).collect();
        let alerts = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/monitoring/alerts.yaml");
        let config = format!(
            "global: {{ scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 500ms }}\n\
             rule_files: ['{}']\n\
             scrape_configs: [{{ job_name: vipd, static_configs: [{{ targets: [{}] }}] }}]\n",
            alerts.display(),
            addresses.iter().map(|it| format!("'{it}'")).collect::<Vec<_>>().join(", "),
        );
        let file = host.directory().join("prometheus.yml");
        fs::write(&file, config).expect("a configuration");
        let mut command = Command::new("prometheus");
        command.arg(format!("--config.file={}", file.display()));
        let data = host.directory().join("prometheus");
        command.arg(format!("--storage.tsdb.path={}", data.display()));
        command.arg("--web.listen-address=127.0.0.1:9090");
        let process = host.start(&mut command, "prometheus");
        Self { host, _process: process }
    }

    /// Waits until a query has exactly these values.
    #[track_caller]
    fn finds(&self, query: &str, values: &[&str]) {
        let mut found = Value::Null;
        within(BOUND, &format!("{query} is {values:?}"), || {
            let listens = self.host.inside(|| TcpStream::connect("127.0.0.1:9090"));
            if listens.is_err() {
                return false;
            }
            let encoded: String = byte_serialize(query.as_bytes()).collect();
            found = self.ask(&format!("query?query={encoded}"));
            let results = found["data"]["result"].as_array().cloned().unwrap_or_default();
            found["status"] == "success"
                && results.iter().map(|result| &result["value"][1]).eq(values.iter())
        });
    }

    fn ask(&self, what: &str) -> Value {
        let local = ([127, 0, 0, 1], 9090).into();
        let answer = ask(self.host, local, "GET", &format!("/api/v1/{what}"), "");
        serde_json::from_str(&answer.body).unwrap_or_default()
    }
}
