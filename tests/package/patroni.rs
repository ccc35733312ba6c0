//! The address follows Patroni's leader.
//!
//! Patroni needs an etcd, and neither is on the machines. nginx stands in for its API on port 8008:
//! it answers 200 or 503 as the test says who is leader. The same nginx is the service that the
//! client asks, on port 80.

use std::time::{Duration, Instant};

use super::lab::{Lab, steadily};
use super::machine::Machine;
use super::page::Page;
use super::pair::{Bound, NO_TIME, Pair};
use super::web;

/// The part of Patroni and of its etcd is the test's, which is quick.
const BOUND: Bound = Bound { gap: ELECTED, failures: 1000, together: NO_TIME, nobody: ELECTED };

/// The time without a leader, and its end.
const ELECTED: Duration = Duration::from_secs(10);

const API: &str = "\
server {
    listen 127.0.0.1:8008;
    location = /primary {
        if (-f /run/leader) { return 200 '{\"role\": \"primary\"}'; }
        return 503 '{\"role\": \"replica\"}';
    }
}
";

/// Rule: docs/recipes/patroni.md, done as written, gives a pair whose address is where Patroni says
/// that the primary is, and nowhere while it says so of nobody.
pub(crate) fn follows_the_leader(lab: &Lab) {
    let mut pair = Pair::boot(lab, ["db1", "db2"], false);
    let page = Page::read("recipes/patroni.md");
    for machine in &pair.machines {
        machine.does("hostname > /var/www/html/index.html");
        machine.write("/etc/nginx/conf.d/patroni.conf", API);
        machine.does("systemctl restart nginx");
    }
    leads(&pair.machines[0], true);
    for machine in &pair.machines {
        page.follow(machine);
    }
    lab.owners().hole(ELECTED, "no address without a leader: the case elects one later");
    pair.serve(web::ask);
    pair.machines[0].reports(&["db: active (priority 200) with "]);
    pair.machines[1].reports(&["db: fault (", "patroni", "503"]);
    moves(&mut pair, "switchover", |pair, old| {
        leads(&pair.machines[old], false);
        pair.machines[old].reports(&[": fault (", "patroni", "503"]);
    });
    moves(&mut pair, "Patroni dead", |pair, old| {
        pair.machines[old].does("systemctl kill --signal=KILL nginx; rm /run/leader");
        pair.machines[old].reports(&[": fault (", "patroni", "connection refused"]);
    });
    pair.machines[1].does("systemctl restart nginx");
    moves(&mut pair, "Patroni hangs", |pair, old| {
        pair.machines[old].does("systemctl kill --signal=STOP nginx; rm /run/leader");
        pair.machines[old].reports(&[": fault (", "patroni"]);
    });
}

fn leads(machine: &Machine, leads: bool) {
    machine.does(if leads { "touch /run/leader" } else { "rm /run/leader" });
}

/// The leader is out, nobody has the address, the other one becomes leader and has it.
fn moves(pair: &mut Pair<'_>, what: &str, lose: impl FnOnce(&Pair<'_>, usize)) {
    let (start, old) = (Instant::now(), pair.active());
    lose(pair, old);
    let out = start.elapsed();
    steadily(Duration::from_secs(1), "nobody has the address without a leader", || {
        pair.is_free_of_it(0) && pair.is_free_of_it(1)
    });
    let (elected, new) = (Instant::now(), 1 - old);
    leads(&pair.machines[new], true);
    pair.is_served_by(new);
    pair.lab.note(format!(
        "{what}: the old leader is out after {out:?}; the new one serves alone for half a second \
         {:?} after its election",
        elected.elapsed()
    ));
    pair.judge(what, BOUND, start);
}
