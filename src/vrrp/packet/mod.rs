//! VRRP packets: bytes from the network to an [`Advertisement`] or to the rule that they break,
//! and back.
//!
//! ```text
//! v3:  0 version=3 | type=1   1 VRID   2 priority   3 count of addresses
//!      4 reserved(4 bits) | max advertisement interval (12 bits, centiseconds)   6 checksum
//!      8 addresses
//! v2:  0 version=2 | type=1   1 VRID   2 priority   3 count of addresses
//!      4 authentication type   5 advertisement interval (seconds)   6 checksum
//!      8 addresses, then 8 bytes of authentication data
//! ```
//!
//! The receiver's rules come in this order: [`Datagram::from_ipv4`] (the IP header), the
//! multicast checks of [`Datagram`], [`virtual_router_id`] (whose is it?), [`decode`] (is it
//! valid?), then what only the engine can know. See [`Discard`] for all of them.

mod checksum;
mod datagram;
mod discard;
mod password;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::IpAddr;

pub use checksum::ChecksumForm;
pub use datagram::{Datagram, IP_PROTOCOL, MULTICAST_TTL, multicast_group};
pub use discard::Discard;
pub use password::{blank_password, fill_in_password};

use super::auth::TRAILER_LENGTH;
use crate::model::{Family, Interval, Version, Vrid};

/// The message type of an advertisement, the only one there is (RFC 9568 section 5.2.2).
const ADVERTISEMENT: u8 = 1;

/// The bits of v3's interval field that are the interval: the four above are reserved, and a
/// receiver ignores them (RFC 9568 sections 5.2.6 and 5.2.7).
const INTERVAL_BITS: u16 = 0x0fff;

/// The authentication type "none" (RFC 3768 section 5.3.6.1).
const NO_AUTHENTICATION: u8 = 0;

/// The authentication type "simple text password" (RFC 2338 section 5.3.6.2; RFC 3768 withdrew
/// it, and routers still use it).
const SIMPLE_PASSWORD: u8 = 1;

/// How a v2 advertisement says that it comes from a member of the group.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Authentication {
    /// Not at all; all that v3 has by itself.
    None,
    /// A password in clear text, padded with zeros (RFC 2338 section 5.3.6.2).
    SimplePassword([u8; 8]),
}

/// Without the password: this ends in logs.
impl fmt::Debug for Authentication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::SimplePassword(_) => "SimplePassword(..)",
        })
    }
}

/// What an active router says of itself (RFC 9568 section 5.2, RFC 3768 section 5.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertisement {
    /// The version it is written in.
    pub version: Version,
    /// Which virtual router it is about.
    pub virtual_router_id: Vrid,
    /// The sender's priority; 0: it stops being active, 255: it owns the addresses.
    pub priority: u8,
    /// How often the sender advertises.
    pub interval: Interval,
    /// The virtual addresses in the sender's order, all of the packet's family: 1 to 255.
    pub addresses: Vec<IpAddr>,
    /// How it is authenticated: [`Authentication::None`] in v3.
    pub authentication: Authentication,
}

/// A valid message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// What it says.
    pub advertisement: Advertisement,
    /// How its sender computes the checksum.
    pub checksum: ChecksumForm,
}

/// An advertisement that cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The version does not know IPv6 (RFC 3768 section 1.1).
    #[error("VRRP version 2 cannot carry IPv6; use version 3")]
    Version2OverIpv6,
    /// The field for their number is one byte, and a receiver refuses zero.
    #[error("an advertisement carries 1 to 255 addresses, not {0}")]
    AddressCount(usize),
    /// An address is of another family than the packet's source.
    #[error("an advertisement and its packet cannot mix IPv4 and IPv6 addresses")]
    MixedFamilies,
    /// The version's field does not hold the interval; see [`Interval::fits`].
    #[error("an advertisement of VRRP version {version} cannot carry an interval of {interval}")]
    Interval {
        /// The version.
        version: Version,
        /// The interval.
        interval: Interval,
    },
    /// The version has no field for a password.
    #[error("VRRP version 3 has no simple password")]
    PasswordInVersion3,
}

/// Which virtual router a message is for, from its fixed part alone: cheap enough for every
/// foreign packet, and the same however the message goes on.
///
/// # Errors
/// [`Discard::Length`], [`Discard::Version`], [`Discard::MessageType`] or, for the ID 0,
/// [`Discard::VirtualRouter`].
pub fn virtual_router_id(datagram: &Datagram<'_>) -> Result<(Version, Vrid), Discard> {
    FixedPart::read(datagram).map(|(fixed, _)| (fixed.version, fixed.virtual_router_id))
}

/// Reads a message, applying every rule that it can break by itself (RFC 9568 section 7.1,
/// RFC 3768 section 7.1). Nothing is allocated before its length and checksum are right.
///
/// # Errors
/// The first rule that it breaks: one of [`virtual_router_id`]'s, or [`Discard::Length`],
/// [`Discard::Checksum`], [`Discard::AuthenticationType`], [`Discard::NoAddresses`],
/// [`Discard::ZeroInterval`].
pub fn decode(datagram: &Datagram<'_>) -> Result<Decoded, Discard> {
    match split_trailer(datagram)? {
        (message, None) => decode_message(datagram, message),
        (_, Some(_)) => Err(Discard::Length),
    }
}

/// As [`decode`], for a packet that may have an HMAC trailer, which the caller has judged.
///
/// # Errors
/// As [`decode`].
pub fn decode_before_trailer(datagram: &Datagram<'_>) -> Result<Decoded, Discard> {
    let (message, _) = split_trailer(datagram)?;
    decode_message(datagram, message)
}

/// What a packet carries: the message and, if there is one, the HMAC trailer behind it.
pub type Parts<'a> = (&'a [u8], Option<&'a [u8; TRAILER_LENGTH]>);

/// Cuts what a packet carries into the message and the HMAC trailer behind it. How long the message is
/// follows from its own version and count of addresses; a trailer is there exactly when the rest is as
/// long as one.
///
/// # Errors
/// One of [`virtual_router_id`]'s, or [`Discard::Length`] for any other rest.
pub fn split_trailer<'a>(datagram: &Datagram<'a>) -> Result<Parts<'a>, Discard> {
    let (fixed, _) = FixedPart::read(datagram)?;
    let length = fixed.message_length(datagram.family());
    let (message, rest) = datagram.message.split_at_checked(length).ok_or(Discard::Length)?;
    match rest {
        [] => Ok((message, None)),
        _ => Ok((message, Some(rest.try_into().map_err(|_| Discard::Length)?))),
    }
}

/// Writes the checksum that belongs into a packet's message, whatever stands there: over IPv6 it covers
/// a trailer too, over IPv4 it does not (keepalived 2.4). `None` where that is no message, or the two
/// addresses are of different families.
#[must_use]
pub fn put_checksum(
    source: IpAddr,
    destination: IpAddr,
    form: ChecksumForm,
    packet: &mut [u8],
) -> Option<()> {
    let datagram = Datagram { source, destination, ttl: MULTICAST_TTL, message: packet };
    let (version, _) = virtual_router_id(&datagram).ok()?;
    let form = ChecksumForm::prescribed(version, datagram.family()).unwrap_or(form);
    let covered = covered(&datagram, split_trailer(&datagram).ok()?.0);
    let sum = form.compute((source, destination), covered)?;
    packet.get_mut(6..8)?.copy_from_slice(&sum.to_be_bytes());
    Some(())
}

/// What the checksum covers of what a packet carries.
fn covered<'a>(datagram: &Datagram<'a>, message: &'a [u8]) -> &'a [u8] {
    match datagram.family() {
        Family::V4 => message,
        Family::V6 => datagram.message,
    }
}

fn decode_message(datagram: &Datagram<'_>, message: &[u8]) -> Result<Decoded, Discard> {
    let family = datagram.family();
    let (fixed, rest) = FixedPart::read(&Datagram { message, ..*datagram })?;
    let (addresses, authentication_data) = fixed.split(family, rest).ok_or(Discard::Length)?;
    let summed = Datagram { message: covered(datagram, message), ..*datagram };
    let checksum = checksum_form(fixed.version, &summed).ok_or(Discard::Checksum)?;
    let authentication = match authentication_data {
        None => Authentication::None,
        Some(data) => fixed.authentication(data)?,
    };
    if fixed.count == 0 {
        return Err(Discard::NoAddresses);
    }
    Ok(Decoded {
        advertisement: Advertisement {
            version: fixed.version,
            virtual_router_id: fixed.virtual_router_id,
            priority: fixed.priority,
            interval: fixed.interval().ok_or(Discard::ZeroInterval)?,
            addresses: read_addresses(family, addresses),
            authentication,
        },
        checksum,
    })
}

/// The eight bytes that every message starts with, but for the checksum.
struct FixedPart {
    version: Version,
    virtual_router_id: Vrid,
    priority: u8,
    count: u8,
    /// v2: the authentication type and the interval; v3: the interval alone.
    version_specific: [u8; 2],
}

impl FixedPart {
    /// Reads it and returns it with the bytes behind it.
    fn read<'a>(datagram: &Datagram<'a>) -> Result<(Self, &'a [u8]), Discard> {
        let (&[version_and_type, vrid, priority, count, fifth, sixth, _, _], rest) =
            datagram.message.split_first_chunk().ok_or(Discard::Length)?;
        let version = match (version_and_type >> 4, datagram.family()) {
            (2, Family::V4) => Version::V2,
            (3, _) => Version::V3,
            _ => return Err(Discard::Version),
        };
        if version_and_type & 0x0f != ADVERTISEMENT {
            return Err(Discard::MessageType);
        }
        let virtual_router_id = Vrid::try_from(vrid).map_err(|_| Discard::VirtualRouter)?;
        let version_specific = [fifth, sixth];
        Ok((Self { version, virtual_router_id, priority, count, version_specific }, rest))
    }

    /// How long the addresses are.
    fn addresses_length(&self, family: Family) -> usize {
        let address = match family {
            Family::V4 => 4,
            Family::V6 => 16,
        };
        usize::from(self.count) * address
    }

    /// How long the whole message is.
    fn message_length(&self, family: Family) -> usize {
        let authentication_data = match self.version {
            Version::V2 => 8,
            Version::V3 => 0,
        };
        8 + self.addresses_length(family) + authentication_data
    }

    /// Cuts what follows into the addresses and v2's authentication data; `None` unless exactly
    /// that follows.
    fn split<'a>(&self, family: Family, rest: &'a [u8]) -> Option<(&'a [u8], Option<[u8; 8]>)> {
        let (addresses, tail) = rest.split_at_checked(self.addresses_length(family))?;
        match self.version {
            Version::V2 => Some((addresses, Some(tail.try_into().ok()?))),
            Version::V3 => tail.is_empty().then_some((addresses, None)),
        }
    }

    /// What v2's authentication type makes of the data. Without authentication the data is
    /// ignored (RFC 3768 section 5.3.10).
    fn authentication(&self, data: [u8; 8]) -> Result<Authentication, Discard> {
        let [kind, _] = self.version_specific;
        match kind {
            NO_AUTHENTICATION => Ok(Authentication::None),
            SIMPLE_PASSWORD => Ok(Authentication::SimplePassword(data)),
            _ => Err(Discard::AuthenticationType),
        }
    }

    /// The interval, `None` where it is zero.
    fn interval(&self) -> Option<Interval> {
        match (self.version, self.version_specific) {
            (Version::V2, [_, seconds]) => Interval::from_seconds(seconds),
            (Version::V3, field) => {
                Interval::try_from(u16::from_be_bytes(field) & INTERVAL_BITS).ok()
            }
        }
    }
}

/// The form in which the checksum is right, `None` where it is wrong.
fn checksum_form(version: Version, datagram: &Datagram<'_>) -> Option<ChecksumForm> {
    let ends = (datagram.source, datagram.destination);
    let right = |form: &ChecksumForm| form.is_valid(ends, datagram.message);
    match ChecksumForm::prescribed(version, datagram.family()) {
        Some(form) => Some(form).filter(right),
        None => [ChecksumForm::WithPseudoHeader, ChecksumForm::Message].into_iter().find(right),
    }
}

fn read_addresses(family: Family, bytes: &[u8]) -> Vec<IpAddr> {
    match family {
        Family::V4 => bytes.as_chunks::<4>().0.iter().map(|&octets| octets.into()).collect(),
        Family::V6 => bytes.as_chunks::<16>().0.iter().map(|&octets| octets.into()).collect(),
    }
}

impl Advertisement {
    /// The message, with its checksum, for a packet between these addresses.
    ///
    /// `checksum` counts for v3 over IPv4 only: v2 and IPv6 have one form each.
    ///
    /// # Errors
    /// What makes it impossible, see [`EncodeError`]. Nothing is cut to fit.
    pub fn encode(
        &self,
        source: IpAddr,
        destination: IpAddr,
        checksum: ChecksumForm,
    ) -> Result<Vec<u8>, EncodeError> {
        let family = Family::of(source);
        if (self.version, family) == (Version::V2, Family::V6) {
            return Err(EncodeError::Version2OverIpv6);
        }
        if self.addresses.iter().chain([&destination]).any(|&end| Family::of(end) != family) {
            return Err(EncodeError::MixedFamilies);
        }
        let Ok(count @ 1..) = u8::try_from(self.addresses.len()) else {
            return Err(EncodeError::AddressCount(self.addresses.len()));
        };
        let (version_specific, authentication_data) = self.version_specific()?;
        let [fifth, sixth] = version_specific;
        let version_and_type = match self.version {
            Version::V2 => 2 << 4 | ADVERTISEMENT,
            Version::V3 => 3 << 4 | ADVERTISEMENT,
        };
        let head =
            [version_and_type, self.virtual_router_id.get(), self.priority, count, fifth, sixth];
        let message = |checksum: u16| {
            let mut message = [&head[..], &checksum.to_be_bytes()].concat();
            for address in &self.addresses {
                match address {
                    IpAddr::V4(address) => message.extend(address.octets()),
                    IpAddr::V6(address) => message.extend(address.octets()),
                }
            }
            message.extend(authentication_data.iter().flatten());
            message
        };
        let form = ChecksumForm::prescribed(self.version, family).unwrap_or(checksum);
        let sum = form.compute((source, destination), &message(0));
        Ok(message(sum.ok_or(EncodeError::MixedFamilies)?))
    }

    /// The fifth and sixth byte, and what follows the addresses.
    fn version_specific(&self) -> Result<([u8; 2], Option<[u8; 8]>), EncodeError> {
        let Self { version, interval, .. } = *self;
        let unfit = EncodeError::Interval { version, interval };
        match (version, self.authentication) {
            (Version::V2, authentication) => {
                let seconds = interval.whole_seconds().ok_or(unfit)?;
                Ok(match authentication {
                    Authentication::None => ([NO_AUTHENTICATION, seconds], Some([0; 8])),
                    Authentication::SimplePassword(data) => {
                        ([SIMPLE_PASSWORD, seconds], Some(data))
                    }
                })
            }
            (Version::V3, Authentication::None) if interval.fits(version) => {
                Ok((interval.centiseconds().to_be_bytes(), None))
            }
            (Version::V3, Authentication::None) => Err(unfit),
            (Version::V3, Authentication::SimplePassword(_)) => {
                Err(EncodeError::PasswordInVersion3)
            }
        }
    }
}
