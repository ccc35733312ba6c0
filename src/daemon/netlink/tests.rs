//! Against the kernel itself, in a network namespace of each test's own.

use std::net::IpAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::unistd::getuid;
use serde_json::Value;

use super::*;
use crate::daemon::clock;
use crate::daemon::directory::Directory;
use crate::engine::{HeldAddress, Loss};
use crate::model::{Scope, VirtualAddress};
use crate::time::{Mono, Span};

/// Far longer than anything that is waited for may take.
const BOUND: Duration = Duration::from_secs(15);

/// Set for the second start of this test program, the one inside the namespace.
const INSIDE: &str = "VIPD_NETLINK_TEST";

/// Runs this test once more in a network namespace of its own, where it does `work`: there is an
/// interface `eth0` with 10.77.0.11/24. Ordinary users need a user namespace for that, which a
/// process with threads cannot make, so another program makes both.
fn in_a_namespace(test: &str, work: impl AsyncFnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        ip("link add name eth0 type veth peer name other");
        ip("link set other up");
        // No link-local address, which would become usable in the middle of a test.
        ip("link set eth0 addrgenmode none");
        ip("address add 10.77.0.11/24 dev eth0");
        ip("link set eth0 up");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        return runtime.block_on(work());
    }
    let user: &[&str] = if getuid().is_root() { &[] } else { &["--map-root-user"] };
    let output = Command::new("unshare")
        .args(user)
        .arg("--net")
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture", &format!("daemon::netlink::tests::{test}")])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}\n{complained}");
}

fn ip(arguments: &str) -> String {
    let path = format!("/usr/sbin:/sbin:{}", std::env::var("PATH").unwrap_or_default());
    let arguments = arguments.split_whitespace();
    let output = Command::new("ip").args(arguments).env("PATH", path).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What `ip` says about an address on eth0, null where it isn't there.
fn installed(address: IpAddr) -> Value {
    let links: Value = serde_json::from_str(&ip("-j address show dev eth0")).unwrap();
    let mut infos = links[0]["addr_info"].as_array().unwrap().iter();
    infos.find(|info| info["local"] == address.to_string()).cloned().unwrap_or_default()
}

fn eth0() -> InterfaceName {
    "eth0".try_into().unwrap()
}

fn address(text: &str, prefix: u8) -> VirtualAddress {
    let (address, scope) = (text.parse().unwrap(), Scope::Global);
    VirtualAddress { address, prefix, dev: None, label: None, scope }
}

fn there(address: &VirtualAddress, lease: Option<Span>, not_after: Mono) -> Change {
    Change::AddAddress { interface: eth0(), address: address.clone(), lease, not_after }
}

fn gone(address: &VirtualAddress) -> Change {
    Change::RemoveAddress { interface: eth0(), address: address.clone() }
}

async fn start() -> Netlink {
    // Nothing is written there: no device is made.
    let anywhere = Directory::open(std::path::Path::new("/")).unwrap();
    let settings = Settings::in_directory(&anywhere);
    Netlink::start([eth0()].into(), settings).await.unwrap().0
}

/// One change, with its outcome.
async fn change(netlink: &Netlink, change: Change) -> Result<Done, SystemError> {
    let outcome = netlink.request(vec![change.clone()]).await.unwrap().remove(0);
    assert_eq!(outcome.change, change);
    outcome.result
}

/// Puts an address on eth0, or renews it.
async fn add(netlink: &Netlink, address: &VirtualAddress, lease: Option<Span>) {
    change(netlink, there(address, lease, Mono(u64::MAX))).await.unwrap();
}

/// All the news of the next half second.
async fn news(netlink: &mut Netlink) -> Vec<Input> {
    let mut news = Vec::new();
    let quiet = Duration::from_millis(500);
    while let Ok(more) = tokio::time::timeout(quiet, netlink.comes()).await {
        more.unwrap();
        for one in netlink.take(1).unwrap() {
            match one {
                News::Input(input) => news.push(input),
                News::Trouble(text) => panic!("{text}"),
            }
        }
    }
    news
}

/// Rule: a renewal gives the address the lease's lifetime anew, keeps its label, flags and scope,
/// and is no news to the engine; without a lease it stays for good, also where it had one.
#[test]
fn a_renewal_changes_the_lifetime_alone() {
    in_a_namespace("a_renewal_changes_the_lifetime_alone", async || {
        let mut netlink = start().await;
        let labelled =
            VirtualAddress { label: Some("eth0:web".to_owned()), ..address("10.77.0.100", 24) };
        for address in [labelled, address("2001:db8::100", 64)] {
            add(&netlink, &address, Some(Span::from_secs(40))).await;
            let before = installed(address.address);
            assert_eq!(before["valid_life_time"], before["preferred_life_time"], "{before}");
            let left = before["valid_life_time"].as_u64().unwrap();
            assert!((20..=40).contains(&left), "{before}");
            match address.address {
                IpAddr::V4(_) => assert_eq!(before["label"], "eth0:web", "{before}"),
                IpAddr::V6(_) => assert_eq!(before["nodad"], true, "{before}"),
            }
            assert_eq!(before["secondary"].as_bool().unwrap_or(false), address.address.is_ipv4());
            // The link now has one address more.
            let first = news(&mut netlink).await;
            assert!(!first.is_empty(), "the table is not told about new addresses");

            add(&netlink, &address, Some(Span::from_secs(600))).await;
            let after = installed(address.address);
            assert!(after["valid_life_time"].as_u64().unwrap() > 500, "{after}");
            assert_eq!(without_times(after), without_times(before.clone()));
            add(&netlink, &address, None).await;
            let forever = installed(address.address);
            assert_eq!(forever["valid_life_time"], u64::from(u32::MAX), "{forever}");
            assert_eq!(without_times(forever), without_times(before));
            assert_eq!(news(&mut netlink).await, [], "a renewal is news");
        }
    });
}

/// Without what a renewal is there to change: `dynamic` says that there is a lifetime.
fn without_times(mut info: Value) -> Value {
    let fields = info.as_object_mut().unwrap();
    for time in ["valid_life_time", "preferred_life_time", "dynamic"] {
        fields.remove(time);
    }
    info
}

/// Rule (invariant 3, no address without a lease): the kernel removes an address that is not
/// renewed, and that is told as the end of its lease. One that is renewed stays.
#[test]
fn an_address_ends_with_its_lease() {
    in_a_namespace("an_address_ends_with_its_lease", async || {
        let mut netlink = start().await;
        let ends = [address("10.77.0.100", 24), address("2001:db8::100", 64)];
        let renewed = address("10.77.0.101", 24);
        let second = Some(Span::from_secs(1));
        let start = Instant::now();
        for address in ends.iter().chain([&renewed]) {
            add(&netlink, address, second).await;
        }
        add(&netlink, &renewed, Some(Span::from_secs(60))).await;
        let mut gone = Vec::new();
        while gone.len() < ends.len() {
            assert!(start.elapsed() < BOUND, "only {gone:?} are gone");
            for input in news(&mut netlink).await {
                match input {
                    Input::AddressGone { interface, address, loss } => {
                        assert_eq!((interface, loss), (eth0(), Loss::Expired), "{address}");
                        gone.push(address);
                    }
                    other => assert!(matches!(other, Input::Link { .. }), "{other:?}"),
                }
            }
        }
        gone.sort_unstable();
        assert_eq!(gone, ends.map(|address| address.address));
        assert!(start.elapsed() > Duration::from_millis(700), "after {:?}", start.elapsed());
        assert_ne!(installed(renewed.address), Value::Null, "the renewed one is gone too");
    });
}

/// Bug guarded: a daemon that stood still must not, when it goes on, put an address back that
/// somebody else has by now. What comes too late changes nothing; the rest of the batch is done.
#[test]
fn what_is_late_is_not_carried_out() {
    in_a_namespace("what_is_late_is_not_carried_out", async || {
        let netlink = start().await;
        let (first, late, last) =
            (address("10.77.0.100", 24), address("10.77.0.101", 24), address("10.77.0.102", 24));
        let lease = Some(Span::from_secs(60));
        let changes = vec![
            there(&first, lease, Mono(u64::MAX)),
            there(&late, lease, Mono(clock::now().mono.0 - 1)),
            there(&last, lease, clock::now().mono + Span::from_secs(60)),
        ];
        let outcomes = netlink.request(changes).await.unwrap();
        let numbers: Vec<i32> =
            outcomes.into_iter().map(|o| o.result.err().map_or(0, |error| error.errno)).collect();
        assert_eq!(numbers, [0, Errno::ETIME as i32, 0]);
        for (address, is_there) in [(first, true), (late.clone(), false), (last, true)] {
            assert_eq!(installed(address.address) != Value::Null, is_there, "{address}");
        }
        // Alone in its batch too.
        let error = change(&netlink, there(&late, None, Mono(1))).await.unwrap_err();
        assert_eq!(error.errno, Errno::ETIME as i32);
        assert_eq!(installed(late.address), Value::Null);
    });
}

/// Rule: a removal at once says of each address whether it was there, and touches no other; an
/// interface that does not exist has none.
#[test]
fn removals_at_once_say_what_was_there() {
    in_a_namespace("removals_at_once_say_what_was_there", async || {
        let held = |interface: &str, text: &str| HeldAddress {
            interface: interface.try_into().unwrap(),
            address: address(text, 24),
        };
        // More than go to the kernel at once.
        let many: Vec<HeldAddress> =
            (100..230).map(|last| held("eth0", &format!("10.77.0.{last}"))).collect();
        for held in &many {
            ip(&format!("address add {} dev eth0", held.address));
        }
        let absent = [held("eth0", "10.77.0.250"), held("gone0", "10.77.0.100")];
        let all: Vec<_> = absent.iter().chain(&many).map(Removable::Address).collect();
        let removals = remove_now(&all);
        assert_eq!(removals[..2], [Removal::Absent, Removal::Absent]);
        assert!(removals[2..].iter().all(|removal| *removal == Removal::Done), "{removals:?}");
        assert_eq!(removals.len(), all.len());
        assert_eq!(ip("-4 -o address show dev eth0").lines().count(), 1, "its own is there");
        assert_ne!(installed([10, 77, 0, 11].into()), Value::Null);
    });
}

/// Rule: of more changes than go to the kernel at once each has its own outcome, though only the
/// last one of a batch is acknowledged: additions, one that the kernel refuses, and removals.
#[test]
fn each_change_has_its_outcome() {
    in_a_namespace("each_change_has_its_outcome", async || {
        let mut netlink = start().await;
        let good = |last: u8| address(&format!("10.77.1.{last}"), 32);
        // No unicast address.
        let bad = address("ff02::77", 128);
        let mut changes: Vec<Change> =
            (0..200).map(|last| there(&good(last), None, Mono(u64::MAX))).collect();
        let places = [0, 63, 100, 202];
        for place in places {
            changes.insert(place, there(&bad, None, Mono(u64::MAX)));
        }
        let outcomes = netlink.request(changes.clone()).await.unwrap();
        assert_eq!(outcomes.len(), changes.len());
        for (place, (outcome, change)) in outcomes.iter().zip(&changes).enumerate() {
            assert_eq!(outcome.change, *change);
            assert_eq!(outcome.result.is_err(), places.contains(&place), "{place}: {outcome:?}");
        }
        let lists = news(&mut netlink).await.len();
        assert!(lists <= 4, "{lists} states of the interface for additions at once");
        let removals = (0..200).map(|last| gone(&good(last))).collect();
        let outcomes = netlink.request(removals).await.unwrap();
        assert!(outcomes.iter().all(|outcome| outcome.result == Ok(Done::AsWanted)));
        assert_eq!(ip("-4 -o address show dev eth0").lines().count(), 1);
    });
}

/// Rule: the kernel's event about a renewal is left out before it is read, and nothing else is. An
/// address that somebody else took off in the moment of its renewal is told as gone all the same,
/// and as there once it is asked for again.
#[test]
fn events_about_renewals_are_left_out() {
    in_a_namespace("events_about_renewals_are_left_out", async || {
        let vip = address("10.77.0.100", 24);
        let key = interface::AddressKey { address: vip.address, prefix: 24 };
        let mut requests = requests::Requests::open().unwrap();
        let mut events = events::Events::subscribe(requests.port_of_renewals()).unwrap();
        let mut table = table::Table::new([eth0()].into());
        table.reload(requests.dump().unwrap());
        let index = table.index_of(&eth0()).unwrap();
        let mut carry_out = |kind| {
            let message = message::add(index, &vip, Some(Span::from_secs(60)), None);
            let order = requests::Order { message, not_after: None, kind };
            let mut numbers = Vec::new();
            requests.change_some(&mut [order].into(), &mut numbers).unwrap();
            assert_eq!(numbers, [0]);
        };
        let mut follow = |table: &mut table::Table| {
            let mut count = 0;
            // Other interfaces have news of their own, as do links that were just set up.
            let take = |notice| {
                count += match &notice {
                    table::Notice::Address(_, there) if there.key == key => 1,
                    table::Notice::AddressGone(_, gone, _) if *gone == key => 1,
                    _ => 0,
                };
                table.apply(notice);
            };
            events.read(100, take).unwrap();
            count
        };
        carry_out(requests::Kind::Plain);
        assert_eq!(follow(&mut table), 1);
        assert!(table.keeps(index, key));
        table.news();
        carry_out(requests::Kind::Renewal);
        assert_eq!(follow(&mut table), 0, "a renewal is told");

        ip("address del 10.77.0.100/24 dev eth0");
        carry_out(requests::Kind::Renewal);
        assert_eq!(follow(&mut table), 1, "the removal alone");
        let (interface, loss) = (eth0(), Loss::Removed);
        let gone = Input::AddressGone { interface, address: vip.address, loss };
        assert!(table.news().contains(&gone));
        // So the next addition is none of what is known to be there.
        assert!(!table.keeps(index, key));
        carry_out(requests::Kind::Plain);
        assert_eq!(follow(&mut table), 1);
        assert!(table.keeps(index, key));
    });
}
