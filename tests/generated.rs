//! The man pages and shell completions of the package are those of the program.
//!
//! `VIPD_BLESS=1 cargo test --test generated` writes them anew.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may fail loudly, and reads files"
)]

use std::path::{Path, PathBuf};
use std::{env, fs};

use clap_complete::Shell;
use clap_mangen::Man;

fn programs() -> [clap::Command; 2] {
    [vipd::daemon::command(), vipd::ctl::command()]
}

fn in_package(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging").join(path)
}

/// Compares with what is in the repository, or writes it.
#[track_caller]
fn expect(path: &str, found: &str) {
    let path = in_package(path);
    if env::var_os("VIPD_BLESS").is_some() {
        fs::write(&path, found).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert!(expected == found, "{} is old: run this test with VIPD_BLESS=1", path.display());
}

/// One page for a program: its own sections, then one for each command.
fn man_page(program: &clap::Command) -> String {
    let mut program = program.clone();
    program.build();
    let page = Man::new(program.clone()).section("8").manual("vipd").date("");
    let mut text = Vec::new();
    page.render_title(&mut text).unwrap();
    page.render_name_section(&mut text).unwrap();
    page.render_synopsis_section(&mut text).unwrap();
    page.render_description_section(&mut text).unwrap();
    for command in program.get_subcommands().filter(|command| !command.is_hide_set()) {
        if command.get_name() != "help" {
            text.extend(command_section(&program, command).into_bytes());
        }
    }
    page.render_extra_section(&mut text).unwrap();
    text.extend(b".SH \"SEE ALSO\"\n\\fBvipd\\fR(8), \\fBvipctl\\fR(8), \\fBvipd.yaml\\fR(5)\n");
    String::from_utf8(text).unwrap()
}

fn command_section(program: &clap::Command, command: &clap::Command) -> String {
    let page = Man::new(command.clone());
    let mut text = Vec::new();
    page.render_synopsis_section(&mut text).unwrap();
    page.render_description_section(&mut text).unwrap();
    page.render_options_section(&mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    // The command's sections are parts of its own section here.
    let text = text.replace(".SH SYNOPSIS\n", "").replace(".SH DESCRIPTION\n", ".PP\n");
    let name = format!("{} {}", program.get_name(), command.get_name()).to_uppercase();
    format!(".SH \"{name}\"\n{}", text.replace(".SH OPTIONS\n", ".PP\n"))
}

/// Rule: what the pages and completions say is what the program takes.
#[test]
fn man_pages_and_completions_are_up_to_date() {
    for mut program in programs() {
        let name = program.get_name().to_owned();
        expect(&format!("man/{name}.8"), &man_page(&program));
        for (shell, file) in [
            (Shell::Bash, format!("{name}.bash")),
            (Shell::Zsh, format!("_{name}")),
            (Shell::Fish, format!("{name}.fish")),
        ] {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut program, &name, &mut text);
            expect(&format!("completions/{file}"), &String::from_utf8(text).unwrap());
        }
    }
}

/// Rule: each flag and each command stands in the man page.
#[test]
fn every_flag_stands_in_the_man_page() {
    for program in programs() {
        let page = man_page(&program).replace("\\-", "-");
        for command in program.get_subcommands().filter(|command| !command.is_hide_set()) {
            assert!(page.contains(command.get_name()), "{}", command.get_name());
            for flag in command.get_arguments().filter_map(clap::Arg::get_long) {
                assert!(page.contains(&format!("--{flag}")), "{}: --{flag}", command.get_name());
            }
        }
    }
}

/// Rule: the configuration's man page has every key, reserved ones too.
#[test]
fn every_key_stands_in_the_man_page() {
    let page = fs::read_to_string(in_package("man/vipd.yaml.5")).unwrap();
    for key in vipd::config::keys() {
        assert!(page.contains(&format!("\\fB{key}\\fR")), "{key} is not in vipd.yaml(5)");
    }
}

/// Rule: the schema that editors get is that of this program's configuration.
#[test]
fn the_schema_is_current() {
    let mut text = serde_json::to_string_pretty(&vipd::config::schema::schema()).unwrap();
    text.push('\n');
    expect("schema/vipd.schema.json", &text);
}
