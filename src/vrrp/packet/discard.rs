//! Why a received packet is dropped: one variant for each rule.

use serde::{Deserialize, Serialize};

/// Writes the enum, its list and its names from one table, so that none can be forgotten.
macro_rules! discards {
    ($($(#[doc = $doc:literal])+ $variant:ident, $name:literal, $text:literal;)+) => {
        /// The rule that a received packet broke.
        ///
        /// A dropped packet changes nothing but the counter of its rule. The order is that in
        /// which the rules are applied: a packet that breaks several counts for the first.
        /// [`Datagram`](super::Datagram) applies those of the header, [`decode`](super::decode)
        /// those that a message can break by itself, and the engine those that need the
        /// configuration or this node's addresses. [`Discard::Length`] comes twice: for the
        /// fixed part first, for the rest once the version says how long it has to be.
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
            thiserror::Error,
        )]
        pub enum Discard {
            $(
                $(#[doc = $doc])+
                #[serde(rename = $name)]
                #[error($text)]
                $variant,
            )+
        }

        impl Discard {
            /// Every rule, in the order in which they are applied.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The rule's name for metrics: `snake_case`, the same in every release, and what
            /// the variant serializes as.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }
    };
}

discards! {
    /// The IPv4 header is malformed: too short, another version, or a total length that is not
    /// the number of bytes received (RFC 791 section 3.1).
    IpHeader, "ip_header",
        "the IP header is malformed or does not agree with the packet's size";
    /// It is a fragment. The kernel reassembles before it hands over, and an advertisement never
    /// needs more than one packet.
    Fragment, "fragment", "it is a fragment of an IP packet";
    /// The IP protocol is not 112 (RFC 9568 section 5.1.1.4).
    Protocol, "protocol", "its IP protocol is not 112 (VRRP)";
    /// The TTL or hop limit is lower than it may be. Multicast needs 255, otherwise it did not start on
    /// this segment (RFC 9568 sections 5.1.1.3 and 7.1).
    Ttl, "ttl", "its TTL or hop limit is too low: it has come through more routers than may be";
    /// It was not sent to where this virtual router listens: the multicast group (RFC 9568 sections
    /// 5.1.1.2 and 5.1.2.2), or with `transport: unicast` this node's own address.
    Destination, "destination",
        "it was not sent to where this virtual router listens: its multicast group, or with \
         `transport: unicast` this node's own address";
    /// The message is not exactly as long as its fixed part, its count of addresses and, in
    /// version 2, its authentication data need (RFC 9568 section 7.1).
    Length, "length", "its length is not what its version and its count of addresses need";
    /// The version is neither 2 nor 3, or it is 2 over IPv6, which that version does not know
    /// (RFC 9568 section 7.1).
    Version, "version", "it is of a VRRP version that does not exist for its address family";
    /// The type is not 1, ADVERTISEMENT (RFC 9568 sections 5.2.2 and 7.1).
    MessageType, "message_type", "it is a VRRP message of an unknown type";
    /// No virtual router of this ID is configured on the interface (RFC 9568 section 7.1). Zero
    /// is no ID.
    VirtualRouter, "virtual_router", "no virtual router with its ID is configured here";
    /// It speaks the other version than the one configured.
    VersionMismatch, "version_mismatch",
        "it speaks another VRRP version than the one configured here";
    /// Its source address is one of our own: our packet came back, or someone uses our address.
    OwnPacket, "own_packet", "it came from one of our own addresses";
    /// With `transport: unicast`: its sender is none of the peers.
    NotAPeer, "not_a_peer", "its sender is none of the configured peers";
    /// It has no HMAC trailer, and the mode is `enforce`: its sender signs nothing, or somebody has
    /// stripped it.
    TrailerMissing, "trailer_missing", "it is not signed, and only signed ones are accepted here";
    /// Its HMAC trailer is of an unknown type, or reserved bytes in it are not zero.
    TrailerMalformed, "trailer_malformed", "its authentication trailer is of an unknown kind";
    /// Its time stamp is further from this node's clock than the time window: it was recorded some
    /// time ago, or the clocks differ.
    Stale, "stale",
        "its time stamp is outside the time window: are the clocks of all nodes synchronized?";
    /// The key that it was signed with is not configured.
    UnknownKey, "unknown_key", "it is signed with a key whose number is not configured here";
    /// The code in its HMAC trailer is wrong: another key under the same number, a changed or
    /// forged advertisement, or a source address that was translated on the way.
    Hmac, "hmac", "its signature is wrong: another key under this number, or a forgery";
    /// The checksum does not fit in any form that the version and family allow (RFC 9568
    /// section 5.2.8).
    Checksum, "checksum", "its checksum is wrong";
    /// A version 2 authentication type other than none and simple password. Type 2, IP AH, was
    /// withdrawn with RFC 3768 (section 5.3.6.3).
    AuthenticationType, "authentication_type",
        "its authentication type is neither none nor simple password";
    /// It names no address (RFC 9568 section 5.2.5: the minimum is 1).
    NoAddresses, "no_addresses", "it names no address";
    /// The interval is zero, with which every backup would take over at once (RFC 9568 erratum
    /// 8301).
    ZeroInterval, "zero_interval", "its advertisement interval is zero";
    /// It is authenticated, or is not, other than configured (RFC 3768 section 7.1): a password, none,
    /// or an HMAC trailer.
    AuthenticationMismatch, "authentication_mismatch",
        "its kind of authentication is not the one configured here";
    /// The simple password is not ours (RFC 3768 section 7.1).
    Password, "password", "its password is not the one configured here";
    /// Version 2: the interval is not ours (RFC 3768 section 7.1). Version 3 learns it instead.
    IntervalMismatch, "interval_mismatch",
        "its advertisement interval is not the one configured here, as version 2 requires";
    /// It is signed, but its source is neither in a network of the interface that it came by nor a
    /// node of the configuration. Somebody may have copied it from another segment.
    ForeignSource, "foreign_source",
        "it is signed, but its source is in no network of this interface: copied from another \
         segment, or a router that is missing under `nodes`";
    /// It is signed, but shares no address with this virtual router. Somebody may have copied it
    /// from another virtual router with the same ID and key.
    ForeignAddresses, "foreign_addresses",
        "it is signed, but names none of the addresses configured here: copied from another \
         virtual router with this ID and key, or the configurations differ";
    /// It is signed and recent, but was sent before this node began to listen, so that it cannot be
    /// known whether it is new.
    BeforeStart, "before_start", "it was signed before this node began to listen";
    /// It is signed and recent, but it or a later one of the same sender was accepted already.
    Replay, "replay", "it was accepted already, or a later one of its sender was";
    /// Both its sender and this node say that they own the addresses (priority 255). Neither may yield
    /// because of an address that is higher by chance, so it is said aloud instead (RFC 9568 section
    /// 8.3.2; erratum 8298 has section 7.1 hear all others).
    AddressOwner, "address_owner",
        "its sender says that it owns the addresses (priority 255), as this node does";
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rule: a counter has one name, in metrics and in recordings alike, and names are distinct.
    #[test]
    fn names_are_stable_and_distinct() {
        let names: std::collections::BTreeSet<_> = Discard::ALL.iter().map(|d| d.name()).collect();
        assert_eq!(names.len(), Discard::ALL.len());
        for &discard in Discard::ALL {
            let written = serde_json::to_value(discard).unwrap();
            assert_eq!(written, discard.name());
            assert_eq!(serde_json::from_value::<Discard>(written).unwrap(), discard);
            assert!(discard.name().chars().all(|c| c.is_ascii_lowercase() || c == '_'));
        }
    }

    /// Rule: the list is in the order of the rules, so a report reads like the reception does.
    #[test]
    fn the_list_is_in_order() {
        assert!(Discard::ALL.is_sorted());
    }
}
