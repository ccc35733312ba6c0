//! Interfaces, by the kernel's events (`rtnetlink(7)`).

use std::collections::BTreeSet;
use std::io;

use futures_util::StreamExt as _;
use netlink_packet_core::NetlinkPayload;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::LinkAttribute;
use rtnetlink::MulticastGroup;

use super::stir::{Stir, Wanted};
use crate::model::{InterfaceName, TrackName};

/// Watches until something fails; says what.
pub(super) async fn watch(wanted: Wanted<InterfaceName>, stir: Stir) -> io::Error {
    let connection = rtnetlink::new_multicast_connection(&[MulticastGroup::Link]);
    let (reader, _handle, mut events) = match connection {
        Ok(connection) => connection,
        Err(error) => return error,
    };
    // It ends once the receiver of its events is dropped.
    tokio::spawn(reader);
    while let Some((message, _)) = events.next().await {
        let tracks = match message.payload {
            NetlinkPayload::Overrun(_) => wanted.iter().map(|(track, _)| track.clone()).collect(),
            NetlinkPayload::InnerMessage(
                RouteNetlinkMessage::NewLink(link) | RouteNetlinkMessage::DelLink(link),
            ) => about(&wanted, &link.attributes),
            _ => BTreeSet::new(),
        };
        stir.all(tracks).await;
    }
    io::Error::other("its events stopped coming")
}

fn about(
    wanted: &[(TrackName, InterfaceName)],
    attributes: &[LinkAttribute],
) -> BTreeSet<TrackName> {
    let about = wanted.iter().filter(|(_, name)| {
        attributes.iter().any(
            |attribute| matches!(attribute, LinkAttribute::IfName(found) if found == name.as_str()),
        )
    });
    about.map(|(track, _)| track.clone()).collect()
}
