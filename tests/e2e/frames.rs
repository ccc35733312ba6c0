//! Every kind of frame that vipd sends, judged by tshark over an election, a takeover and a stop.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::lab::{Agent, Config, Group, Host, Lab, VIP};
use crate::tshark::{Dissected, dissect, each_has};

/// Rule: VRRPv2 advertisements are as RFC 3768 section 5 wants them.
pub(crate) fn version_2(lab: &Lab) {
    let group = Group::new(lab, &[11, 12]);
    let config = group.config().set("version", "2").set("advertisement_interval", "1s");
    let pcap = election_and_stop(&group, &config);
    let own = [("vrrp.version", "2"), ("vrrp.auth_type", "0"), ("vrrp.adver_int", "1")];
    advertisements(lab, &pcap, &group.nodes, &own);
    announcements(lab, &pcap, &group.nodes);
}

/// Rule: VRRPv3 advertisements are as RFC 9568 section 5 wants them, with the checksum that Linux
/// peers expect.
pub(crate) fn version_3(lab: &Lab) {
    let group = Group::new(lab, &[11, 12]);
    let pcap = election_and_stop(&group, &group.config());
    let own = [("vrrp.version", "3"), ("vrrp.short_adver_int", "20"), ("vrrp.reserved_mbz", "0")];
    advertisements(lab, &pcap, &group.nodes, &own);
    announcements(lab, &pcap, &group.nodes);
}

/// Rule: `auto` sums like the router that was heard last, so that a group of the message-only style
/// stays one after a failover (RFC 9568 section 5.2.8).
pub(crate) fn checksum_styles(lab: &Lab) {
    let group = Group::new(lab, &[11, 12]);
    let first = Agent::start(&group.nodes[0], &group.config().set("checksum", "rfc9568"));
    group.taken_over_by(&group.nodes[0]);
    let _second = Agent::start(&group.nodes[1], &group.config());
    group.stays_with(&group.nodes[0], Duration::from_secs(1));
    first.kill();
    group.taken_over_by(&group.nodes[1]);
    let frames = group.tap.frames();
    let advertisements: Vec<&[u8]> = frames
        .iter()
        .filter(|frame| frame.bytes.get(23) == Some(&112) && frame.bytes[12..14] == [8, 0])
        .map(|frame| &frame.bytes[26..])
        .collect();
    for node in &group.nodes {
        let address = node.address().octets();
        let of_node = advertisements.iter().filter(|sent| sent[..4] == address);
        // The header ends with the two addresses; the message has 12 bytes.
        let messages: Vec<&[u8]> = of_node.map(|sent| &sent[8..20]).collect();
        assert!(!messages.is_empty(), "{} has advertised", node.address());
        assert!(messages.iter().all(|message| sum(message) == 0xffff), "{messages:02x?}");
    }
}

/// The one's complement sum (RFC 1071): all ones where the checksum in it is right.
fn sum(message: &[u8]) -> u32 {
    let words = message.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]));
    let sum: u32 = words.sum();
    (sum & 0xffff) + (sum >> 16)
}

/// Makes both nodes active in turn, stops both, and returns what was seen of it.
fn election_and_stop(group: &Group, config: &Config) -> PathBuf {
    let [first, second] = [0, 1].map(|place| Agent::start(&group.nodes[place], config));
    group.taken_over_by(&group.nodes[0]);
    assert!(first.stop().success());
    group.taken_over_by(&group.nodes[1]);
    assert!(second.stop().success());
    group.tap.save()
}

/// Judges the advertisements: what every VRRP packet has, and what `own` adds for the version.
fn advertisements(lab: &Lab, pcap: &Path, nodes: &[Host], own: &[(&str, &str)]) {
    let mut expected = vec![
        ("eth.dst", "01:00:5e:00:00:12"),
        ("ip.dst", "224.0.0.18"),
        ("ip.ttl", "255"),
        ("ip.hdr_len", "20"),
        ("ip.dsfield.dscp", "48"),
        ("ip.checksum.status", "1"),
        ("vrrp.type", "1"),
        ("vrrp.virt_rtr_id", "51"),
        ("vrrp.addr_count", "1"),
        ("vrrp.ip_addr", "10.77.0.100"),
        ("vrrp.checksum.status", "1"),
        ("_ws.expert.message", ""),
    ];
    expected.extend(own);
    let mut fields: Vec<&str> = expected.iter().map(|(field, _)| *field).collect();
    fields.extend(["eth.src", "ip.src", "vrrp.prio"]);
    let packets = dissect(pcap, "vrrp", &fields);
    each_has(&packets, &expected);
    lab.note(format!("{} advertisements are right to the last field", packets.len()));
    for (node, priority) in nodes.iter().zip(["200", "190"]) {
        let address = node.address().to_string();
        let of_node = |packet: &&Dissected| packet["ip.src"] == address;
        let sent: Vec<Dissected> = packets.iter().filter(of_node).cloned().collect();
        each_has(&sent, &[("eth.src", &mac(node))]);
        let mut priorities: Vec<&str> = sent.iter().map(|sent| &*sent["vrrp.prio"]).collect();
        priorities.dedup();
        assert_eq!(priorities, [priority, "0"], "the priorities of {address} in their order");
    }
}

/// Judges the gratuitous ARP frames: both forms, broadcast, sender and target the virtual address
/// (RFC 5227 section 3), padded to what Ethernet wants.
fn announcements(lab: &Lab, pcap: &Path, nodes: &[Host]) {
    let expected = [
        ("eth.dst", "ff:ff:ff:ff:ff:ff"),
        ("frame.len", "60"),
        ("arp.hw.type", "1"),
        ("arp.proto.type", "0x0800"),
        ("arp.isgratuitous", "1"),
        ("_ws.expert.message", ""),
    ];
    let mut fields: Vec<&str> = expected.iter().map(|(field, _)| *field).collect();
    fields.extend(["eth.src", "arp.src.hw_mac", "arp.opcode"]);
    let filter = format!("arp.src.proto_ipv4 == {VIP} && arp.dst.proto_ipv4 == {VIP}");
    let frames = dissect(pcap, &filter, &fields);
    each_has(&frames, &expected);
    lab.note(format!("{} gratuitous ARP frames are right to the last field", frames.len()));
    for node in nodes {
        let mac = mac(node);
        let sent: Vec<Dissected> =
            frames.iter().filter(|frame| frame["eth.src"] == mac).cloned().collect();
        each_has(&sent, &[("arp.src.hw_mac", &mac)]);
        for form in ["1", "2"] {
            let found = sent.iter().any(|frame| frame["arp.opcode"] == form);
            assert!(found, "{mac} sent no gratuitous ARP with operation {form}");
        }
    }
}

/// The Ethernet address of a host.
fn mac(host: &Host) -> String {
    let text = host.run("ip -j link show dev eth0");
    let links: Value = serde_json::from_str(&text).expect("the JSON of ip");
    links[0]["address"].as_str().expect("an Ethernet address").to_owned()
}
