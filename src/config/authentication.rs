//! How the advertisements of an instance are authenticated.
//!
//! No message shows what stands there: what is no valid secret is often nearly one, and a secret
//! may stand where something else belongs.

use serde_yaml::Value;

use super::fields::{Field, read_by_serde};
use super::keys::{AUTHENTICATION, KEY, Keys};
use super::problem::{Marked, Problems, Spot, Wrong};
use super::section::{Given, Section};
use super::source::{Content, Entry, Node, Scalar};
use crate::model::{
    AntiReplay, Authentication, HmacAuthentication, HmacKey, HmacMode, Interval, Key, KeyId,
    Password, SecretSource, Version, Window,
};
use crate::time::Span;

read_by_serde!(HmacMode, "receive_only, permissive or enforce", |_| None);
read_by_serde!(Replay, "time or monotonic", |_| None);

/// The word for [`AntiReplay`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
enum Replay {
    Time,
    Monotonic,
}

/// What only a trailer has.
const OF_KEYS: [&str; 5] = ["keys", "send", "mode", "anti_replay", "window"];

/// Where a password stands, or where it is.
const OF_PASSWORDS: [&str; 3] = ["password", "password_file", "password_credential"];

/// Reads the key `authentication` of an instance; `None` where something in it is wrong. `version`
/// and `interval` are `None` where they are wrong themselves.
pub(super) fn read(
    instance: &Section<'_>,
    version: Option<Version>,
    interval: Option<Interval>,
    problems: &mut Problems<'_>,
) -> Option<Authentication> {
    let Some((node, spot)) = instance.node("authentication") else {
        return (!instance.has("authentication")).then_some(Authentication::None);
    };
    let section = open(node, spot, &AUTHENTICATION, problems)?;
    let passwords = OF_PASSWORDS.iter().any(|key| section.has(key));
    if !passwords {
        return hmac(&section, interval, problems).map(Authentication::Hmac);
    }
    let source = one_of(&section, PASSWORD_SOURCES, problems);
    for key in OF_KEYS {
        if let Some(spot) = section.spot_of(key) {
            let wrong = Wrong::new("has no meaning beside a password");
            problems.add(&spot, wrong.hint("use keys or a password, not both"));
            return None;
        }
    }
    if version == Some(Version::V3) {
        let wrong = Wrong::new("only version 2 has passwords");
        problems.add(section.spot(), wrong.hint("use 'keys', which also protect from forgers"));
        return None;
    }
    source.map(Authentication::Password)
}

/// As [`Section::open`], without showing what stands there instead.
fn open<'n>(
    node: &'n Node,
    spot: Spot,
    keys: &Keys,
    problems: &mut Problems<'_>,
) -> Option<Section<'n>> {
    if !matches!(node.content, Content::Mapping(_)) {
        problems.add(&spot, Wrong::new(format!("expected {}", keys.example)));
        return None;
    }
    Section::open(node, spot, keys, problems)
}

fn hmac(
    section: &Section<'_>,
    interval: Option<Interval>,
    problems: &mut Problems<'_>,
) -> Option<HmacAuthentication> {
    let keys = keys(section, problems);
    let mode = section.take("mode", problems).or(HmacMode::default());
    let send = section.take::<KeyId>("send", problems);
    let anti_replay = anti_replay(section, interval, problems);
    let (keys, mode) = (keys?, mode?);
    let send = match (send, keys.as_slice()) {
        (Given::Wrong, _) => return None,
        (Given::Right(Marked { value, spot }), all) => {
            if !all.iter().any(|key| key.id == value) {
                let ids: Vec<String> = all.iter().map(|key| key.id.to_string()).collect();
                let wrong = Wrong::new(format!("there is no key {value}"));
                problems.add(&spot, wrong.hint(format!("there is {}", ids.join(", "))));
                return None;
            }
            Some(value)
        }
        (Given::Absent, [only]) => Some(only.id),
        (Given::Absent, _) if mode == HmacMode::ReceiveOnly => None,
        (Given::Absent, _) => {
            section.missing("send", "it takes the number of the key that signs", problems);
            return None;
        }
    };
    Some(HmacAuthentication { mode, keys, send, anti_replay: anti_replay? })
}

fn keys(section: &Section<'_>, problems: &mut Problems<'_>) -> Option<Vec<HmacKey>> {
    let Some((node, spot)) = section.node("keys") else {
        let hint = "it takes keys by their numbers: '{ 1: { file: /etc/vipd/vrrp.key } }'";
        section.missing("keys", hint, problems);
        return None;
    };
    let Content::Mapping(entries) = &node.content else {
        let what = "expected keys by their numbers, like '{ 1: { file: /etc/vipd/vrrp.key } }'";
        problems.add(&spot, Wrong::new(what));
        return None;
    };
    if entries.is_empty() {
        problems.add(&spot, Wrong::new("there is no key in it"));
        return None;
    }
    let all: Vec<_> = entries.iter().map(|entry| key(entry, &spot, problems)).collect();
    all.into_iter().collect()
}

fn key(entry: &Entry, within: &Spot, problems: &mut Problems<'_>) -> Option<HmacKey> {
    let id = entry.key.parse::<u8>().ok().and_then(|number| KeyId::try_from(number).ok());
    // Whoever forgets the number may have written the key in its place.
    let Some(id) = id.filter(|id| id.to_string() == entry.key) else {
        let spot = Spot { place: entry.place, path: within.path.clone() };
        problems.add(&spot, Wrong::new("expected the number of a key, from 1 to 255"));
        return None;
    };
    let spot = within.key(&entry.key, entry.node.place);
    let section = open(&entry.node, spot, &KEY, problems)?;
    one_of(&section, KEY_SOURCES, problems).map(|source| HmacKey { id, source })
}

/// The keys that say where a secret is: in the configuration, in a file, a credential.
type Sources =
    ([&'static str; 3], fn(&Section<'_>, &str, &mut Problems<'_>) -> Given<SecretSource>);

const KEY_SOURCES: Sources = (["secret", "file", "credential"], |section, key, problems| {
    section.take::<InlineKey>(key, problems).map(|InlineKey| SecretSource::Inline)
});

const PASSWORD_SOURCES: Sources = (OF_PASSWORDS, |section, key, problems| {
    section.take::<InlinePassword>(key, problems).map(|InlinePassword| SecretSource::Inline)
});

/// Where a secret is: exactly one of three keys says so.
fn one_of(
    section: &Section<'_>,
    ([inline, file, credential], read_inline): Sources,
    problems: &mut Problems<'_>,
) -> Option<SecretSource> {
    let given = [
        read_inline(section, inline, problems),
        section.take::<SecretFile>(file, problems).map(|path| path.0),
        section.take::<Credential>(credential, problems).map(|name| name.0),
    ];
    let mut found = None;
    for one in given {
        match (one, &found) {
            (Given::Absent, _) => {}
            (Given::Wrong, _) => return None,
            (Given::Right(source), None) => found = Some(source.value),
            (Given::Right(source), Some(_)) => {
                let what = format!("{inline}, {file} and {credential} exclude each other");
                problems.add(&source.spot, Wrong::new(what).hint("leave one of them"));
                return None;
            }
        }
    }
    if found.is_none() {
        let what = format!("expected one of {inline}, {file} and {credential}");
        problems.add(section.spot(), Wrong::new(what));
    }
    found
}

fn anti_replay(
    section: &Section<'_>,
    interval: Option<Interval>,
    problems: &mut Problems<'_>,
) -> Option<AntiReplay> {
    let replay = section.take("anti_replay", problems).or(Replay::Time);
    let window = section.take::<Seconds>("window", problems);
    match (replay?, window) {
        (_, Given::Wrong) => None,
        (Replay::Monotonic, Given::Absent) => Some(AntiReplay::Monotonic),
        (Replay::Monotonic, Given::Right(window)) => {
            let wrong = Wrong::new("has no meaning where 'anti_replay' is monotonic");
            problems.add(&window.spot, wrong.hint("leave it out"));
            None
        }
        (Replay::Time, Given::Right(window)) => Some(AntiReplay::Time(window.value.0)),
        (Replay::Time, Given::Absent) => Some(AntiReplay::Time(following(interval?))),
    }
}

/// As keepalived has it: three times the whole seconds of the interval, and 5 to 300 s.
fn following(interval: Interval) -> Window {
    let seconds = interval.centiseconds() / 100 * 3;
    Window::try_from(seconds.min(Window::LONGEST.seconds()))
        .unwrap_or(Window::DEFAULT)
        .max(Window::DEFAULT)
}

/// A time window.
#[derive(Clone, Copy, Debug)]
struct Seconds(Window);

impl Field for Seconds {
    type Written = String;
    const TAKES: &'static str = "whole seconds from 1s to 300s";

    fn check(written: String) -> Result<Self, Wrong> {
        const SECOND: u64 = 1_000_000_000;
        let nanos = Span::check(written.clone())?.nanos();
        let seconds = nanos.is_multiple_of(SECOND).then_some(nanos / SECOND);
        seconds
            .and_then(|seconds| u16::try_from(seconds).ok())
            .and_then(|seconds| Window::try_from(seconds).ok())
            .map(Self)
            .ok_or_else(|| Self::wrong(&written))
    }

    fn hint(found: &Scalar) -> Option<String> {
        Span::hint(found)
    }
}

impl Field for KeyId {
    type Written = u64;
    const TAKES: &'static str = "the number of a key, from 1 to 255";

    fn check(written: u64) -> Result<Self, Wrong> {
        let id = u8::try_from(written).ok().and_then(|number| Self::try_from(number).ok());
        id.ok_or_else(|| Wrong::expected(Self::TAKES, &written.to_string()))
    }
}

/// A key that stands in the configuration. It is valid, and not kept.
#[derive(Clone, Copy, Debug)]
struct InlineKey;

impl Field for InlineKey {
    type Written = Value;
    const TAKES: &'static str =
        "a key: 'hex:' and 64 to 128 hexadecimal digits, or 32 to 64 letters";

    fn check(written: Value) -> Result<Self, Wrong> {
        let text = text(&written)?;
        Key::parse(text.as_bytes())
            .map(|_| Self)
            .map_err(|bad| Wrong::new(bad.to_string()).hint("'vipctl keygen' makes one"))
    }
}

/// A password that stands in the configuration. It is valid, and not kept.
#[derive(Clone, Copy, Debug)]
struct InlinePassword;

impl Field for InlinePassword {
    type Written = Value;
    const TAKES: &'static str = "a password of 1 to 8 characters";

    fn check(written: Value) -> Result<Self, Wrong> {
        let text = text(&written)?;
        Password::parse(text.as_bytes()).map(|_| Self).map_err(|bad| {
            Wrong::new(bad.to_string())
                .hint("keepalived cuts a longer one to its first 8 bytes: write those")
        })
    }
}

fn text(written: &Value) -> Result<&str, Wrong> {
    match written {
        Value::String(text) => Ok(text),
        _ => Err(Wrong::new("expected text").hint("put it in quotes")),
    }
}

/// The file of a secret.
#[derive(Clone, Debug)]
struct SecretFile(SecretSource);

impl Field for SecretFile {
    type Written = Value;
    const TAKES: &'static str = "an absolute path like /etc/vipd/vrrp.key";

    fn check(written: Value) -> Result<Self, Wrong> {
        let path = text(&written).ok().filter(|text| text.starts_with('/') && !text.contains('\0'));
        path.map(|path| Self(SecretSource::File(path.into())))
            .ok_or_else(|| Wrong::new(format!("expected {}", Self::TAKES)))
    }
}

/// The name of a credential.
#[derive(Clone, Debug)]
struct Credential(SecretSource);

impl Field for Credential {
    type Written = Value;
    const TAKES: &'static str = "the name of a credential, as in 'LoadCredential=NAME:PATH'";

    fn check(written: Value) -> Result<Self, Wrong> {
        text(&written)
            .ok()
            .filter(|text| {
                let length = (1..=64).contains(&text.len());
                length
                    && !text.starts_with('.')
                    && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
            })
            .map(|name| Self(SecretSource::Credential(name.to_owned())))
            .ok_or_else(|| Wrong::new(format!("expected {}", Self::TAKES)))
    }
}
