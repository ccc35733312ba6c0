//! `vipd check`: is this configuration valid, and what does it mean here?

use std::fmt::Write as _;
use std::io::{self, Write as _};

use super::cli::CheckOptions;
use super::exit::Exit;
use super::load::{self, Checked, LoadError, Verdict};
use crate::config::Findings;
use crate::engine::few;
use crate::model::{Config, InstanceConfig, VirtualAddress};

/// Checks and says so on standard output.
pub(crate) fn main(options: &CheckOptions) -> Exit {
    let checked = load::check(&options.file, options.node.clone());
    let Checked { result, findings } = &checked;
    let exit = match result {
        Err(_) => Exit::Config,
        Ok(_) if !findings.awaited.is_empty() => Exit::Unavailable,
        Ok(_) => Exit::Ok,
    };
    let text = if options.json {
        serde_json::to_string(&Verdict::of(&options.file, &checked))
            .unwrap_or_else(|error| error.to_string())
    } else {
        in_words(options, &checked)
    };
    // Nobody is left to hear of an output that is closed.
    let _ = writeln!(io::stdout(), "{text}");
    exit
}

/// A line for each mistake, then for what is not on this machine, then for what is hardly meant,
/// and the verdict.
fn in_words(options: &CheckOptions, Checked { result, findings }: &Checked) -> String {
    let Findings { awaited, warnings } = findings;
    let mut lines: Vec<String> =
        result.as_ref().err().map(ToString::to_string).into_iter().collect();
    lines.extend(awaited.iter().map(|one| one.labelled("not on this machine")));
    lines.extend(warnings.iter().map(|one| one.labelled("warning")));
    lines.push(match result {
        Ok(config) => describe(options, config, awaited.len()),
        Err(error) => {
            let count = match error {
                LoadError::Invalid(problems) => problems.len(),
                _ => 1,
            };
            let mistakes = if count == 1 { "mistake" } else { "mistakes" };
            format!("{}: invalid: {count} {mistakes}", options.file.display())
        }
    });
    lines.join("\n")
}

fn describe(options: &CheckOptions, config: &Config, awaited: usize) -> String {
    let node = config.this_node.as_ref().map(|name| format!(" on node {name}"));
    let mut text = format!("{}: valid{}", options.file.display(), node.unwrap_or_default());
    match awaited {
        0 => {}
        1 => text.push_str(", but one thing that it needs is not on this machine (yet)"),
        _ => {
            let _ =
                write!(text, ", but {awaited} things that it needs are not on this machine (yet)");
        }
    }
    for instance in &config.instances {
        text.push_str("\n  ");
        text.push_str(&line(instance));
    }
    text
}

fn line(instance: &InstanceConfig) -> String {
    let InstanceConfig { name, virtual_router_id, version, priority, .. } = instance;
    let interfaces = std::iter::once(&instance.interface).chain(&instance.further_interfaces);
    let interfaces: Vec<String> = interfaces.map(ToString::to_string).collect();
    let families: Vec<String> = instance.families().map(|family| family.to_string()).collect();
    let unicast = if instance.transport.is_unicast() { ", unicast" } else { "" };
    let moving: Vec<&VirtualAddress> = instance.moving_addresses().collect();
    format!(
        "{name}: VRID {virtual_router_id} on {} (VRRPv{version}, {}{unicast}), priority {priority}, \
         every {}: {}",
        interfaces.join(" and "),
        families.join(" and "),
        instance.advertisement_interval,
        few(&moving, ", ")
    )
}
