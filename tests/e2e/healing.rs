//! A client that believes the loser of a partition.

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::lab::{
    Agent, BOUND, Config, Holders, Lab, Leases, Meter, Responders, Segment, VIP, within,
};

/// How often the partition heals, each time at another moment of the nodes' intervals.
const ROUNDS: usize = 6;

/// What lasts this long is at rest.
const AT_REST: Duration = Duration::from_millis(500);

/// How long until the client has asked for what it was only told, and believes the answer for at
/// least 15 s.
const BELIEVED: Duration = Duration::from_secs(3);

/// The longest gap. A winner that says nothing costs far more: the client then waits until its
/// own ARP entry dies.
const GAP: Duration = Duration::from_secs(1);

/// Rule: after a partition the client is served by the winner at once, also where the loser's
/// address is in its ARP cache and both nodes are behind switches that have learnt where the
/// loser is, whichever of the two nodes hears the other first: the winner announces until it is
/// heard.
pub(crate) fn of_a_partition(lab: &Lab) {
    let segment = Segment::new(lab);
    segment.extend();
    let (winner, loser, client) = (segment.host(11), segment.far_host(12), segment.far_host(1));
    client.run("sysctl -qw net.ipv4.neigh.eth0.delay_first_probe_time=1");
    let nodes = [&winner, &loser];
    let _responders = Responders::start(&nodes, VIP);
    let (meter, holders) = (Meter::start(&client, VIP), Holders::watch(&nodes, VIP));
    let leases = Leases::watch(&client);
    let config = Config::new(&nodes);
    let _agents = nodes.map(|node| Agent::start(node, &config));
    let served_by = |host| meter.steadily_served_by(host, AT_REST);
    let well = || holders.now() == [11] && served_by(11);
    within(BOUND, "the preferred node serves the client", well);

    for round in 1..=ROUNDS {
        segment.join(false);
        let apart = || holders.now() == [11, 12] && served_by(12);
        within(BOUND, "each node is active on its side", apart);
        sleep(BELIEVED + Duration::from_millis(fastrand::u64(..200)));
        let start = Instant::now();
        segment.join(true);
        within(BOUND, "the preferred node alone serves the client again", well);
        let (gap, both) = (meter.longest_gap(start), holders.together(start));
        lab.note(format!("round {round}: longest gap {gap:?}, two holders for {both:?}"));
        assert!(gap < GAP, "the client had no answer for {gap:?}");
        // The kernel removes an address late, too, where it has much else to do.
        let late = leases.longest(start).saturating_sub(Duration::from_secs(1));
        assert!(both < GAP * 2 + late, "two nodes held the address for {both:?}");
    }
}
