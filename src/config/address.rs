//! The addresses of an instance: a list of `10.0.0.100/24` or of mappings with options.

use super::fields::{Cidr, Label};
use super::keys::ADDRESS;
use super::problem::{Marked, Problems, Spot, Wrong, quoted};
use super::section::{Given, Section};
use super::source::{Content, Node};
use crate::model::{InterfaceName, Scope, VirtualAddress};

/// The number of addresses has one byte on the wire (RFC 9568 section 5.2.5). For IPv4 that is
/// the only bound: a frame of 1500 bytes would carry 366 beside the headers and v2's
/// authentication data. For IPv6 see `family`.
const MOST: usize = 255;

/// The longest label: the kernel gives it as much room as the name of an interface.
const LONGEST_LABEL: usize = 15;

/// What to do about more than an advertisement carries.
pub(super) const MOVE_SOME: &str = "list the others under 'extra_addresses' of this instance: they \
                                    move along and are not advertised";

const EXAMPLE: &str = "a list like [10.0.0.100/24]";

/// Reads the key `addresses`. `interface` is the instance's own, where that is known.
pub(super) fn read(
    section: &Section<'_>,
    interface: Option<&InterfaceName>,
    problems: &mut Problems<'_>,
) -> Vec<Marked<VirtualAddress>> {
    let Some((_, spot)) = section.node("addresses") else {
        section.missing("addresses", &format!("it takes {EXAMPLE}"), problems);
        return Vec::new();
    };
    let addresses = list(section, "addresses", interface, problems);
    if addresses.len() > MOST {
        let what = format!("lists {} addresses; an advertisement carries {MOST}", addresses.len());
        problems.add(&spot, Wrong::new(what).hint(MOVE_SOME));
    }
    addresses
}

/// Reads the key `extra_addresses`: what is not advertised.
pub(super) fn read_extra(
    section: &Section<'_>,
    interface: Option<&InterfaceName>,
    problems: &mut Problems<'_>,
) -> Vec<Marked<VirtualAddress>> {
    list(section, "extra_addresses", interface, problems)
}

fn list(
    section: &Section<'_>,
    key: &str,
    interface: Option<&InterfaceName>,
    problems: &mut Problems<'_>,
) -> Vec<Marked<VirtualAddress>> {
    let Some((node, spot)) = section.node(key) else { return Vec::new() };
    let Content::List(items) = &node.content else {
        problems.add(&spot, Wrong::expected(EXAMPLE, &node.shown()));
        return Vec::new();
    };
    if items.is_empty() {
        problems.add(&spot, Wrong::expected(EXAMPLE, "an empty one"));
    }
    items
        .iter()
        .enumerate()
        .filter_map(|(index, item)| {
            let spot = spot.item(index, item.place);
            let value = address(item, &spot, interface, problems)?;
            Some(Marked { value, spot })
        })
        .collect()
}

fn address(
    item: &Node,
    spot: &Spot,
    interface: Option<&InterfaceName>,
    problems: &mut Problems<'_>,
) -> Option<VirtualAddress> {
    if matches!(item.content, Content::Mapping(_)) {
        let section = Section::open(item, spot.clone(), &ADDRESS, problems)?;
        return with_options(&section, interface, problems);
    }
    match super::fields::read(item) {
        Ok(Cidr { address, prefix }) => {
            Some(VirtualAddress { address, prefix, dev: None, label: None, scope: Scope::Global })
        }
        Err(wrong) => {
            problems.add(spot, wrong);
            None
        }
    }
}

fn with_options(
    section: &Section<'_>,
    interface: Option<&InterfaceName>,
    problems: &mut Problems<'_>,
) -> Option<VirtualAddress> {
    let cidr = section.require::<Cidr>("address", problems);
    let dev = section.take::<InterfaceName>("dev", problems);
    let label = section.take::<Label>("label", problems);
    let scope = section.take::<Scope>("scope", problems);
    let on = match &dev {
        Given::Right(dev) => Some(&dev.value),
        Given::Absent => interface,
        Given::Wrong => None,
    };
    let is_ipv6 = cidr.as_ref().is_some_and(|cidr| cidr.value.address.is_ipv6());
    if let Given::Right(label) = &label {
        let verdict = if is_ipv6 { Err(no_label_in_ipv6()) } else { label_on(&label.value.0, on) };
        verdict.unwrap_or_else(|wrong| problems.add(&label.spot, wrong));
    }
    if let (Given::Right(scope), true) = (&scope, is_ipv6) {
        let wrong = Wrong::new("is for IPv4 only: the scope of an IPv6 address is in its bits");
        problems.add(&scope.spot, wrong.hint("leave it out"));
    }
    let Cidr { address, prefix } = cidr?.value;
    Some(VirtualAddress {
        address,
        prefix,
        dev: dev.map(Some).or(None)?,
        label: label.map(|label| Some(label.0)).or(None)?,
        scope: scope.or(Scope::Global)?,
    })
}

fn no_label_in_ipv6() -> Wrong {
    Wrong::new("is for IPv4 only: the kernel keeps none for an IPv6 address").hint("leave it out")
}

/// What `ip-address(8)` asks of a label: the interface's name, alone or with ':' and more.
fn label_on(label: &str, interface: Option<&InterfaceName>) -> Result<(), Wrong> {
    let wrong =
        |why: String| Wrong::new(format!("{} cannot be a label here: {why}", quoted(label)));
    if label.len() > LONGEST_LABEL {
        let why = format!("it has {} bytes; the kernel takes {LONGEST_LABEL}", label.len());
        return Err(wrong(why));
    }
    if label.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(wrong("white space stands in it".to_owned()));
    }
    let Some(interface) = interface else { return Ok(()) };
    match label.strip_prefix(interface.as_str()) {
        Some(rest) if rest.is_empty() || (rest.len() > 1 && rest.starts_with(':')) => Ok(()),
        _ => {
            let why = "it must be the name of its interface, ':' and a word".to_owned();
            Err(wrong(why).hint(format!("for example {interface}:vip")))
        }
    }
}
