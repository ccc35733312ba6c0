//! `vipctl init` and `vipctl keygen`: the first steps.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::lab::{Agent, Config, Group, Host, Lab, program};

/// What the package brings.
const SAMPLE: &str = include_str!("../../packaging/vipd.yaml");

fn init(host: &Host, output: &Path, arguments: &str) -> Output {
    let mut command = Command::new(program("vipctl"));
    command.arg("init").args(arguments.split_whitespace()).arg("--output").arg(output);
    host.inside(|| command.stdin(Stdio::null()).output()).expect("vipctl runs")
}

fn error(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A segment with a group of somebody else, who uses the virtual router ID 77.
fn segment(lab: &Lab) -> (Group, Agent) {
    let group = Group::new(lab, &[11]);
    let stranger = group.segment.host(13);
    let theirs = Config::new(&[]).set("virtual_router_id", "77").set("priority", "100");
    let agent = Agent::start(&stranger, &theirs.set("addresses", "[10.77.0.200/24]"));
    agent.reports(&["web: active"]);
    (group, agent)
}

/// `vipd check` accepts it there.
#[track_caller]
fn is_accepted(host: &Host, file: &Path) -> String {
    let mut command = Command::new(program("vipd"));
    command.arg("check").arg(file);
    let output = host.inside(|| command.output()).expect("vipd runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", error(&output));
    said
}

const GIVEN: &str = "--yes --node node12=10.77.0.12 --address 10.77.0.100/24 --listen 2";

/// Rule: with options alone a configuration comes out that `vipd check` accepts, with an ID that
/// nobody on the segment uses, and never a crowded one.
pub(crate) fn unattended(lab: &Lab) {
    let (group, _other) = segment(lab);
    let host = &group.nodes[0];
    let file = lab.directory().join("first.yaml");
    let output = init(host, &file, GIVEN);
    assert!(output.status.success(), "{}", error(&output));
    assert!(
        error(&output).contains("VRID  77  10.77.0.13, VRRPv3, priority 100"),
        "{}",
        error(&output)
    );
    let said = is_accepted(host, &file);
    assert!(said.contains("on eth0") && said.contains("10.77.0.100/24"), "{said}");
    for taken in ["VRID 77 ", "VRID 51 ", "VRID 1 "] {
        assert!(!said.contains(taken), "{said}");
    }
    assert_eq!(fs::metadata(&file).expect("the file").permissions().mode() & 0o777, 0o644);

    let output =
        init(host, &lab.directory().join("other.yaml"), &format!("{GIVEN} --virtual-router-id 77"));
    assert_eq!(output.status.code(), Some(1));
    assert!(error(&output).contains("another group uses it on this segment"), "{}", error(&output));
    assert!(!lab.directory().join("other.yaml").exists());
}

/// Rule: what is missing is asked for on a terminal, and a wrong answer again.
pub(crate) fn asked(lab: &Lab) {
    let group = Group::new(lab, &[11]);
    let host = &group.nodes[0];
    let file = lab.directory().join("asked.yaml");
    let vipctl = program("vipctl");
    let line = format!("{vipctl} init --listen 1 --output {}", file.display());
    // A terminal, from util-linux.
    let mut command = Command::new("script");
    command.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = host.inside(|| command.spawn()).expect("script runs");
    let answers = "\n10.77.0.100\n10.77.0.100/24\nnode12=10.77.0.12\nshop\n";
    child.stdin.take().expect("its input").write_all(answers.as_bytes()).expect("answers");
    let output = child.wait_with_output().expect("script ends");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("write the length of its prefix too, as in 10.77.0.100/24"), "{said}");
    assert!(is_accepted(host, &file).contains("shop: VRID"));
}

/// Rule: without a terminal nothing is asked: all options that are missing are named; and a file that
/// somebody has written stays as it is.
pub(crate) fn refused(lab: &Lab) {
    let group = Group::new(lab, &[11]);
    let host = &group.nodes[0];
    let file: PathBuf = lab.directory().join("mine.yaml");
    let output = init(host, &file, "--listen 0");
    assert_eq!(output.status.code(), Some(64));
    assert!(error(&output).contains("--address, --node"), "{}", error(&output));

    let given = GIVEN.replace("--listen 2", "--listen 0");
    fs::write(&file, "# mine\n").expect("a file");
    let output = init(host, &file, &given);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(fs::read_to_string(&file).expect("the file"), "# mine\n");
    fs::write(&file, SAMPLE).expect("a file");
    assert!(init(host, &file, &given).status.success());
    assert!(!init(host, &file, &given).status.success(), "it is no sample any more");
    assert!(init(host, &file, &format!("{given} --force")).status.success());
    is_accepted(host, &file);

    // The address of the other node as the one that moves: vipd check would refuse that.
    let wrong = given.replace("10.77.0.100/24", "10.77.0.12/24");
    let file = lab.directory().join("wrong.yaml");
    let output = init(host, &file, &wrong);
    assert_eq!(output.status.code(), Some(1), "{}", error(&output));
    assert!(error(&output).contains("vipd would refuse this configuration"), "{}", error(&output));
    assert!(!file.exists());
}

/// Rule: without the right to listen, `init` says so and what to do, instead of taking any ID.
pub(crate) fn not_allowed(lab: &Lab) {
    if !Lab::started_by_root() {
        lab.note("as an ordinary user there is no other one to run it as: nothing to see here");
        return;
    }
    let group = Group::new(lab, &[11]);
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    command.arg(program("vipctl")).arg("init").args(GIVEN.split_whitespace());
    command.args(["--output", "-"]);
    let output = group.nodes[0].inside(|| command.output()).expect("setpriv runs");
    assert_eq!(output.status.code(), Some(77), "{}", error(&output));
    assert!(error(&output).contains("CAP_NET_RAW"), "{}", error(&output));
}
