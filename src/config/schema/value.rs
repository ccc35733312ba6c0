//! Single values.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

/// A duration: a number and its unit without a space, like 100ms, 1s, 1.5s, 2m, 1h; a day at most.
#[derive(JsonSchema)]
pub(super) struct Duration(#[schemars(regex(pattern = r"^[0-9]+(\.[0-9]+)?(ms|s|m|h)$"))] String);

/// A word. One that looks like a number is taken as written.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub(super) enum Word {
    Text(#[schemars(length(min = 1))] String),
    Number(i64),
    Truth(bool),
}

/// A list, or one thing alone.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub(super) enum OneOrMany<T> {
    Many(#[schemars(length(min = 1))] Vec<T>),
    One(T),
}

/// A program by its absolute path, alone or in a list with its arguments.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub(super) enum Program {
    Alone(AbsolutePath),
    WithArguments(#[schemars(length(min = 1))] Vec<String>),
}

/// A path from the root.
#[derive(JsonSchema)]
pub(super) struct AbsolutePath(#[schemars(regex(pattern = "^/"))] String);

/// A host and a port, like 127.0.0.1:25 or "[::1]:25".
#[derive(JsonSchema)]
pub(super) struct HostPort(#[schemars(regex(pattern = ":[0-9]+$"))] String);

/// The versions of the protocol.
pub(super) fn versions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "enum": [2, 3] })
}

/// The word off, as YAML 1.2 and YAML 1.1 read it.
pub(super) fn off(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "enum": ["off", false] })
}

/// Status codes of HTTP, like 200, 200-299 or a list of such.
pub(super) fn statuses(_: &mut SchemaGenerator) -> Schema {
    let one = serde_json::json!({
        "anyOf": [
            { "type": "integer", "minimum": 100, "maximum": 599 },
            { "type": "string", "pattern": "^[1-5][0-9]{2}(-[1-5][0-9]{2})?$" },
        ]
    });
    json_schema!({ "anyOf": [one, { "type": "array", "items": one, "minItems": 1 }] })
}
