//! An active router says the same again and again.

use vipd::engine::story::StateName;
use vipd::engine::{Discard, Input, Link, LinkAddress, Packet};
use vipd::model::{Authentication, Config, InstanceConfig, SecretSource, Version};
use vipd::vrrp::auth::Proof;
use vipd::vrrp::packet::{self, Advertisement, ChecksumForm};

use crate::node::{
    Node, PEER, advertisement, eth0, from_peer, instance, link, now, packet as packet_of,
};

fn discards(node: &Node, discard: Discard) -> u64 {
    let status = node.status();
    status.instances[0].counters.discards.get(&discard).copied().unwrap_or(0)
}

/// Rule: a repetition puts the takeover off like any advertisement, and is counted like one.
#[test]
fn is_heard_and_counted() {
    let mut node = Node::new(instance(100));
    for second in 1..=10 {
        node.millis = 1_000_000 + second * 1_000;
        let actions = node.hear(from_peer(200));
        assert_eq!(actions.is_empty(), second > 1, "{actions:?}");
        let due = node.engine.next_deadline().unwrap().at;
        // Three intervals and a skew time of 156/256 of one.
        assert_eq!(due.since(now(node.millis).mono).millis(), 3_609);
    }
    let status = node.status();
    assert_eq!(status.instances[0].counters.advertisements_received, 10);
    assert_eq!(status.instances[0].peers[0].accepted, 10);
    assert_eq!(status.instances[0].peers[0].age.millis(), 0);
    node.next();
    assert_eq!(node.state(), StateName::Active);
    assert_eq!(node.millis, 1_013_610);
}

/// Rule: what has been accepted is judged again once this machine is another one. Here it gets the
/// sender's address, so that the packet is its own.
#[test]
fn is_judged_again_when_the_links_have_changed() {
    let mut node = Node::new(instance(100));
    for _ in 0..3 {
        node.hear(from_peer(200));
    }
    let mut addresses = link().addresses;
    addresses.push(LinkAddress { address: PEER, prefix: 24, secondary: true });
    let link = Link { addresses, ..link() };
    node.tell(Input::Link { interface: eth0(), link: Some(link) });
    node.hear(from_peer(200));
    assert_eq!(discards(&node, Discard::OwnPacket), 1);
}

/// Rule: what has been accepted is judged again under another configuration. Here the virtual
/// router is one of version 2 from then on.
#[test]
fn is_judged_again_after_a_reload() {
    let mut node = Node::new(instance(100));
    for _ in 0..3 {
        node.hear(from_peer(200));
    }
    let config = InstanceConfig { version: Version::V2, ..instance(100) };
    let config = Config { instances: vec![config], ..Config::default() };
    node.tell(Input::Reload { config: Box::new(config) });
    node.hear(from_peer(200));
    assert_eq!(discards(&node, Discard::VersionMismatch), 1);
}

/// Rule: the same bytes without the secret are not the same packet: the password was taken out of
/// them before the engine sees them.
#[test]
fn is_judged_again_without_the_secret() {
    let authentication = Authentication::Password(SecretSource::Inline);
    let mut node =
        Node::new(InstanceConfig { version: Version::V2, authentication, ..instance(100) });
    let authentication = packet::Authentication::SimplePassword([0; 8]);
    let signed = Advertisement { version: Version::V2, authentication, ..advertisement(200) };
    let bytes = packet_of(&signed, PEER, ChecksumForm::Message);
    for (proof, refused) in [(Proof::Right, 0), (Proof::Right, 0), (Proof::Wrong, 1)] {
        let (arrived, packet) = (now(node.millis).mono, Packet::V4 { bytes: bytes.clone() });
        node.tell(Input::Received { interface: eth0(), arrived, packet, proof });
        assert_eq!(discards(&node, Discard::Password), refused);
    }
}

/// Rule: the last word before counts. A router that has advertised something else, or was refused,
/// in between is heard in full again, and what it says is in the status.
#[test]
fn follows_what_was_said_last() {
    let mut node = Node::new(instance(100));
    for priority in [200, 200, 150, 200, 200] {
        node.hear(from_peer(priority));
        let status = node.status();
        let advertised = status.instances[0].peers[0].advertised.as_ref();
        assert_eq!(advertised.map(|said| said.priority), Some(priority));
    }
    let mut broken = from_peer(200);
    *broken.last_mut().unwrap() ^= 1;
    node.hear(broken);
    assert!(node.status().instances[0].peers[0].refusal.is_some());
    node.hear(from_peer(200));
    assert_eq!(node.status().instances[0].peers[0].refusal, None);
}
