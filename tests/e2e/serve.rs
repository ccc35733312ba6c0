//! `vipctl serve`: what it answers of a real pair, and while nobody is there to be asked about.

use std::fs::{self, Permissions};
use std::io::Write;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::lab::{
    Agent, Answer, BOUND, Group, HOST_NAME, Host, Lab, Web, connect, ends_within, program, within,
};

/// Two agents of which the first is active, with a web side each.
pub(crate) struct Pair {
    pub(crate) group: Group,
    pub(crate) agents: Vec<Agent>,
    pub(crate) webs: Vec<Web>,
}

impl Pair {
    pub(crate) fn new(lab: &Lab) -> Self {
        let group = Group::new(lab, &[11, 12]);
        let config =
            group.config().set("preempt", "never").set("routes", ROUTES).set("rules", RULES);
        let config = config.check("app", script(&group.nodes[0]));
        let first = Agent::start(&group.nodes[0], &config);
        group.taken_over_by(&group.nodes[0]);
        let agents = vec![first, Agent::start(&group.nodes[1], &config)];
        let webs: Vec<Web> = group.nodes.iter().map(Web::start).collect();
        Self { group, agents, webs }
    }

    fn get(&self, node: usize, path: &str) -> Answer {
        self.webs[node].get(&self.group.watcher, path)
    }

    /// The value of a metric of a node, if it is there.
    fn metric(&self, node: usize, name: &str) -> Option<f64> {
        let text = self.get(node, "/metrics").body;
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.map(|value| value.parse().expect("a number"))
    }
}

/// What moves along with the address.
const ROUTES: &str = "[{ to: 10.9.0.0/16, via: 10.77.0.1 }]";
const RULES: &str = "[{ priority: 1000, from: 10.77.0.100, table: 100 }]";

/// Longer than the time between two looks.
const QUIET: Duration = Duration::from_millis(1500);

/// What a check says that wants to be markup. It fails where a file of the node's address is.
pub(crate) const HOSTILE: &str = "<img src=x onerror=\"hacked=1\"><script>hacked=1</script>";

fn script(node: &Host) -> String {
    let program = node.directory().join("app-check");
    let text = format!(
        "#!/bin/sh\nif ip -o address | grep -q \"$(cat {0}/broken 2>/dev/null || echo none)\"; then\n\
         echo '{HOSTILE}'; exit 1; fi\n",
        node.directory().display()
    );
    fs::write(&program, text).expect("a script");
    fs::set_permissions(&program, Permissions::from_mode(0o755)).expect("its mode");
    format!("script: {{ command: [{}] }}", program.display())
}

/// Makes the check fail on one node.
pub(crate) fn break_at(node: &Host) {
    fs::write(node.directory().join("broken"), node.address().to_string()).expect("a file");
}

/// Rule: each path answers what its page says, for the active node and for the backup; there is
/// nothing to change, and no other site's page may read it.
pub(crate) fn answers(lab: &Lab) {
    let pair = Pair::new(lab);
    assert_eq!(pair.get(0, "/healthz").status, 200);
    assert_eq!(pair.get(0, "/ready/web").status, 200);
    let backup = pair.get(1, "/ready/web");
    assert!(backup.status == 503 && backup.body.starts_with("backup: "), "{backup}");
    let unknown = pair.get(0, "/ready/wbe");
    assert!(unknown.status == 404 && unknown.body.contains("there are: web"), "{unknown}");

    assert_eq!(pair.metric(0, "vipd_up"), Some(1.0));
    for (node, active) in [(0, 1.0), (1, 0.0)] {
        let state = "vipd_instance_state{vrrp_instance=\"web\",state=\"active\"}";
        assert_eq!(pair.metric(node, state), Some(active));
    }
    let older = pair.get(0, "/metrics");
    assert!(older.headers.contains("content-type: text/plain; version=0.0.4"), "{older}");
    let wanted = "Accept: application/openmetrics-text;version=1.0.0,*/*;q=0.1\r\n";
    let newer = pair.webs[0].ask(&pair.group.watcher, "GET", "/metrics", wanted);
    assert!(newer.headers.contains("content-type: application/openmetrics-text"), "{newer}");
    assert!(newer.body.ends_with("\n# EOF\n"), "{newer}");

    let status = pair.get(0, "/status");
    let snapshot: Value = serde_json::from_str(&status.body).expect("JSON");
    assert_eq!(snapshot["instances"][0]["state"], "active");
    assert_eq!(snapshot["nodes"][1]["name"], "node12");

    let page = pair.get(0, "/");
    assert!(page.headers.contains("content-security-policy: default-src 'none'"), "{page}");
    for header in ["cache-control: no-store", "x-content-type-options: nosniff"] {
        assert!(page.headers.contains(header), "{page}");
    }
    let ask =
        |method, path| pair.webs[0].ask(&pair.group.watcher, method, path, "Origin: http://x\r\n");
    for path in ["/", "/metrics", "/healthz", "/ready/web", "/status", "/events"] {
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"] {
            let answer = ask(method, path);
            assert_eq!(answer.status, 405, "{method} {path}: {answer}");
            assert!(!answer.headers.contains("access-control"), "{answer}");
        }
    }
    let head = ask("HEAD", "/metrics");
    assert!(head.status == 200 && head.body.is_empty(), "{head}");
    assert_eq!(ask("GET", "/../etc/passwd").status, 404);
}

/// Bug guarded: a page of another site can give its own name this machine's address, and its
/// visitor's browser then read the status for it (DNS rebinding). Now only addresses, localhost and
/// the configured names are answered. The refusal of another name says how to configure it.
/// Scrapers and load balancers may use any name, browsers may not.
pub(crate) fn foreign_names(lab: &Lab) {
    let pair = Pair::new(lab);
    let (watcher, web) = (&pair.group.watcher, &pair.webs[0]);
    let under = |name: &str, path: &str| web.ask_under(watcher, name, path, "");
    for path in ["/", "/status", "/events", "/other"] {
        let refused = under("attacker.example:10112", path);
        assert_eq!(refused.status, 421, "{path}: {refused}");
        assert!(refused.body.contains("add --host-name attacker.example to vipctl"), "{refused}");
        assert!(!refused.body.contains("10.77."), "{refused}");
    }
    let own = web.address().to_string();
    for name in [own.as_str(), "localhost", "[::1]:10112", HOST_NAME, "Status.Example:10112"] {
        for path in ["/", "/status"] {
            let answer = under(name, path);
            assert_eq!(answer.status, 200, "{name} {path}: {answer}");
        }
    }
    for path in ["/metrics", "/healthz", "/ready/web"] {
        let answer = under("db1.example", path);
        assert_eq!(answer.status, 200, "{path}: {answer}");
        let browser = web.ask_under(watcher, "attacker.example", path, "Accept-Language: en\r\n");
        assert_eq!(browser.status, 421, "{path}: {browser}");
    }
}

/// Rule: while the daemon does not answer, that is all that is told; the web side finds the next
/// daemon by itself.
pub(crate) fn never_stale(lab: &Lab) {
    let mut pair = Pair::new(lab);
    let agent = pair.agents.remove(0);
    // Frozen: it listens, and says nothing.
    agent.signal(Signal::SIGSTOP);
    let frozen = pair.get(0, "/ready/web");
    assert_eq!(frozen.status, 503, "{frozen}");
    agent.kill();
    let samples = |text: &str| {
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        samples.map(str::to_owned).collect::<Vec<_>>()
    };
    let metrics = pair.get(0, "/metrics");
    assert_eq!(samples(&metrics.body), ["vipd_up 0"], "{metrics}");
    for path in ["/healthz", "/ready/web", "/status"] {
        let answer = pair.get(0, path);
        assert_eq!(answer.status, 503, "{path}: {answer}");
        assert!(answer.body.contains("no vipd answers on"), "{path}: {answer}");
    }
    let config = pair.group.config().set("preempt", "never");
    let _agent = Agent::start(&pair.group.nodes[0], &config);
    within(BOUND, "the new daemon is found", || pair.get(0, "/healthz").status == 200);
    let backup = "vipd_instance_state{vrrp_instance=\"web\",state=\"backup\"}";
    within(BOUND, "it is backup now", || pair.metric(0, backup) == Some(1.0));
}

/// Rule: listeners hear of a change at once and of a daemon that is gone; while nobody listens,
/// the web side does nothing at all.
pub(crate) fn events(lab: &Lab) {
    let mut pair = Pair::new(lab);
    let mut listener = pair.webs[0].listen(&pair.group.watcher);
    let state = |wanted: &'static str| {
        move |name: &str, data: &Value| {
            name == "snapshot" && data["instances"][0]["state"] == wanted
        }
    };
    listener.hears("node 11 is active", state("active"));
    crate::lab::hand_over(&pair.group.nodes[0], "web").expect("a handover");
    listener.hears("node 11 is backup", state("backup"));
    pair.agents.remove(0).kill();
    listener.hears("the daemon is gone", |name, data| {
        name == "gone" && data.as_str().is_some_and(|why| why.contains("no vipd answers"))
    });
    // In the daemon's place: somebody who counts how often it is looked at.
    let socket = pair.group.nodes[0].runtime_directory().join("status.sock");
    fs::remove_file(&socket).expect("what a killed daemon leaves");
    let counter = UnixListener::bind(&socket).expect("a socket in the daemon's place");
    counter.set_nonblocking(true).expect("a socket that does not wait");
    within(BOUND, "it is looked at while somebody listens", || counter.accept().is_ok());
    drop(listener);
    // First a look that was under way, and the one with which it is found that nobody listens.
    within(BOUND, "nobody looks any more", || {
        while counter.accept().is_ok() {}
        sleep(2 * QUIET);
        counter.accept().is_err()
    });
}

/// Rule: a client that says nothing, or too much, is let go of, and as many of them as there may
/// be do not keep others away.
pub(crate) fn slow_clients(lab: &Lab) {
    let pair = Pair::new(lab);
    let (watcher, address) = (&pair.group.watcher, pair.webs[0].address());
    let mut endless = connect(watcher, address);
    write!(endless, "GET / HTTP/1.1\r\nHost: x\r\nX: ").expect("a beginning");
    // The end may come while it is written.
    let _ = endless.write_all("x".repeat(64 * 1024).as_bytes());
    assert!(ends_within(&mut endless, BOUND), "a request without end is let go of");

    let mut silent: Vec<TcpStream> = (0..300).map(|_| connect(watcher, address)).collect();
    let mut half = connect(watcher, address);
    write!(half, "GET /metrics HTTP/1.1\r\nHo").expect("a half request");
    assert_eq!(pair.get(0, "/healthz").status, 200, "others are served in the end");
    for stream in silent.iter_mut().chain([&mut half]) {
        assert!(ends_within(stream, BOUND), "a silent client is let go of");
    }
}

/// Rule: what cannot be listened on is told, with what to do, and with its exit code.
pub(crate) fn port_taken(lab: &Lab) {
    let pair = Pair::new(lab);
    let output = pair.group.nodes[0].inside(|| {
        Command::new(program("vipctl"))
            .args(["serve", "--listen", "127.0.0.1:10112"])
            .output()
            .expect("vipctl runs")
    });
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(71), "{said}");
    assert!(said.contains("cannot listen on 127.0.0.1:10112") && said.contains("ss "), "{said}");
}
