//! Single values.

use std::borrow::Cow;

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

/// A type whose schema no definition of a type would give.
macro_rules! by_hand {
    ($(#[$doc:meta])* $type:ident, $schema:tt) => {
        $(#[$doc])*
        pub(super) struct $type;

        impl JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    };
}

by_hand!(
    /// A version of the protocol.
    Version,
    { "enum": [2, 3] }
);
by_hand!(
    /// The word off, as YAML 1.2 and YAML 1.1 read it.
    Off,
    { "enum": ["off", false] }
);
by_hand!(
    /// Status codes of HTTP, like 200, 200-299 or a list of such.
    Statuses,
    {
        "anyOf": [
            { "type": "integer", "minimum": 100, "maximum": 599 },
            { "type": "string", "pattern": "^[1-5][0-9]{2}(-[1-5][0-9]{2})?$" },
            {
                "type": "array",
                "minItems": 1,
                "items": {
                    "anyOf": [
                        { "type": "integer", "minimum": 100, "maximum": 599 },
                        { "type": "string", "pattern": "^[1-5][0-9]{2}(-[1-5][0-9]{2})?$" },
                    ],
                },
            },
        ],
    }
);

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub(super) enum Scope {
    Global,
    Site,
    Link,
    Host,
}
