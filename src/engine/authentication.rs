//! What authentication lets through, and the time stamps of what is sent.
//!
//! The wall clock counts here and nowhere else in the engine.

use std::net::IpAddr;

use crate::model::{
    AntiReplay, Authentication, HmacAuthentication, HmacMode, InstanceConfig, KeyId, SecretSource,
    Window,
};
use crate::time::{Mono, Now, Span, Wall};
use crate::vrrp::auth::{
    Marks, Proof, Remembered, Sequence, Stamper, TRAILER_LENGTH, Trailer, unsigned,
};
use crate::vrrp::packet::{self, Datagram, Discard, split_trailer};

/// What one instance remembers of what was sent and heard.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Authenticator {
    /// Since when it listens for signed advertisements.
    since: Mono,
    stamper: Stamper,
    marks: Marks,
}

/// The rules for a trailer that one packet can break by itself, in the order of
/// draft-cassen-vrrp-auth-hmac: the sequence where there is a trailer and its code is right. Nobody
/// may act on it before [`Authenticator::require_news`].
pub(super) fn signature(
    now: Wall,
    authentication: &Authentication,
    datagram: &Datagram<'_>,
    proof: Proof,
) -> Result<Option<Sequence>, Discard> {
    let (_, trailer) = split_trailer(datagram)?;
    let (hmac, trailer) = match (authentication, trailer) {
        (Authentication::Hmac(hmac), Some(trailer)) => (hmac, trailer),
        (Authentication::Hmac(hmac), None) if hmac.mode == HmacMode::Enforce => {
            return Err(Discard::TrailerMissing);
        }
        (_, None) => return Ok(None),
        (Authentication::None | Authentication::Password(_), Some(_)) => {
            return Err(Discard::AuthenticationMismatch);
        }
    };
    let trailer = Trailer::read(trailer).ok_or(Discard::TrailerMalformed)?;
    if let AntiReplay::Time(window) = hmac.anti_replay
        && !trailer.sequence.is_within(window.seconds(), Sequence::at(now))
    {
        return Err(Discard::Stale);
    }
    let key = KeyId::try_from(trailer.key).map_err(|_| Discard::UnknownKey)?;
    if !hmac.has_key(key) {
        return Err(Discard::UnknownKey);
    }
    match proof {
        Proof::Right => Ok(Some(trailer.sequence)),
        // A key that is configured and was not looked at has proved nothing.
        Proof::Wrong | Proof::None => Err(Discard::Hmac),
    }
}

/// The rules for version 2's authentication field (RFC 3768 section 7.1).
pub(super) fn password(
    configured: &Authentication,
    found: packet::Authentication,
    proof: Proof,
) -> Result<(), Discard> {
    match (configured, found) {
        (Authentication::Password(_), packet::Authentication::SimplePassword(_)) => match proof {
            Proof::Right => Ok(()),
            Proof::Wrong | Proof::None => Err(Discard::Password),
        },
        (Authentication::None | Authentication::Hmac(_), packet::Authentication::None) => Ok(()),
        _ => Err(Discard::AuthenticationMismatch),
    }
}

impl Authenticator {
    /// Nothing was heard yet.
    pub(super) fn new(now: Mono) -> Self {
        Self { since: now, stamper: Stamper::default(), marks: Marks::default() }
    }

    /// Whether an advertisement is new. Where nothing is remembered of its sender it must have been
    /// sent after this node began to listen: an older one may be a recording, of what this node has
    /// acted on before it was started again.
    pub(super) fn require_news(
        &self,
        now: Now,
        anti_replay: AntiReplay,
        source: IpAddr,
        sequence: Sequence,
    ) -> Result<(), Discard> {
        match self.marks.look(now.wall, anti_replay, source, sequence) {
            Remembered::Already => Err(Discard::Replay),
            Remembered::Earlier => Ok(()),
            Remembered::Nothing if matches!(anti_replay, AntiReplay::Monotonic) => Ok(()),
            Remembered::Nothing => {
                // As the clock has it now, whatever it had then: it may have been stepped.
                let began = Sequence::at(now.wall - now.mono.since(self.since));
                if began.is_after(sequence) { Err(Discard::BeforeStart) } else { Ok(()) }
            }
        }
    }

    /// An advertisement was accepted.
    pub(super) fn accepted(&mut self, source: IpAddr, sequence: Sequence) {
        self.marks.set(source, sequence);
    }

    /// Until when there may be a live active router whose clock is behind this node's, so that its
    /// advertisements seem to be from before the start.
    pub(super) fn settled(&self, window: Window, interval: Span) -> Mono {
        self.since + Span::from_secs(window.seconds().into()) + interval.times(3)
    }

    /// Another configuration. Who was not authenticated before begins to listen now.
    pub(super) fn reconfigure(&mut self, now: Mono, old: &Authentication, new: &Authentication) {
        let is_hmac = |one: &Authentication| matches!(one, Authentication::Hmac(_));
        if is_hmac(new) && !is_hmac(old) {
            *self = Self::new(now);
        }
    }

    /// The sequence of the next advertisement; `None` where none is signed.
    pub(super) fn stamp(&mut self, now: Wall, config: &InstanceConfig) -> Option<Sequence> {
        let hmac = signs(&config.authentication)?;
        Some(self.stamper.next(now, hmac.anti_replay))
    }
}

/// What a message ends with, where this instance signs: the trailer with its sequence, without its
/// code.
pub(super) fn trailer(config: &InstanceConfig, sequence: Sequence) -> Option<[u8; TRAILER_LENGTH]> {
    let key = signs(&config.authentication)?.signing_key()?;
    Some(unsigned(key.id, sequence))
}

/// The authentication field of version 2 in what this instance sends: the password's place.
pub(super) fn field(authentication: &Authentication) -> packet::Authentication {
    match authentication {
        Authentication::Password(_) => packet::Authentication::SimplePassword([0; 8]),
        Authentication::None | Authentication::Hmac(_) => packet::Authentication::None,
    }
}

/// Where the secret is that completes what this instance sends.
pub(super) fn sending_secret(authentication: &Authentication) -> Option<&SecretSource> {
    match authentication {
        Authentication::None => None,
        Authentication::Password(source) => Some(source),
        Authentication::Hmac(hmac) => hmac.signing_key().map(|key| &key.source),
    }
}

fn signs(authentication: &Authentication) -> Option<&HmacAuthentication> {
    match authentication {
        Authentication::Hmac(hmac) => hmac.signing_key().map(|_| hmac),
        Authentication::None | Authentication::Password(_) => None,
    }
}
