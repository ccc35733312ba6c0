//! A floating address in front of two load balancers, and web servers behind them.

use std::time::Instant;

use super::client::Answer;
use super::lab::{Lab, within};
use super::page::Page;
use super::pair::Pair;
use super::service::{NOTICED, PATIENCE, Service};
use super::web;

const HAPROXY: Service = Service { unit: "haproxy", check: "haproxy" };

/// Rule: docs/recipes/haproxy.md, done as written, gives a pair whose address is where the proxy
/// works: neither one that cannot start again nor one that hangs keeps it.
pub(crate) fn follows_the_proxy(lab: &Lab) {
    let mut pair = Pair::boot(lab, ["lb1", "lb2"], false);
    let recipe = Page::read("recipes/haproxy.md");
    for machine in &pair.machines {
        recipe.follow(machine);
    }
    pair.serve(proxy);
    killed(&pair);
    cannot_start(&mut pair);
    HAPROXY.hung(&mut pair);
    without_servers(&pair);
}

/// The name of the proxy, which it puts into the header of every answer that is one.
fn proxy() -> Answer {
    let text = web::request().map_err(|why| format!("{:?}", why.kind()))?;
    let (head, _) = text.split_once("\r\n\r\n").ok_or("no header")?;
    if !head.starts_with("HTTP/1.1 200 ") {
        return Err(head.lines().next().unwrap_or_default().to_owned());
    }
    let name = head.lines().find_map(|line| line.strip_prefix("x-proxy: "));
    Ok(name.ok_or("no x-proxy")?.to_owned())
}

/// `kill -9` of all its processes: systemd starts it again. Whether that is sooner than the check is
/// sure, so that the address stays, depends on the machine that the test runs on.
fn killed(pair: &Pair<'_>) {
    let start = Instant::now();
    let machine = &pair.machines[pair.active()];
    machine.does("systemctl kill --signal=KILL haproxy");
    within(PATIENCE, "systemd starts HAProxy again", || {
        machine.run("systemctl show --value --property=NRestarts haproxy").text.trim() == "1"
    });
    pair.serves_again();
    pair.judge("haproxy killed", NOTICED, start);
}

/// `kill -9`, and its file has a mistake since the last start.
fn cannot_start(pair: &mut Pair<'_>) {
    let spoil = "echo nonsense >> /etc/haproxy/haproxy.cfg; systemctl kill --signal=KILL haproxy";
    HAPROXY.fails(pair, "killed for good", spoil, "connection refused", |machine| {
        machine.does("sed -i '/^nonsense/d' /etc/haproxy/haproxy.cfg");
        machine.does("systemctl reset-failed haproxy; systemctl restart haproxy");
    });
}

/// With every web server gone, one of the machines has the address and says so: 503.
fn without_servers(pair: &Pair<'_>) {
    for machine in &pair.machines {
        machine.does("systemctl stop nginx");
    }
    for machine in &pair.machines {
        machine.reports(&["a last resort, check haproxy fails: HTTP 503"]);
    }
    let answer = pair.watcher().inside(proxy);
    assert_eq!(answer, Err("HTTP/1.1 503 Service Unavailable".to_owned()));
    for machine in &pair.machines {
        machine.does("systemctl start nginx");
    }
    pair.serves_again();
}
