//! One interface, looked up once.

use std::io;
use std::pin::pin;

use futures_util::StreamExt as _;
use netlink_packet_core::{NLM_F_REQUEST, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkMessage};
use netlink_proto::sys::{SocketAddr, protocols::NETLINK_ROUTE};
use nix::errno::Errno;

use super::message::{self, Message};
use super::table::Notice;
use crate::model::{InterfaceName, Mac};

/// What the kernel says of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Its number.
    pub(crate) index: u32,
    /// Its Ethernet address, where it has one.
    pub(crate) mac: Option<Mac>,
    /// Whether it is administratively up.
    pub(crate) up: bool,
    /// Whether it has carrier and is operational.
    pub(crate) carrier: bool,
}

/// Asks the kernel; within a tokio runtime. `None`: there is no interface of this name.
///
/// # Errors
/// What the kernel says.
pub(crate) async fn look_up(name: &InterfaceName) -> io::Result<Option<Found>> {
    let (reader, connection, _) = netlink_proto::new_connection(NETLINK_ROUTE)?;
    // It ends once the last handle of the connection, and what was asked through it, is dropped.
    tokio::spawn(reader);
    let mut link = LinkMessage::default();
    link.attributes.push(LinkAttribute::IfName(name.to_string()));
    let mut question = Message::from(RouteNetlinkMessage::GetLink(link));
    question.header.flags = NLM_F_REQUEST;
    let answers = connection.request(question, SocketAddr::new(0, 0)).map_err(io::Error::other)?;
    match pin!(answers).next().await.map(|answer| answer.payload) {
        Some(NetlinkPayload::InnerMessage(inner)) => match message::change(inner) {
            Some(Notice::Link(state)) => Ok(Some(Found {
                index: state.index,
                mac: state.mac.and_then(|bytes| bytes.try_into().ok()).map(Mac),
                up: state.up,
                carrier: state.carrier,
            })),
            _ => Err(Errno::EPROTO.into()),
        },
        Some(NetlinkPayload::Error(error)) => {
            match Errno::from_raw(error.raw_code().saturating_abs()) {
                Errno::ENODEV => Ok(None),
                errno => Err(errno.into()),
            }
        }
        _ => Err(Errno::EPROTO.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rule: an interface is found by its name alone, and that there is none is an answer.
    #[test]
    fn by_name() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let find = |name: &str| runtime.block_on(look_up(&name.try_into().unwrap())).unwrap();
        assert_eq!(find("lo").unwrap().index, 1);
        assert_eq!(find("no-such-device"), None);
    }
}
