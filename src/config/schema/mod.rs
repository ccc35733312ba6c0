//! The configuration as a JSON Schema, for editors: they complete keys, show what each is for and
//! underline what cannot be right. What is valid is decided by the reader of the configuration
//! alone; a schema cannot say all of that.
//!
//! These types mirror what stands in the file. Nothing ever has a value of one.

#![allow(
    dead_code,
    clippy::large_enum_variant,
    reason = "only the definitions of these types are used"
)]
#![allow(clippy::doc_markdown, reason = "editors show these comments as they are")]

mod authentication;
mod notify;
mod routing;
mod track;
mod value;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;

use authentication::Authentication;
use notify::{GroupNotify, Notify};
use routing::{Route, Rule};
use track::Track;
use value::{Duration, Off, OneOrMany, Scope, Version, Word};

/// The schema of a configuration file (JSON Schema, draft 7: what the language server of YAML knows).
pub fn schema() -> serde_json::Value {
    let generator = SchemaSettings::draft07().into_generator();
    generator.into_root_schema_for::<File>().to_value()
}

/// vipd.yaml: the same file on every node of the group. See vipd.yaml(5).
#[derive(JsonSchema)]
#[schemars(title = "vipd.yaml", deny_unknown_fields)]
struct File {
    /// The machines of the group by name, each with its own address or a list of them, the most
    /// preferred first. The node whose address is on this machine is this one.
    nodes: Option<BTreeMap<String, OneOrMany<String>>>,
    /// Checks by name. An instance names those that it depends on under 'track'.
    tracks: Option<BTreeMap<String, Track>>,
    /// Virtual routers by name: sets of addresses that are on one node at a time.
    instances: Option<BTreeMap<String, Instance>>,
    /// Instances that are on one node together, by the name of the group.
    sync_groups: Option<BTreeMap<String, SyncGroup>>,
    /// The group of users whose members may control vipd, as root may. Default: only root.
    control_group: Option<Word>,
}

/// A virtual router: a set of addresses that are on one node at a time.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Instance {
    /// Where the advertisements travel, and what gets the addresses. It need not exist yet.
    #[schemars(length(min = 1, max = 15))]
    interface: String,
    /// The same on all routers of the group, and no other group's on this network segment.
    #[schemars(range(min = 1, max = 255))]
    virtual_router_id: u8,
    /// What moves and is advertised: up to 255.
    addresses: OneOrMany<Address>,
    /// What moves along and is not advertised, of either family, as many as you like. Default: nothing.
    #[schemars(length(min = 1))]
    extra_addresses: Option<Vec<Address>>,
    /// Routes that are there while this node is active. Default: none.
    routes: Option<Vec<Route>>,
    /// Policy rules that are there while this node is active. Default: none.
    rules: Option<Vec<Rule>>,
    /// Whether IPv6 addresses without a link-local one get that of the virtual router, with which an
    /// advertisement starts. Default: auto, it is added.
    link_local: Option<AutoOrOff>,
    /// The VRRP version, the same on all routers of the group. Default: 3.
    version: Option<Version>,
    /// This node's priority; the live router with the highest one is active. 255: the addresses are
    /// this machine's own anyway. Default: from the order of 'nodes'.
    #[schemars(range(min = 1, max = 255))]
    priority: Option<u8>,
    /// How often the active router says that it lives; the others take over after a little more than
    /// three of these. Default: 1s.
    advertisement_interval: Option<Duration>,
    /// The longest interval that is learnt from an active router (version 3). Default: ten times
    /// advertisement_interval, at most 40.95s.
    maximum_interval: Option<Duration>,
    /// Whether this node takes the addresses from a live active router of lower priority. Default:
    /// always.
    preempt: Option<Preempt>,
    /// How long the interface must have had carrier before this node may claim the addresses.
    /// Default: 3s.
    hold_down: Option<Duration>,
    /// How long the link must be down before vipd acts on it. Default: 0s.
    link_down_delay: Option<Duration>,
    /// How long the link must be up again before vipd acts on it. Default: 0s.
    link_up_delay: Option<Duration>,
    /// How long the kernel keeps an address that vipd does not renew: whole seconds, or off. Default:
    /// the longest time that another node may wait before it takes over, rounded up.
    lease: Option<Lease>,
    /// How often the active node tells the segment again who has the addresses; 0s: never. Default:
    /// 60s.
    announce_refresh: Option<Duration>,
    /// How version 3 advertisements over IPv4 are summed. Default: auto, as the others do.
    checksum: Option<Checksum>,
    /// Whether the active node accepts what is sent to its addresses. Always: false is refused. Default:
    /// true.
    accept: Option<bool>,
    /// How advertisements travel. Default: multicast.
    transport: Option<Transport>,
    /// With 'transport: unicast': the addresses of the other nodes. Default: those under 'nodes'.
    peers: Option<OneOrMany<Word>>,
    /// With 'transport: unicast': the lowest TTL or hop limit that is accepted; lower by one for each
    /// router on the way. Default: 255, no router is on the way.
    #[schemars(range(min = 1, max = 255))]
    minimum_ttl: Option<u8>,
    /// Another multicast group than 224.0.0.18 and ff02::12, one of a family.
    multicast_group: Option<OneOrMany<Word>>,
    /// The interfaces on which advertisements are sent and heard, the instance's own among them: the
    /// others are alive while they are heard on any. Default: the instance's own.
    paths: Option<OneOrMany<Word>>,
    /// The checks that this instance depends on, by their names under 'tracks'. Default: none.
    track: Option<OneOrMany<Word>>,
    /// What happens when checks without a cost fail on every node. Default: release.
    if_all_fail: Option<IfAllFail>,
    /// Who is told when the state changes, and what is started then. Default: nobody and nothing.
    notify: Option<Notify>,
    /// How the routers of the group prove to each other that they belong to it. Default: not at all.
    authentication: Option<Authentication>,
    /// Whether the virtual router has an Ethernet address of its own, 00:00:5e:00:01 (IPv6: 02) and its
    /// number. Default: false.
    virtual_mac: Option<bool>,
}

/// An address, alone or with options.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum Address {
    /// With or without a prefix length, like 192.0.2.100/24 or 2001:db8::100; without: /32 or /128.
    Alone(#[schemars(length(min = 3))] String),
    /// With options.
    WithOptions(AddressOptions),
}

/// An address with options.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct AddressOptions {
    /// With or without a prefix length, like 192.0.2.100/24 or 2001:db8::100; without: /32 or /128.
    address: String,
    /// The interface that gets it. Default: the instance's.
    #[schemars(length(min = 1, max = 15))]
    dev: Option<String>,
    /// What 'ip address' shows beside it: the interface's name, alone or followed by ':' and a word.
    /// IPv4 only.
    #[schemars(length(min = 1, max = 15))]
    label: Option<String>,
    /// As in ip-address(8), IPv4 only. Default: global.
    scope: Option<Scope>,
}

/// Instances that are on one node together.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum SyncGroup {
    /// Their names, two or more.
    Members(#[schemars(length(min = 2))] Vec<Word>),
    /// Their names and hooks.
    WithHooks(Box<SyncGroupOptions>),
}

/// A sync group with hooks.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct SyncGroupOptions {
    /// The names of the instances, two or more.
    #[schemars(length(min = 2))]
    members: Vec<Word>,
    /// Who is told when the state of the group changes, and what is started then.
    notify: Option<GroupNotify>,
}

/// Whether to take over from a live active router of lower priority.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum Preempt {
    /// Always, or never.
    Word(PreemptWord),
    /// After having heard it for this long, like: after 60s
    After(#[schemars(regex(pattern = r"^after\s+[0-9]+(\.[0-9]+)?(ms|s|m|h)$"))] String),
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
enum PreemptWord {
    Always,
    Never,
}

/// How long the kernel keeps an address that is not renewed.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum Lease {
    /// For ever (YAML reads the bare word off as false, or as text).
    Off(Off),
    /// So long: whole seconds.
    For(Duration),
}

/// Whether something is done where it is needed.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum AutoOrOff {
    /// It is.
    Auto(Auto),
    /// It is not (YAML reads the bare word off as false, or as text).
    Off(Off),
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
enum Auto {
    Auto,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
enum Checksum {
    Auto,
    Rfc5798,
    Rfc9568,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
enum Transport {
    /// To a group that the others listen to.
    Multicast,
    /// To each of the other nodes alone.
    Unicast,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
enum IfAllFail {
    /// Nobody has the addresses.
    Release,
    /// The best failing node has them.
    Keep,
}
