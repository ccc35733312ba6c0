//! Configuration files: what is wrong with the bad ones, what the good ones mean, and that the
//! documentation shows only good ones.
//!
//! `VIPD_BLESS=1 cargo test --test config` writes the expected output of `tests/config/*.yaml`
//! anew; read the difference before committing it.

#![expect(clippy::disallowed_methods, reason = "tests read files and the environment")]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use vipd::config::{Here, OwnAddress, Problem, examine, keys, kinds, load};
use vipd::model::{Config, NodeName};
use vipd::time::Span;

/// The machine on which the files of `tests/config` are read.
fn machine() -> Here {
    Here::machine(vec![
        own("lo", "127.0.0.1", 8),
        own("eth0", "10.0.0.11", 24),
        own("eth0", "fe80::11", 64),
        own("eth1", "10.1.0.11", 24),
    ])
}

fn own(interface: &str, address: &str, prefix: u8) -> OwnAddress {
    let (interface, address) = (interface.try_into().unwrap(), address.parse().unwrap());
    OwnAddress { interface, address, prefix }
}

fn in_package(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The YAML files of a directory whose names start with `start`, in order; never none.
fn files(directory: &str, start: &str) -> Vec<PathBuf> {
    files_of_kind("yaml", directory, start)
}

fn files_of_kind(kind: &str, directory: &str, start: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(in_package(directory))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == kind))
        .filter(|path| file_name(path).starts_with(start))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{directory} has files that start with '{start}'");
    files
}

fn file_name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap()
}

/// Compares with the expected output beside `path`, or writes it.
fn expect(path: &Path, extension: &str, found: &str) -> Result<(), String> {
    let expected_in = path.with_extension(extension);
    if std::env::var_os("VIPD_BLESS").is_some() {
        fs::write(&expected_in, found).unwrap();
        return Ok(());
    }
    let expected = fs::read_to_string(&expected_in).unwrap_or_default();
    if expected == found {
        return Ok(());
    }
    Err(format!("{}\n--- expected\n{expected}--- found\n{found}", file_name(path)))
}

fn lines(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(Problem::to_string).collect();
    lines.join("\n") + "\n"
}

fn config(text: &str, here: &Here) -> Config {
    load("vipd.yaml", text, here).unwrap_or_else(|problems| panic!("{text}\n{}", lines(&problems)))
}

fn problems(text: &str, here: &Here) -> Vec<Problem> {
    load("vipd.yaml", text, here).expect_err(text)
}

/// Rule: every mistake is reported at once, with its place, what is wrong and what would be
/// right, and none causes a second report elsewhere.
#[test]
fn bad_files_are_refused_with_all_that_is_wrong() {
    let different: Vec<String> = files("tests/config", "bad-")
        .iter()
        .filter_map(|path| {
            let text = fs::read_to_string(path).unwrap();
            let problems = load(file_name(path), &text, &machine()).expect_err(file_name(path));
            expect(path, "txt", &lines(&problems)).err()
        })
        .collect();
    assert!(different.is_empty(), "{}", different.join("\n"));
}

/// Rule: no message shows a secret, nor what was probably meant as one, and a configuration has none in
/// it: all of these are logged.
#[test]
fn no_secret_is_shown() {
    let bad = fs::read_to_string(in_package("tests/config/bad-authentication.yaml")).unwrap();
    let said = lines(&problems(&bad, &machine()));
    for secret in ["hunter2", "12345", "000102"] {
        assert!(bad.contains(secret) && !said.contains(secret), "{secret}: {said}");
    }
    let good = fs::read_to_string(in_package("tests/config/good-authentication.yaml")).unwrap();
    let config = config(&good, &machine());
    let shown = format!("{config:?} {}", serde_json::to_string(&config).unwrap());
    for secret in ["12345678", "a sentence", "000102"] {
        assert!(good.contains(secret) && !shown.contains(secret), "{secret}: {shown}");
    }
    let path = ["instances", "rotation", "authentication", "keys", "8", "secret"];
    let secret = vipd::config::secret(&good, &path).unwrap();
    assert_eq!(secret.as_str(), "a sentence of at least 32 letters");
}

/// Rule: a good file means exactly this, defaults included.
#[test]
fn good_files_mean_what_they_say() {
    let different: Vec<String> = files("tests/config", "good-")
        .iter()
        .filter_map(|path| {
            let config = config(&fs::read_to_string(path).unwrap(), &machine());
            let found = serde_json::to_string_pretty(&config).unwrap() + "\n";
            expect(path, "json", &found).err()
        })
        .collect();
    assert!(different.is_empty(), "{}", different.join("\n"));
}

/// Bug guarded: at 600 ms the lease was shorter than a takeover, so that a node which stood still
/// for a moment lost its address to nobody. The lease covers what others wait at the longest.
#[test]
fn the_lease_covers_a_takeover() {
    let cases =
        [(3, "10ms", 1), (3, "100ms", 1), (3, "250ms", 1), (3, "260ms", 2), (3, "600ms", 3)];
    for (version, interval, lease) in cases.into_iter().chain([(3, "1s", 4), (2, "2s", 7)]) {
        let text = format!(
            "instances:\n  web: {{ interface: eth0, virtual_router_id: 51, priority: 100, \
             addresses: [10.0.0.100], version: {version}, advertisement_interval: {interval} }}\n"
        );
        let config = config(&text, &machine());
        assert_eq!(config.instances[0].lease, Some(Span::from_secs(lease)), "{text}");
    }
}

/// Rule: a single mistake is a single problem. A misspelt key is not missing, too, nor does a
/// wrong value make others look wrong.
#[test]
fn one_mistake_is_one_problem() {
    let text = fs::read_to_string(in_package("tests/config/good-everything.yaml")).unwrap();
    for (index, line) in text.lines().enumerate() {
        let Some((key, value)) = line.split_once(':') else { continue };
        if !keys().any(|known| known == key.trim().trim_start_matches("- ")) {
            continue;
        }
        let (shorter, _) = key.split_at(key.len() - 1);
        let misspelt = format!("{shorter}:{value}");
        let wrong = format!("{key}: [[[]]]");
        let all = if value.is_empty() { vec![misspelt] } else { vec![misspelt, wrong] };
        for mistake in all {
            let mut lines_with_it: Vec<&str> = text.lines().collect();
            lines_with_it[index] = &mistake;
            let found = problems(&lines_with_it.join("\n"), &machine());
            assert_eq!(found.len(), 1, "line {}, {mistake}\n{}", index + 1, lines(&found));
        }
    }
}

/// Rule: `--json` has every part of a problem as a field of its own.
#[test]
fn a_problem_is_data_too() {
    let found = problems("instances:\n  db: { priority: 300 }\n", &machine());
    let priority = found.iter().find(|problem| problem.key.ends_with("priority")).unwrap();
    assert_eq!(
        serde_json::to_value(priority).unwrap(),
        serde_json::json!({
            "file": "vipd.yaml",
            "line": 2,
            "column": 19,
            "key": "instances.db.priority",
            "what": "expected a number from 1 to 255, found 300",
            "hint": null,
        })
    );
}

const THREE_NODES: &str = "
nodes: { web1: 10.0.0.21, web2: 10.0.0.22, web3: 10.0.0.23 }
instances:
  web: { interface: eth0, virtual_router_id: 51, addresses: [10.0.0.100/24] }
";

fn node(name: &str) -> Here {
    Here::Node(NodeName::try_from(name).unwrap())
}

/// Rule: the order of the nodes gives each its priority, so that one file serves all of them.
#[test]
fn the_order_of_the_nodes_gives_their_priorities() {
    for (name, priority) in [("web1", 200), ("web2", 190), ("web3", 180)] {
        let config = config(THREE_NODES, &node(name));
        assert_eq!(config.this_node.unwrap().as_str(), name);
        assert_eq!(config.instances[0].priority.get(), priority);
    }
}

/// Rule: a node that is chosen by name must be listed.
#[test]
fn a_chosen_node_must_be_listed() {
    assert_eq!(
        lines(&problems(THREE_NODES, &node("web4"))),
        "vipd.yaml:2:1: nodes: there is no node 'web4' in the list; name one that is, or add it\n"
    );
    assert_eq!(
        lines(&problems("instances: {}", &node("web4"))),
        "vipd.yaml:1:1: nodes: this is to be node 'web4', but no nodes are listed; \
         list the nodes of the group\n"
    );
}

/// Rule: for a node chosen by name the addresses of this machine do not count: neither to find
/// the node nor to tell an address owner.
#[test]
fn a_chosen_node_may_own_addresses_that_this_machine_lacks() {
    let owner = THREE_NODES.replace("interface: eth0", "interface: eth0, priority: 255");
    assert!(config(&owner, &node("web1")).instances[0].priority.is_owner());
}

/// Rule: a thing that the machine lacks is no error in the file. The file is taken, and each thing
/// is named with its place. So are settings that are valid but probably not intended.
#[test]
fn what_a_machine_lacks_is_no_mistake() {
    let different: Vec<String> = files("tests/config", "machine-")
        .iter()
        .filter_map(|path| {
            let text = fs::read_to_string(path).unwrap();
            let (result, findings) = examine(file_name(path), &text, &machine());
            let config = result.unwrap_or_else(|problems| panic!("{}", lines(&problems)));
            let awaited = findings.awaited.iter().map(|one| one.labelled("not on this machine"));
            let warnings = findings.warnings.iter().map(|one| one.labelled("warning"));
            let faults = config.awaited.iter().map(|(name, what)| format!("{name} waits: {what}"));
            let all: Vec<String> = awaited.chain(warnings).chain(faults).collect();
            expect(path, "txt", &(all.join("\n") + "\n")).err()
        })
        .collect();
    assert!(different.is_empty(), "{}", different.join("\n"));
}

/// Rule: a machine without any address, as before the network is up, is not one of the nodes yet.
/// Every instance waits, and the file is valid nevertheless.
#[test]
fn a_machine_without_addresses_waits_for_them() {
    let (result, findings) = examine("vipd.yaml", THREE_NODES, &Here::machine(Vec::new()));
    let config = result.unwrap();
    assert_eq!(config.this_node, None);
    let what = "this machine has none of the nodes' addresses (10.0.0.21, 10.0.0.22, 10.0.0.23); \
                it has no IPv4 address at all beside loopback";
    assert_eq!(config.awaited.values().collect::<Vec<_>>(), [what]);
    let line = "vipd.yaml:2:1: nodes: ".to_owned() + what;
    let hint = "list this machine, or name the node that it is with --node";
    assert_eq!(lines(&findings.awaited), format!("{line}; {hint}\n"));
}

/// Rule: while it is not known which node a machine is, a text is right that is right for one of
/// them, and what is wrong for each of them is a mistake.
#[test]
fn a_text_may_be_right_for_one_node() {
    let nowhere = Here::machine(Vec::new());
    // Nobody is there to send to for the node that alone has an IPv6 address.
    let text = "nodes: { a: [10.0.0.1, 2001:db8::1], b: 10.0.0.2 }\ninstances:\n  web: { \
                interface: eth0, virtual_router_id: 1, transport: unicast, \
                addresses: [10.0.0.9, 2001:db8::9] }\n";
    assert_eq!(config(text, &nowhere).awaited.len(), 1);
    assert_eq!(config(text, &node("b")).awaited.len(), 0);
    problems(text, &node("a"));
    let alone = text.replace("b: 10.0.0.2", "b: [2001:db8::2, 2001:db8::3]");
    let alone = alone.replace("a: [10.0.0.1, 2001:db8::1]", "a: 2001:db8::1");
    assert!(lines(&problems(&alone, &nowhere)).contains("no other node has an IPv4 address"));
}

/// Rule: a machine stays the node that it is while none of its addresses is there, or an address of
/// another node is there, too: a reload at that moment disturbs nothing. Where another node's
/// address alone is there, it is that one.
#[test]
fn a_machine_stays_the_node_that_it_is() {
    let was = config(THREE_NODES, &node("web2")).nodes[1].clone();
    let at = |addresses: &[&str], was: Option<&vipd::model::Node>| {
        let addresses = addresses.iter().map(|address| own("eth0", address, 24)).collect();
        let config = config(THREE_NODES, &Here::Machine { addresses, was: was.cloned() });
        config.this_node.map(|name| name.to_string())
    };
    let web2 = Some("web2".to_owned());
    assert_eq!(at(&["10.0.0.22"], None), web2);
    assert_eq!(at(&[], Some(&was)), web2);
    assert_eq!(at(&["10.0.0.21", "10.0.0.22"], Some(&was)), web2);
    assert_eq!(at(&["10.0.0.21", "10.0.0.22"], None), None);
    assert_eq!(at(&["10.0.0.23"], Some(&was)), Some("web3".to_owned()));
    let renumbered = vipd::model::Node { address: "10.0.0.99".parse().unwrap(), ..was };
    assert_eq!(at(&[], Some(&renumbered)), None);
}

/// Rule: a text too long to be a configuration is not read at all.
#[test]
fn a_huge_file_is_refused() {
    let found = problems(&"# padding\n".repeat(200_000), &machine());
    assert_eq!(found.len(), 1);
    assert!(found[0].what.contains("2000000 bytes"), "{}", found[0]);
}

/// Rule: every key that is listed as known is read: a value that no key takes is refused there.
#[test]
fn every_listed_key_is_read() {
    for key in keys() {
        let texts = [
            format!("{key}: [[[]]]\n"),
            format!("instances:\n  db:\n    {key}: [[[]]]\n"),
            format!("instances:\n  db:\n    addresses:\n      - {key}: [[[]]]\n"),
            format!("instances:\n  db:\n    routes:\n      - {key}: [[[]]]\n"),
            format!("instances:\n  db:\n    rules:\n      - {key}: [[[]]]\n"),
            format!("instances:\n  db:\n    notify:\n      {key}: [[[]]]\n"),
            format!("instances:\n  db:\n    authentication:\n      {key}: [[[]]]\n"),
            format!(
                "instances:\n  db:\n    authentication: {{ keys: {{ 1: {{ {key}: [[[]]] }} }} }}"
            ),
            format!("sync_groups:\n  db:\n    {key}: [[[]]]\n"),
            format!("tracks:\n  db:\n    {key}: [[[]]]\n"),
            format!("tracks:\n  db:\n    flap:\n      {key}: [[[]]]\n"),
        ];
        let of_kind = |kind| format!("tracks:\n  db:\n    {kind}:\n      {key}: [[[]]]\n");
        let mut texts = texts.into_iter().chain(kinds().map(of_kind));
        let said = |text: String| {
            problems(&text, &machine()).iter().any(|problem| {
                problem.key.ends_with(key) && !problem.what.contains("unknown key")
                    || problem.key.ends_with(&format!("{key}[0]"))
            })
        };
        assert!(texts.any(said), "{key}");
    }
}

/// The blocks of a Markdown text that are marked as YAML.
fn yaml_blocks(markdown: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut open: Option<String> = None;
    for line in markdown.lines() {
        match &mut open {
            None if line.trim() == "```yaml" => open = Some(String::new()),
            None => {}
            Some(_) if line.trim() == "```" => blocks.extend(open.take()),
            Some(block) => block.extend([line, "\n"]),
        }
    }
    blocks
}

/// Where an example is valid: on each of its nodes, or on any machine.
fn heres(example: &str) -> Vec<Here> {
    let values: serde_yaml::Value = serde_yaml::from_str(example).unwrap();
    match values.get("nodes").and_then(serde_yaml::Value::as_mapping) {
        Some(nodes) => nodes.keys().map(|name| node(name.as_str().unwrap())).collect(),
        None => vec![Here::machine(Vec::new())],
    }
}

/// Rule: what the documentation shows can be copied.
#[test]
fn every_documented_example_loads() {
    let mut examples: Vec<String> =
        files("docs/examples", "").iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    let reference = fs::read_to_string(in_package("docs/configuration.md")).unwrap();
    let blocks = yaml_blocks(&reference);
    assert!(!blocks.is_empty(), "docs/configuration.md shows examples");
    examples.extend(blocks);
    let pages = files_of_kind("md", "docs/recipes", "").into_iter();
    for page in
        pages.chain(["README.md", "docs/authentication.md", "docs/install.md"].map(in_package))
    {
        examples.extend(yaml_blocks(&fs::read_to_string(page).unwrap()));
    }
    for example in &examples {
        for here in heres(example) {
            assert!(!config(example, &here).instances.is_empty(), "{example}");
        }
    }
}

/// Rule: the packaged file is valid and configures nothing; with its comment signs taken off, its
/// example is valid too.
#[test]
fn the_packaged_file_loads() {
    let packaged = fs::read_to_string(in_package("packaging/vipd.yaml")).unwrap();
    assert!(config(&packaged, &machine()).instances.is_empty());
    // Prose has one blank after the sign, the example none or two.
    let is_prose = |line: &str| line.starts_with("# ") && !line.starts_with("#  ");
    let lines = packaged.lines().filter(|line| !is_prose(line));
    let example = lines.map(|line| line.trim_start_matches('#')).collect::<Vec<_>>().join("\n");
    for here in heres(&example) {
        assert_eq!(config(&example, &here).instances.len(), 1, "{example}");
    }
}

/// Rule: the reference documentation has every key.
#[test]
fn every_key_is_documented() {
    let reference = fs::read_to_string(in_package("docs/configuration.md")).unwrap();
    let missing: Vec<&str> =
        keys().filter(|key| !reference.contains(&format!("`{key}`"))).collect();
    assert!(missing.is_empty(), "not in docs/configuration.md: {missing:?}");
}

/// Text that looks like a configuration: the pieces of one, in any order.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        proptest::sample::select(vec![
            "\n",
            "\n  ",
            "\n    ",
            "\n      ",
            ": ",
            "- ",
            "[",
            "]",
            "{",
            "}",
            ", ",
            "'",
            "\"",
            "&a ",
            "*a",
            "<<: ",
            "!t ",
            "# ",
            "|",
            ">",
            "? ",
            "---\n",
            "...\n",
            "\t",
            "~",
            "10s",
            "5",
            "255",
            "10.0.0.11",
            "10.0.0.100/24",
            "after 60s",
            "never",
            "eth0",
            "db",
            "\u{1b}",
        ])
        .prop_map(str::to_owned),
        proptest::sample::select(keys().collect::<Vec<_>>())
            .prop_flat_map(|key| prop_oneof![Just(format!("{key}: ")), Just(key.to_owned())]),
    ];
    proptest::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

/// Loads `text`; what must hold whatever it is.
fn load_anything(text: &str) {
    let Err(problems) = load("vipd.yaml", text, &machine()) else { return };
    assert!(!problems.is_empty(), "a refusal has a reason: {text:?}");
    assert!(problems.is_sorted_by_key(|problem| (problem.line, problem.column)));
    for problem in problems {
        assert!(problem.line >= 1 && problem.column >= 1, "{problem}");
        assert!(!problem.to_string().contains(char::is_control), "{problem:?}");
    }
}

proptest! {
    /// Rule: no text makes the reader panic, and every refusal has a reason with a place, safe
    /// to print.
    #[test]
    fn any_text_is_read_or_refused(text in any::<String>()) {
        load_anything(&text);
    }

    /// The same for text that gets past the parser more often.
    #[test]
    fn any_pieces_are_read_or_refused(text in pieces()) {
        load_anything(&text);
    }

    /// The same for what is cut off somewhere, as by a full disk.
    #[test]
    fn a_cut_off_file_is_read_or_refused(cut in any::<prop::sample::Index>()) {
        let text = fs::read_to_string(in_package("tests/config/good-everything.yaml")).unwrap();
        load_anything(&text[..cut.index(text.len())]);
    }
}

/// A file as an editor sees it: every key is text.
fn json(yaml: &str) -> serde_json::Value {
    fn value(yaml: &serde_yaml::Value) -> serde_json::Value {
        match yaml {
            serde_yaml::Value::Mapping(map) => {
                let entry = |(key, entry)| (name(key), value(entry));
                serde_json::Value::Object(map.iter().map(entry).collect())
            }
            serde_yaml::Value::Sequence(list) => list.iter().map(value).collect(),
            other => serde_json::to_value(other).unwrap(),
        }
    }
    fn name(key: &serde_yaml::Value) -> String {
        serde_yaml::to_string(key).unwrap().trim().to_owned()
    }
    let yaml = yaml.trim_start_matches('\u{feff}');
    let mut values: serde_yaml::Value = serde_yaml::from_str(yaml).unwrap();
    values.apply_merge().unwrap();
    value(&values)
}

/// What an editor that knows the schema would underline.
fn underlined(yaml: &str) -> Vec<String> {
    let schema = jsonschema::validator_for(&vipd::config::schema::schema()).unwrap();
    let error =
        |error: jsonschema::ValidationError<'_>| format!("{}: {error}", error.instance_path());
    schema.iter_errors(&json(yaml)).map(error).collect()
}

/// Bug guarded: an editor must not underline what vipd takes.
#[test]
fn the_schema_takes_what_is_valid() {
    let mut texts: Vec<String> = files("tests/config", "good-")
        .iter()
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    let pages = files_of_kind("md", "docs/recipes", "").into_iter();
    for page in pages
        .chain(["docs/authentication.md", "docs/configuration.md", "README.md"].map(in_package))
    {
        texts.extend(yaml_blocks(&fs::read_to_string(page).unwrap()));
    }
    assert!(texts.len() > 15);
    // A file of nothing but comments is nothing to a schema.
    for text in texts.iter().filter(|text| !json(text).is_null()) {
        assert_eq!(underlined(text), Vec::<String>::new(), "{text}");
    }
}

/// Rule: the schema knows every key that the reader does, and no other one.
#[test]
fn the_schema_has_every_key() {
    fn properties(schema: &serde_json::Value, found: &mut BTreeSet<String>) {
        if let Some(properties) = schema.get("properties").and_then(|p| p.as_object()) {
            found.extend(properties.keys().cloned());
        }
        match schema {
            serde_json::Value::Object(map) => {
                map.values().for_each(|value| properties(value, found));
            }
            serde_json::Value::Array(list) => {
                for value in list {
                    properties(value, found);
                }
            }
            _ => {}
        }
    }
    let mut found = BTreeSet::new();
    properties(&vipd::config::schema::schema(), &mut found);
    let known: BTreeSet<String> = vipd::config::keys().map(str::to_owned).collect();
    assert_eq!(found, known);
}

/// Rule: an editor underlines the slips that are made most often.
#[test]
fn the_schema_underlines_slips() {
    let web = "instances: { web: { interface: eth0, virtual_router_id: 7, addresses: [10.0.0.9/24]";
    for (slip, why) in [
        (format!("{web}, prioriti: 100 }} }}"), "prioriti"),
        (format!("{web}, priority: 300 }} }}"), "300"),
        (format!("{web}, hold_down: 3 }} }}"), "hold_down"),
        (format!("{web}, preempt: sometimes }} }}"), "sometimes"),
        ("instances: { web: { interface: eth0 } }".to_owned(), "virtual_router_id"),
        ("tracks: { a: { interval: 1s } }".to_owned(), "/tracks/a"),
        ("instance: {}".to_owned(), "instance"),
    ] {
        let found = underlined(&slip).join("\n");
        assert!(found.contains(why), "{slip}: {found}");
    }
    assert_eq!(underlined(&format!("{web} }} }}")), Vec::<String>::new());
}
