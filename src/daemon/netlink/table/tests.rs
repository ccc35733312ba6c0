//! What the engine is told of the kernel's messages.

use super::*;

fn name(text: &str) -> InterfaceName {
    text.try_into().unwrap()
}

fn table(names: &[&str]) -> Table {
    Table::new(names.iter().map(|text| name(text)).collect())
}

fn link(index: u32, name: &str, up: bool) -> Notice {
    Notice::Link(LinkState {
        index,
        name: Some(name.to_owned()),
        mac: Some(vec![2, 0, 0, 0, 0, 1]),
        mtu: Some(1500),
        up,
        carrier: up,
        ..LinkState::default()
    })
}

fn key(address: &str) -> AddressKey {
    let (address, prefix) = address.split_once('/').unwrap();
    AddressKey { address: address.parse().unwrap(), prefix: prefix.parse().unwrap() }
}

fn address(text: &str, secondary: bool) -> KernelAddress {
    KernelAddress { key: key(text), secondary, scope: 0, usable: true, duplicate: false }
}

/// eth0 with index 2, its own address and a virtual one, all told.
fn ready() -> Table {
    let mut table = table(&["eth0"]);
    table.reload([
        link(2, "eth0", true),
        Notice::Address(2, address("10.0.0.11/24", false)),
        Notice::Address(2, address("10.0.0.100/24", true)),
    ]);
    assert_eq!(links(&table.news()), ["eth0 2 up 10.0.0.11 10.0.0.100"]);
    table
}

/// The news as text: interfaces with what matters here, and addresses that are gone.
fn links(news: &[Input]) -> Vec<String> {
    let line = |input: &Input| match input {
        Input::Link { interface, link: None } => format!("{interface} missing"),
        Input::Link { interface, link: Some(link) } => {
            let state = if link.up { "up" } else { "down" };
            let addresses = link.addresses.iter().map(|a| format!(" {}", a.address));
            format!("{interface} {} {state}{}", link.index, addresses.collect::<String>())
        }
        Input::AddressGone { address, loss: Loss::Removed, .. } => format!("gone {address}"),
        Input::AddressGone { address, loss, .. } => format!("gone {address} {loss:?}"),
        other => panic!("{other:?}"),
    };
    news.iter().map(line).collect()
}

/// The news after each of the changes, as if each came alone.
fn told(table: &mut Table, changes: impl IntoIterator<Item = Notice>) -> Vec<String> {
    let news = changes.into_iter().flat_map(|change| {
        table.apply(change);
        links(&table.news())
    });
    news.collect()
}

/// Rule: the engine hears of every configured interface at the start, also of a missing one,
/// and then only of changes to what it sees.
#[test]
fn each_interface_is_told_once() {
    let mut table = table(&["eth0", "eth1"]);
    table.reload([link(2, "eth0", true), link(3, "other", true)]);
    assert_eq!(links(&table.news()), ["eth0 2 up", "eth1 missing"]);
    assert!(told(&mut table, [link(2, "eth0", true), link(3, "other", false)]).is_empty());
}

/// Rule: an interface is its name. It may leave the name, and another may take it.
#[test]
fn names_move_between_interfaces() {
    let mut table = table(&["eth0"]);
    table.reload([link(2, "eth0", true), link(3, "spare", true)]);
    table.news();
    let renamed = [link(2, "old", true), link(3, "eth0", true)];
    assert_eq!(told(&mut table, renamed), ["eth0 missing", "eth0 3 up"]);
    let replaced = [Notice::LinkGone(3), link(9, "eth0", true)];
    assert_eq!(told(&mut table, replaced), ["eth0 missing", "eth0 9 up"]);
}

/// Bug guarded: of an address whose lease had run out it was said that another program took it.
#[test]
fn a_lease_that_ran_out_is_told_from_a_removal() {
    let mut table = ready();
    let gone = |expired| Notice::AddressGone(2, key("10.0.0.100/24"), expired);
    let expected = ["eth0 2 up 10.0.0.11", "gone 10.0.0.100 Expired"];
    assert_eq!(told(&mut table, [gone(true)]), expected);
    let back = Notice::Address(2, address("10.0.0.100/24", true));
    let expected = ["eth0 2 up 10.0.0.11 10.0.0.100", "eth0 2 up 10.0.0.11", "gone 10.0.0.100"];
    assert_eq!(told(&mut table, [back, gone(false)]), expected);
}

/// Rule: an address that another program removes is news; one that we remove is not.
#[test]
fn only_foreign_removals_are_told() {
    let mut table = ready();
    let foreign = Notice::AddressGone(2, key("10.0.0.100/24"), false);
    assert_eq!(told(&mut table, [foreign]), ["eth0 2 up 10.0.0.11", "gone 10.0.0.100"]);

    let mut table = ready();
    table.expect_removal(2, key("10.0.0.100/24"));
    let own = Notice::AddressGone(2, key("10.0.0.100/24"), false);
    assert_eq!(told(&mut table, [own]), ["eth0 2 up 10.0.0.11"]);
    // Put back and then removed by another program.
    let again = Notice::Address(2, address("10.0.0.100/24", true));
    table.apply(again);
    table.news();
    let foreign = Notice::AddressGone(2, key("10.0.0.100/24"), false);
    assert_eq!(told(&mut table, [foreign]), ["eth0 2 up 10.0.0.11", "gone 10.0.0.100"]);
}

/// Bug guarded: after a removal that failed, the next one is not taken for ours.
#[test]
fn a_failed_removal_is_not_expected_any_more() {
    let mut table = ready();
    table.expect_removal(2, key("10.0.0.100/24"));
    table.unexpect_removal(2, key("10.0.0.100/24"));
    let foreign = Notice::AddressGone(2, key("10.0.0.100/24"), false);
    assert_eq!(told(&mut table, [foreign]), ["eth0 2 up 10.0.0.11", "gone 10.0.0.100"]);
}

/// Rule: with an interface its addresses vanish unmentioned. The kernel takes it down, then
/// removes the addresses one by one, then the interface.
#[test]
fn addresses_of_a_vanishing_interface_are_not_told() {
    let mut table = ready();
    let end = [
        link(2, "eth0", false),
        Notice::AddressGone(2, key("10.0.0.11/24"), false),
        Notice::AddressGone(2, key("10.0.0.100/24"), false),
        Notice::LinkGone(2),
    ];
    let news = told(&mut table, end);
    assert!(!news.iter().any(|line| line.starts_with("gone")), "{news:?}");
    assert_eq!(news.last().map(String::as_str), Some("eth0 missing"));
    // Nor later, when there is another one of that name.
    assert_eq!(told(&mut table, [link(7, "eth0", true)]), ["eth0 7 up"]);
}

/// Rule: what an interface loses while it is down (the kernel takes away IPv6 addresses then)
/// is told when it is up again, unless it is back by then or we did not want it any more.
#[test]
fn losses_while_down_are_told_when_up() {
    let mut table = ready();
    for text in ["2001:db8::1/64", "2001:db8::2/64", "2001:db8::3/64"] {
        table.apply(Notice::Address(2, address(text, false)));
    }
    table.news();
    let down = [
        link(2, "eth0", false),
        Notice::AddressGone(2, key("2001:db8::1/64"), false),
        Notice::AddressGone(2, key("2001:db8::2/64"), false),
        Notice::AddressGone(2, key("2001:db8::3/64"), false),
        Notice::Address(2, address("2001:db8::2/64", false)),
    ];
    let news = told(&mut table, down);
    assert!(!news.iter().any(|line| line.starts_with("gone")), "{news:?}");
    table.expect_removal(2, key("2001:db8::3/64"));
    let news = told(&mut table, [link(2, "eth0", true)]);
    assert_eq!(news, ["eth0 2 up 10.0.0.11 10.0.0.100 2001:db8::2", "gone 2001:db8::1 Down"]);
}

/// Rule: after an overrun the difference to what was known is told like the events that were
/// lost, and the event of our own removal may have been among them.
#[test]
fn a_reload_tells_the_difference() {
    let mut table = ready();
    table.apply(Notice::Address(2, address("10.0.0.101/24", true)));
    table.news();
    table.expect_removal(2, key("10.0.0.101/24"));
    table.reload([link(2, "eth0", true), Notice::Address(2, address("10.0.0.11/24", false))]);
    assert_eq!(links(&table.news()), ["eth0 2 up 10.0.0.11", "gone 10.0.0.100"]);
    // The lost event does not make a later removal look like ours.
    table.apply(Notice::Address(2, address("10.0.0.101/24", true)));
    table.news();
    let foreign = Notice::AddressGone(2, key("10.0.0.101/24"), false);
    assert_eq!(told(&mut table, [foreign]), ["eth0 2 up 10.0.0.11", "gone 10.0.0.101"]);
}

/// Rule: addresses stand in the kernel's order, so that the first primary one is the one that
/// the kernel itself uses; unusable ones do not stand there at all.
#[test]
fn addresses_stand_in_the_kernels_order() {
    let mut table = ready();
    let link_local = KernelAddress { scope: 253, ..address("fe80::1/64", false) };
    let tentative = KernelAddress { usable: false, ..address("2001:db8::9/64", false) };
    let more = [
        address("192.0.2.1/24", false),
        link_local,
        address("2001:db8::1/64", false),
        address("2001:db8::2/64", false),
        tentative,
    ];
    let news = told(&mut table, more.map(|address| Notice::Address(2, address)));
    let order = "10.0.0.11 192.0.2.1 10.0.0.100 2001:db8::2 2001:db8::1 fe80::1";
    assert_eq!(news.last(), Some(&format!("eth0 2 up {order}")));
    // The primary address goes and the kernel promotes the secondary one.
    let promoted = [
        Notice::AddressGone(2, key("10.0.0.11/24"), false),
        Notice::Address(2, address("10.0.0.100/24", false)),
    ];
    let order = "192.0.2.1 10.0.0.100 2001:db8::2 2001:db8::1 fe80::1";
    assert_eq!(told(&mut table, promoted).last(), Some(&format!("eth0 2 up {order}")));
}
