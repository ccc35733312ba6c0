//! Metrics as a scraper gets them, and that alerts, dashboard and documentation are about them.
//!
//! `VIPD_BLESS=1 cargo test --test monitoring` writes the expected metrics of
//! `tests/monitoring/snapshot.json` anew; read the difference before committing it.

#![expect(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed; tests read files and the environment"
)]

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::{env, fs};

use vipd::api::Snapshot;
use vipd::metrics::{openmetrics, prometheus_text};

fn in_package(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    fs::read_to_string(in_package(path)).unwrap_or_else(|why| panic!("{path}: {why}"))
}

/// The metrics of a daemon that has seen everything.
fn metrics() -> String {
    let snapshot: Snapshot = serde_json::from_str(&read("tests/monitoring/snapshot.json")).unwrap();
    openmetrics(Some(Arc::new(snapshot)))
}

/// The names of the families, as they are used in queries.
fn names() -> BTreeSet<String> {
    let text = prometheus_text(&metrics());
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types.map(|line| line.split(' ').next().unwrap().to_owned()).collect()
}

/// The names of metrics in a text, without what a histogram's samples have at their ends.
fn mentioned(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'));
    let ends = ["_bucket", "_sum", "_count"];
    let family =
        |word: &str| ends.iter().find_map(|end| word.strip_suffix(end)).unwrap_or(word).to_owned();
    words.filter(|word| word.starts_with("vipd_")).map(family).collect()
}

/// Runs promtool; what it said, and whether it was content.
fn promtool(arguments: &[&str], input: &str) -> (bool, String) {
    let mut child = Command::new("promtool")
        .args(arguments)
        .current_dir(in_package("docs/monitoring"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool, of the Debian package 'prometheus'");
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    (output.status.success(), text.into_owned())
}

/// Rule: names, labels and values are an interface: alerts and dashboards depend on them.
#[test]
fn metrics_are_written_as_documented() {
    let path = "tests/monitoring/metrics.txt";
    let found = metrics();
    if env::var_os("VIPD_BLESS").is_some() {
        fs::write(in_package(path), &found).unwrap();
    }
    let expected = fs::read_to_string(in_package(path)).unwrap_or_default();
    for (expected, found) in expected.lines().zip(found.lines()) {
        assert_eq!(expected, found, "is that meant? VIPD_BLESS=1 writes {path}");
    }
    assert_eq!(expected.lines().count(), found.lines().count());
}

/// Rule: while the daemon does not answer nothing of it is told but that: a scraper that went on
/// with old values would show an address where there is none.
#[test]
fn nothing_is_told_of_a_daemon_that_does_not_answer() {
    let text = openmetrics(None);
    let samples: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(samples, ["vipd_up 0"]);
    assert!(text.ends_with("\n# EOF\n"), "{text}");
}

/// Bug guarded: two instances with one name, which a reload leaves for a moment, must not make a
/// scraper refuse everything; the active one is the one that is told of.
#[test]
fn no_sample_comes_twice() {
    let text = metrics();
    let mut seen = BTreeSet::new();
    for sample in text.lines().filter(|line| !line.starts_with('#')) {
        let name = sample.rsplit_once(' ').unwrap().0;
        assert!(seen.insert(name), "{name}");
    }
    assert!(text.contains("vipd_instance_state{vrrp_instance=\"files\",state=\"active\"} 1\n"));
    assert!(!text.contains("became_active_total{vrrp_instance=\"files\"} 99"));
}

/// Rule: routers that anybody can make up are bounded, and those that are refused are not shown
/// one by one; a configured node always is.
#[test]
fn strangers_do_not_become_time_series() {
    let text = metrics();
    let peers: Vec<&str> =
        text.lines().filter(|line| line.starts_with("vipd_peer_heard_age_seconds{")).collect();
    assert_eq!(peers.len(), 1 + 8, "{peers:#?}");
    assert!(peers.iter().any(|peer| peer.contains("node=\"db2\"")));
    // The most accepted ones, of ten.
    assert!(!text.contains("10.77.0.20\"") && text.contains("10.77.0.29\""));
    assert!(!text.contains("192.0.2.66"));
    assert!(!text.contains("hostile"), "texts are no labels");
}

/// Rule: Prometheus' own judge has nothing to say about names, units and help.
#[test]
fn the_older_format_passes_promtool() {
    for text in [prometheus_text(&metrics()), prometheus_text(&openmetrics(None))] {
        let (success, said) = promtool(&["check", "metrics"], &text);
        assert!(success && said.trim().is_empty(), "{said}");
    }
}

/// Rule: each alert fires when it should, and only then.
#[test]
fn alerts_do_what_they_say() {
    let (success, said) = promtool(&["check", "rules", "alerts.yaml"], "");
    assert!(success, "{said}");
    let (success, said) = promtool(&["test", "rules", "alerts_test.yaml"], "");
    assert!(success, "{said}");
    let tests = read("docs/monitoring/alerts_test.yaml");
    let page = read("docs/monitoring/README.md");
    let alerts = read("docs/monitoring/alerts.yaml");
    for alert in alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        let fires = format!("alertname=\"{alert}\", alertstate=\"firing\"");
        assert!(tests.contains(&fires), "no test lets {alert} fire");
        assert!(page.contains(&format!("| `{alert}` |")), "{alert} is not in the page");
    }
}

/// Rule: the page explains every metric and no other; alerts and dashboard use only those that
/// there are, and Grafana can read the dashboard.
#[test]
fn documents_name_the_metrics_that_there_are() {
    let names = names();
    let page = read("docs/monitoring/README.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `vipd_"));
    let explained: BTreeSet<String> =
        rows.map(|row| format!("vipd_{}", row.split('`').next().unwrap())).collect();
    assert_eq!(explained, names, "in the page, and written");
    for path in ["alerts.yaml", "alerts_test.yaml", "dashboard.json"] {
        let text = read(&format!("docs/monitoring/{path}"));
        let unknown: Vec<_> = mentioned(&text).difference(&names).cloned().collect();
        assert!(unknown.is_empty(), "{path} has {unknown:?}");
    }
    let dashboard: serde_json::Value =
        serde_json::from_str(&read("docs/monitoring/dashboard.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    assert!(panels.len() > 10);
    for panel in panels {
        assert!(panel["title"].is_string() && panel["description"].is_string(), "{panel}");
        assert!(!panel["targets"].as_array().unwrap().is_empty(), "{panel}");
    }
}
