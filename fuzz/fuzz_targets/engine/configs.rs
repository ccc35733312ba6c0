//! The configurations that an engine is started with and reloads, each as its file.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use vipd::config::{Here, load};
use vipd::keyring::{KeyRing, Secrets, places};
use vipd::model::{Authentication, Config, Key, KeyId, NodeName, Password};

const NODES: &str = "nodes: { db1: [10.0.0.11, 'fe80::11'], db2: [10.0.0.12, 'fe80::12'] }\n";

/// Each shows another side of the engine; virtual routers come back with other settings, so that
/// reloads change instances in place.
const INSTANCES: [&str; 11] = [
    "instances: { web: { interface: eth0, virtual_router_id: 51, addresses: [10.0.0.100/24] } }",
    "instances:
  web:
    interface: eth0
    virtual_router_id: 51
    addresses: [10.0.0.100/24, 10.0.0.101]
    advertisement_interval: 100ms
    preempt: after 2s
    hold_down: 0s
    maximum_interval: 5s
    checksum: rfc9568
  other: { interface: eth1, virtual_router_id: 52, addresses: [10.0.0.102], lease: off }",
    "instances:
  six: { interface: eth0, virtual_router_id: 51, addresses: ['2001:db8::100/64'], preempt: never }
  web: { interface: eth0, virtual_router_id: 51, addresses: [10.0.0.101], hold_down: 0s }",
    "instances:
  web:
    interface: eth0
    virtual_router_id: 51
    addresses: [10.0.0.100/24]
    hold_down: 0s
    authentication: { keys: { 1: { secret: 'a sentence of at least 32 letters' } } }
  six:
    interface: eth0
    virtual_router_id: 51
    addresses: ['2001:db8::100/64']
    authentication:
      anti_replay: monotonic
      mode: permissive
      keys: { 1: { secret: 'a sentence of at least 32 letters' }, 2: { secret: 'a sentence of at least 32 letters' } }
      send: 2",
    "instances:
  web:
    interface: eth0
    virtual_router_id: 51
    addresses: [10.0.0.100/24]
    version: 2
    hold_down: 0s
    authentication: { password: '12345678' }",
    "instances:
  web: { interface: eth0, virtual_router_id: 51, addresses: [10.0.0.100/24], priority: 255 }
  api: { interface: eth0, virtual_router_id: 53, addresses: [10.0.0.103/24], hold_down: 0s }",
    "tracks:
  all: { tcp: { address: '127.0.0.1:80' }, interval: 1s, rise: 1, fall: 1 }
  some: { tcp: { address: '127.0.0.1:81' }, interval: 500ms, rise: 2, fall: 2, cost: 20 }
instances:
  web:
    interface: eth0
    virtual_router_id: 51
    addresses: [10.0.0.100/24]
    hold_down: 0s
    track: [all, some]
    if_all_fail: keep
    notify: { before_claim: /bin/true, before_release: /bin/true, verify: /bin/true, on_fault: /bin/true, script: /bin/true, fifo: /run/vipd/events }",
    "tracks:
  all: { tcp: { address: '127.0.0.1:80' }, interval: 1s, rise: 1, fall: 1 }
instances:
  wan: { interface: eth0, virtual_router_id: 51, addresses: [10.0.0.100/24], hold_down: 0s, track: [all] }
  lan: { interface: eth1, virtual_router_id: 51, addresses: [10.0.0.104/24], hold_down: 0s }
sync_groups: { gateway: { members: [wan, lan], notify: { script: /bin/true, before_claim: /bin/true } } }",
    "instances: {}",
    "instances:
  web:
    interface: eth0
    paths: [eth0, eth1]
    virtual_router_id: 51
    addresses: [10.0.0.100/24, '2001:db8::100/64']
    extra_addresses: [10.0.0.101]
    routes: [{ to: default, via: 10.0.0.1, table: 100 }]
    rules: [{ priority: 1000, from: 10.0.0.100/32, table: 100 }]
    hold_down: 0s",
    "instances:
  web:
    interface: eth0
    virtual_router_id: 51
    addresses: [10.0.0.100/24, '2001:db8::100/64']
    transport: unicast
    hold_down: 0s",
];

/// The instances of one sync group and what a reload may do to them while they claim or leave:
/// other hooks, names, members, interfaces and virtual routers, or no group at all.
const OF_ONE_GROUP: [&str; 9] = [
    "instances:
  wan: { interface: eth0, virtual_router_id: 51, addresses: [10.0.0.100/24], hold_down: 0s }
  lan: { interface: eth1, virtual_router_id: 51, addresses: [10.0.0.104/24], hold_down: 0s, notify: { before_claim: /bin/true } }
sync_groups: { gateway: { members: [wan, lan], notify: { script: /bin/true, before_claim: /bin/true } } }",
    "instances:
  wan: { interface: eth0, virtual_router_id: 51, addresses: [10.0.0.100/24], hold_down: 0s }
  lan: { interface: eth1, virtual_router_id: 51, addresses: [10.0.0.104/24], hold_down: 0s, notify: { before_claim: /bin/true } }
sync_groups: { gateway: { members: [wan, lan] } }",
    "instances:
  wan: { interface: eth0, virtual_router_id: 51, addresses: [10.0.0.100/24], hold_down: 0s, notify: { before_release: /bin/true } }
  lan: { interface: eth1, virtual_router_id: 51, addresses: [10.0.0.104/24], hold_down: 0s, notify: { before_claim: /bin/true, before_release: /bin/true } }",
    "instances:
  wan: { interface: eth0, virtual_router_id: 51, addresses: [10.0.0.100/24], hold_down: 0s, notify: { before_claim: /bin/true } }
  lan: { interface: eth1, virtual_router_id: 51, addresses: [10.0.0.104/24], hold_down: 0s }
sync_groups: { gateway: { members: [wan, lan], notify: { before_claim: /bin/false } } }",
    "instances:
  wan: { interface: eth0, virtual_router_id: 51, addresses: [10.0.0.100/24], hold_down: 0s }
  lan: { interface: eth1, virtual_router_id: 51, addresses: [10.0.0.104/24], hold_down: 0s }
  dmz: { interface: eth0, virtual_router_id: 54, addresses: [10.0.0.105/24], hold_down: 0s, notify: { before_claim: /bin/true } }
sync_groups: { gateway: { members: [wan, lan, dmz] } }",
    "instances:
  wan: { interface: eth0, virtual_router_id: 51, addresses: [10.0.0.100/24], hold_down: 0s }
  lan: { interface: eth1, virtual_router_id: 51, addresses: [10.0.0.104/24], hold_down: 0s }
  dmz: { interface: eth0, virtual_router_id: 54, addresses: [10.0.0.105/24], hold_down: 0s, notify: { before_claim: /bin/true } }
sync_groups: { other: { members: [wan, dmz], notify: { before_claim: /bin/true } } }",
    "instances:
  lan: { interface: eth0, virtual_router_id: 51, addresses: [10.0.0.100/24], hold_down: 0s }
  wan: { interface: eth1, virtual_router_id: 51, addresses: [10.0.0.104/24], hold_down: 0s, notify: { before_claim: /bin/true } }
sync_groups: { gateway: { members: [wan, lan] } }",
    "instances:
  wan: { interface: eth0, virtual_router_id: 55, addresses: [10.0.0.100/24], hold_down: 0s }
  lan: { interface: eth0, virtual_router_id: 51, addresses: [10.0.0.104/24], hold_down: 0s, notify: { before_claim: /bin/true } }
sync_groups: { gateway: { members: [wan, lan], notify: { before_claim: /bin/true } } }",
    "instances:
  wan: { interface: eth0, virtual_router_id: 51, addresses: [10.0.0.100/24], hold_down: 0s }",
];

/// The configurations around one sync group.
pub(crate) fn of_one_group() -> &'static [Config] {
    static ALL: OnceLock<Vec<Config>> = OnceLock::new();
    ALL.get_or_init(|| read(&OF_ONE_GROUP))
}

/// All others, as node db1 sees them.
pub(crate) fn all() -> &'static [Config] {
    static ALL: OnceLock<Vec<Config>> = OnceLock::new();
    ALL.get_or_init(|| read(&INSTANCES))
}

fn read(texts: &[&str]) -> Vec<Config> {
    let here = Here::Node(NodeName::try_from("db1").expect("a name"));
    let read = |instances: &&str| {
        let text = format!("{NODES}{instances}\n");
        load("vipd.yaml", &text, &here).unwrap_or_else(|problems| panic!("{problems:?}"))
    };
    texts.iter().map(read).collect()
}

/// The secrets of those that have some.
pub(crate) fn secrets(config: &Config) -> KeyRing {
    let mut ring = KeyRing::default();
    for instance in &config.instances {
        let secrets = match &instance.authentication {
            Authentication::None => continue,
            Authentication::Password(_) => {
                Secrets::Password(Password::parse(b"12345678").expect("a password"))
            }
            Authentication::Hmac(hmac) => {
                let key = || Key::parse(b"a sentence of at least 32 letters").expect("a key");
                let keys = hmac.keys.iter().map(|one| (one.id, key()));
                Secrets::Keys(keys.collect::<BTreeMap<KeyId, Key>>())
            }
        };
        ring.put(places(instance), secrets);
    }
    ring
}
