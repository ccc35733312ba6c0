//! The floor's messages: the same packets as the daemons', and the same renewals.

use std::net::{IpAddr, Ipv4Addr};

use netlink_packet_core::{
    NLM_F_CREATE, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage,
};
use netlink_packet_route::address::{AddressAttribute, AddressMessage, CacheInfo};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use nix::net::if_::if_nametoindex;
use vipd::model::{Interval, Version};
use vipd::vrrp::packet::{Advertisement, Authentication, ChecksumForm};

use crate::stage;
use crate::workload::{VirtualRouter, Workload};

/// VRRP's IP protocol number, and its group.
pub(crate) const VRRP: i32 = 112;
pub(crate) const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);

/// The number of netlink messages in a send.
const AT_ONCE: usize = 64;

/// A router's advertisement, without its IP header.
pub(crate) fn advertisement(router: VirtualRouter, workload: Workload) -> Vec<u8> {
    let centiseconds = u16::try_from(workload.interval.as_millis() / 10).expect("a short interval");
    let advertisement = Advertisement {
        version: Version::V3,
        virtual_router_id: router.id.try_into().expect("a virtual router ID"),
        priority: stage::PRIORITIES[0],
        interval: Interval::try_from(centiseconds).expect("an interval"),
        addresses: vec![router.address().into()],
        authentication: Authentication::None,
    };
    let source = IpAddr::V4(stage::own_address(router.interface, stage::ACTIVE));
    advertisement
        .encode(source, GROUP.into(), ChecksumForm::WithPseudoHeader)
        .expect("a valid message")
}

/// The netlink messages that add or renew all addresses, so many to a send.
pub(crate) fn renewals(workload: Workload) -> Vec<Vec<u8>> {
    let messages: Vec<Vec<u8>> = workload.all().map(|router| renewal(router, workload)).collect();
    messages.chunks(AT_ONCE).map(<[Vec<u8>]>::concat).collect()
}

fn renewal(router: VirtualRouter, workload: Workload) -> Vec<u8> {
    let mut address = AddressMessage::default();
    address.header.family = AddressFamily::Inet;
    address.header.prefix_len = 32;
    let name = router.interface_name();
    address.header.index = if_nametoindex(name.as_str()).expect("an interface of that name");
    let mut lifetimes = CacheInfo::default();
    lifetimes.ifa_valid = u32::try_from(workload.lease().as_secs()).expect("a short lease");
    lifetimes.ifa_preferred = lifetimes.ifa_valid;
    address.attributes = vec![
        AddressAttribute::Address(router.address().into()),
        AddressAttribute::Local(router.address().into()),
        AddressAttribute::CacheInfo(lifetimes),
    ];
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_REPLACE;
    let mut message = NetlinkMessage::new(header, RouteNetlinkMessage::NewAddress(address).into());
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}
