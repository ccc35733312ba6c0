//! Devices with virtual MAC addresses: what is asked of the kernel for them.

use netlink_packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    AfSpecInet6, AfSpecUnspec, In6AddrGenMode, LinkAttribute, LinkFlags, LinkMessage, MacVlanMode,
};
use nix::errno::Errno;
use rtnetlink::LinkMacVlan;

use super::interface::Made;
use super::message::Message;
use super::system_error;
use crate::engine::SystemError;
use crate::model::{Family, VirtualDevice};

/// What the kernel calls such a device.
const KIND: &str = "macvlan";

/// Asks for a device on the interface of index `below`, given what has its name already. Afterwards it
/// is down.
///
/// # Errors
/// That another program's interface has the name.
pub(super) fn make(
    device: &VirtualDevice,
    below: u32,
    there: Option<(u32, &Made)>,
) -> Result<Vec<Message>, SystemError> {
    let mut messages = Vec::new();
    match there {
        Some((index, made)) if !is_ours(made, device) => {
            let text = format!(
                "there is an interface {device} already, of index {index}, which vipd has not made: \
                 rename it (ip link set {device} name ...)"
            );
            return Err(SystemError { errno: Errno::EEXIST as i32, text });
        }
        Some((index, made)) if is_as_wanted(made, device, below) => {
            messages.push(set(index, false));
        }
        Some((index, _)) => messages.extend([remove(index), create(device, below)]),
        None => messages.push(create(device, below)),
    }
    messages.push(describe(device));
    Ok(messages)
}

/// Whether an interface of that name is vipd's. A daemon that is killed between making one and marking
/// it leaves it without the mark.
pub(super) fn is_ours(made: &Made, device: &VirtualDevice) -> bool {
    let is_marked = made.alias.as_deref().map(VirtualDevice::is_label);
    made.kind.as_deref() == Some(KIND) && is_marked.unwrap_or(made.mac == Some(device.mac()))
}

fn is_as_wanted(made: &Made, device: &VirtualDevice, below: u32) -> bool {
    made.mac == Some(device.mac()) && made.below == Some(below)
}

/// Of mode bridge: in mode private the kernel takes whatever comes from the same Ethernet address, that
/// is, what another active router sends, for something that came back, and the interface never sees
/// it (`macvlan_handle_frame` in Linux' `drivers/net/macvlan.c`). So two active routers would not
/// hear each other.
fn create(device: &VirtualDevice, below: u32) -> Message {
    let name = device.name();
    let body = LinkMacVlan::new(name.as_str(), below, MacVlanMode::Bridge)
        .address(device.mac().0.to_vec())
        .build();
    request(RouteNetlinkMessage::NewLink(body), NLM_F_CREATE | NLM_F_EXCL)
}

/// The mark, and that it makes no IPv6 address of its own: both can be set only once it is there.
fn describe(device: &VirtualDevice) -> Message {
    let mut body = LinkMessage::default();
    body.attributes.push(LinkAttribute::IfName(device.name().to_string()));
    body.attributes.push(LinkAttribute::IfAlias(device.label()));
    if device.family == Family::V6 {
        let none = AfSpecInet6::AddrGenMode(In6AddrGenMode::None);
        let families = vec![AfSpecUnspec::Inet6(vec![none])];
        body.attributes.push(LinkAttribute::AfSpecUnspec(families));
    }
    request(RouteNetlinkMessage::SetLink(body), 0)
}

/// Takes an interface up or down.
pub(super) fn set(index: u32, up: bool) -> Message {
    let mut body = LinkMessage::default();
    body.header.index = index;
    body.header.change_mask = LinkFlags::Up;
    body.header.flags = if up { LinkFlags::Up } else { LinkFlags::empty() };
    request(RouteNetlinkMessage::SetLink(body), 0)
}

/// Removes an interface.
pub(super) fn remove(index: u32) -> Message {
    let mut body = LinkMessage::default();
    body.header.index = index;
    request(RouteNetlinkMessage::DelLink(body), 0)
}

/// Asks for an interface by its name.
pub(super) fn get(name: &str) -> Message {
    let mut body = LinkMessage::default();
    body.attributes.push(LinkAttribute::IfName(name.to_owned()));
    let mut message = Message::from(RouteNetlinkMessage::GetLink(body));
    message.header.flags = NLM_F_REQUEST;
    message
}

fn request(body: RouteNetlinkMessage, flags: u16) -> Message {
    let mut message = Message::from(body);
    message.header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
    message
}

/// Why a device could not be made, in words that say what to do.
pub(super) fn not_made(device: &VirtualDevice, errno: i32) -> SystemError {
    let interface = &device.interface;
    let why = match Errno::from_raw(errno) {
        Errno::EBUSY => format!(
            "{interface} is a port of a bridge or of a bond: name that as the interface instead"
        ),
        Errno::EOPNOTSUPP => "this kernel has no macvlan devices (modprobe macvlan)".to_owned(),
        Errno::EINVAL => format!("{interface} is of a kind that can have no macvlan on it"),
        _ => return system_error(errno),
    };
    SystemError { errno, text: why }
}

/// Why a device could not be taken up or down.
pub(super) fn not_set(errno: i32) -> SystemError {
    if Errno::from_raw(errno) != Errno::EBUSY {
        return system_error(errno);
    }
    let text = "another device on the same interface has this Ethernet address, that is, another VRRP \
                program runs here (ip -d link show type macvlan)";
    SystemError { errno, text: text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Mac;

    fn device() -> VirtualDevice {
        let virtual_router_id = 51.try_into().unwrap();
        let interface = "eth0".try_into().unwrap();
        VirtualDevice { interface, family: Family::V4, virtual_router_id }
    }

    fn made() -> Made {
        Made {
            kind: Some(KIND.to_owned()),
            below: Some(2),
            alias: Some(device().label()),
            mac: Some(device().mac()),
        }
    }

    fn count(made: &Made) -> usize {
        make(&device(), 2, Some((7, made))).unwrap().len()
    }

    /// Rule: what an earlier vipd has left is used, or made anew where it is not as it must be; what is
    /// another program's is not touched.
    #[test]
    fn what_is_there_is_used_where_it_is_ours() {
        assert_eq!(make(&device(), 2, None).unwrap().len(), 2, "made and marked");
        assert_eq!(count(&made()), 2, "taken down and marked");
        assert_eq!(count(&Made { alias: None, ..made() }), 2, "killed before it was marked");
        assert_eq!(count(&Made { below: Some(3), ..made() }), 3, "made anew");
        assert_eq!(count(&Made { mac: Some(Mac([2; 6])), ..made() }), 3, "made anew");
        let foreign = [
            Made { kind: Some("dummy".to_owned()), ..made() },
            Made { alias: Some("uplink".to_owned()), ..made() },
            Made { alias: None, mac: Some(Mac([2; 6])), ..made() },
        ];
        for made in &foreign {
            let error = make(&device(), 2, Some((7, made))).unwrap_err();
            assert!(error.text.contains("which vipd has not made"), "{error:?}");
        }
    }
}
