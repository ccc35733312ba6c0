//! What the status socket says and what `vipctl` makes of it: golden files, so that no field of the
//! format and no word that a script may look for changes by accident.
//!
//! `VIPD_BLESS=1 cargo test --test api` writes `tests/api/` anew; read the difference before
//! committing it.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    dead_code,
    reason = "a test may fail loudly, and serves a socket; not all that the engine's tests need is \
              needed here"
)]

#[path = "engine/node.rs"]
mod node;
#[path = "api/scene.rs"]
mod scene;

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use serde_json::Value;
use vipd::api::{self, Snapshot};

fn in_package(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Compares with what is in the repository, or writes it.
#[track_caller]
fn expect(file: &str, found: &str) {
    let path = in_package("tests/api").join(file);
    if std::env::var_os("VIPD_BLESS").is_some() {
        fs::write(&path, found).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert!(expected == found, "{file}\n--- expected\n{expected}--- found\n{found}");
}

/// A daemon that says this to everybody who asks, for as long as the test program runs.
struct Daemon {
    path: PathBuf,
    line: String,
}

impl Daemon {
    fn new(snapshot: &Snapshot) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("vipd-api-{}-{number}.sock", std::process::id());
        let path = std::env::temp_dir().join(name);
        let listener = UnixListener::bind(&path).unwrap();
        let line = String::from_utf8(api::line(snapshot).unwrap()).unwrap();
        let said = line.clone();
        thread::spawn(move || {
            for client in listener.incoming() {
                // Who does not read to the end has lost something.
                let _ = client.unwrap().write_all(said.as_bytes());
            }
        });
        Self { path, line }
    }

    fn run(&self, arguments: &str, colours: bool) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vipctl"));
        command.args(arguments.split_whitespace()).arg("--socket").arg(&self.path);
        command.env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE");
        if colours {
            command.env("CLICOLOR_FORCE", "1");
        }
        command.output().unwrap()
    }

    /// What `vipctl` writes, and its exit code.
    fn vipctl(&self, arguments: &str) -> (i32, String) {
        let output = self.run(arguments, false);
        let text =
            String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        (output.status.code().unwrap(), text)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Rule: the format is stable: what is there keeps its name and meaning, so that scripts and other
/// versions of vipctl go on understanding it.
#[test]
fn the_snapshot_is_as_documented() {
    let snapshot = scene::eventful();
    let text = serde_json::to_string_pretty(&snapshot).unwrap() + "\n";
    expect("eventful.json", &text);
    let golden = fs::read_to_string(in_package("tests/api/eventful.json")).unwrap();
    assert_eq!(serde_json::from_str::<Snapshot>(&golden).unwrap(), snapshot);
}

/// The keys of all objects; those of maps by name, reason or state are values rather than fields.
fn keys(value: &Value, found: &mut BTreeSet<String>) {
    const MAPS: [&str; 3] = ["stray_discards", "discards", "transitions"];
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                found.insert(key.clone());
                if !(MAPS.contains(&key.as_str()) && value.is_object()) {
                    keys(value, found);
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| keys(item, found)),
        _ => {}
    }
}

/// Rule: each field of a snapshot is explained in docs/api.md.
#[test]
fn every_field_is_documented() {
    let page = fs::read_to_string(in_package("docs/api.md")).unwrap();
    let mut found = BTreeSet::new();
    keys(&serde_json::to_value(scene::eventful()).unwrap(), &mut found);
    assert!(found.len() > 80, "{found:?}");
    let missing: Vec<_> = found.iter().filter(|key| !page.contains(&format!("`{key}`"))).collect();
    assert!(missing.is_empty(), "not in docs/api.md: {missing:?}");
}

/// Rule: each reason for which a frame is refused is explained in docs/api.md, in the words of the log.
#[test]
fn every_discard_is_documented() {
    let page = fs::read_to_string(in_package("docs/api.md")).unwrap();
    for discard in vipd::engine::Discard::ALL {
        let row = format!("| `{}` | {discard} |\n", discard.name());
        assert!(page.contains(&row), "not in docs/api.md: {row}");
    }
}

/// Rule: what people read is whole and true to the snapshot.
#[test]
fn pages_are_as_expected() {
    let daemon = Daemon::new(&scene::eventful());
    let pages = [
        "status",
        "status mail",
        "explain web",
        "explain mail",
        "explain lan",
        "explain old",
        "peers",
        "peers mail",
        "events",
        "events web -n 3",
    ];
    for page in pages {
        let (code, text) = daemon.vipctl(page);
        assert_eq!(code, 0, "{page}: {text}");
        assert!(!text.contains('\x1b'), "{page} has colours on a pipe");
        expect(&format!("eventful.{}.txt", page.replace(' ', "-")), &text);
    }
    let daemon = Daemon::new(&scene::healthy());
    expect("healthy.status.txt", &daemon.vipctl("status").1);
}

/// Rule: what docs/vipctl.md shows is what vipctl writes.
#[test]
fn the_page_shows_real_output() {
    let page = fs::read_to_string(in_package("docs/vipctl.md")).unwrap();
    let shown = [
        "healthy.status",
        "eventful.status",
        "eventful.explain-mail",
        "eventful.explain-web",
        "eventful.peers",
        "eventful.events-web--n-3",
    ];
    for file in shown {
        let text = fs::read_to_string(in_package(&format!("tests/api/{file}.txt"))).unwrap();
        let indented =
            |line: &str| if line.is_empty() { "\n".to_owned() } else { format!("    {line}\n") };
        let text: String = text.lines().map(indented).collect();
        assert!(page.contains(&text), "docs/vipctl.md does not show {file}.txt as it is");
    }
}

/// Rule: the tables fit a terminal of 80 columns with names and addresses of usual length.
#[test]
fn tables_fit_a_terminal() {
    let widest = |text: &str| text.lines().map(|line| line.chars().count()).max().unwrap();
    let healthy = Daemon::new(&scene::healthy());
    let eventful = Daemon::new(&scene::eventful());
    let table = |text: String| {
        let start = text.find("NAME").expect("the table");
        text[start..].split("\n\n").next().unwrap().to_owned()
    };
    for daemon in [healthy, eventful] {
        let (_, text) = daemon.vipctl("status");
        let table = table(text);
        assert!(widest(&table) <= 80, "{table}");
    }
}

/// Rule: colours only where somebody wants them; they change no word.
#[test]
fn colours_are_only_colours() {
    let daemon = Daemon::new(&scene::eventful());
    let coloured = String::from_utf8(daemon.run("status", true).stdout).unwrap();
    assert!(coloured.contains("\x1b["), "{coloured}");
    let plain = anstream_free(&coloured);
    assert_eq!(plain, daemon.vipctl("status").1);
}

fn anstream_free(text: &str) -> String {
    let mut parts = text.split('\x1b');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    plain.extend(parts.filter_map(|part| part.split_once('m')).map(|(_, rest)| rest));
    plain
}

/// Rule: `--json` is what the daemon says, byte for byte, or the part of it that was asked for.
#[test]
fn json_is_passed_on_as_it_came() {
    let daemon = Daemon::new(&scene::eventful());
    for page in ["status", "peers"] {
        assert_eq!(daemon.vipctl(&format!("{page} --json")), (0, daemon.line.clone()));
    }
    let all: Value = serde_json::from_str(&daemon.line).unwrap();
    for page in ["status mail", "explain mail", "peers mail"] {
        let (_, text) = daemon.vipctl(&format!("{page} --json"));
        assert!(daemon.line.contains(text.trim_end()), "{text}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), all["instances"][1]);
    }
    let (_, text) = daemon.vipctl("events --json -n 2");
    let events = all["events"].as_array().unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines, events[events.len() - 2..]);
}

/// Rule: exit codes are for scripts: 0 whatever the state is, unless the state was asked for.
#[test]
fn exit_codes_say_what_was_asked() {
    let eventful = Daemon::new(&scene::eventful());
    let healthy = Daemon::new(&scene::healthy());
    let cases = [
        (&eventful, "status", 0),
        (&eventful, "status lan", 0),
        (&eventful, "status --active", 3),
        (&eventful, "status --active web", 0),
        (&eventful, "status --active mail", 3),
        (&eventful, "status --check", 4),
        (&eventful, "status --check --quiet web", 4),
        (&eventful, "status wbe", 1),
        (&eventful, "status --active wbe", 1),
        (&healthy, "status --check", 0),
        (&healthy, "status --active --quiet", 0),
        (&healthy, "status --active --check", 64),
        (&healthy, "explain", 64),
    ];
    for (daemon, arguments, expected) in cases {
        let (code, text) = daemon.vipctl(arguments);
        assert_eq!(code, expected, "{arguments}: {text}");
        assert_eq!(arguments.contains("--quiet"), text.is_empty(), "{arguments}: {text}");
    }
    let (_, text) = eventful.vipctl("explain wbe");
    assert_eq!(text, "vipctl: there is no instance wbe; there are: web, mail, lan, old\n");
}
