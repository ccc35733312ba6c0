//! `vipd check`: is this configuration valid, and what does it mean here?

use std::io::{self, Write};

use super::cli::CheckOptions;
use super::exit::Exit;
use super::load::{self, LoadError, Verdict};
use crate::engine::few;
use crate::model::{Config, InstanceConfig, VirtualAddress};

/// Checks and says so on standard output.
pub(crate) fn main(options: &CheckOptions) -> Exit {
    let result = load::file(&options.file, options.node.clone());
    let exit = if result.is_ok() { Exit::Ok } else { Exit::Config };
    let text = match (&result, options.json) {
        (_, true) => serde_json::to_string(&Verdict::of(&options.file, &result))
            .unwrap_or_else(|error| error.to_string()),
        (Ok(config), false) => describe(options, config),
        (Err(error), false) => {
            let count = match error {
                LoadError::Invalid(problems) => problems.len(),
                _ => 1,
            };
            let mistakes = if count == 1 { "mistake" } else { "mistakes" };
            format!("{error}\n{}: invalid: {count} {mistakes}", options.file.display())
        }
    };
    // Nobody is left to hear of an output that is closed.
    let _ = writeln!(io::stdout(), "{text}");
    exit
}

fn describe(options: &CheckOptions, config: &Config) -> String {
    let node = config.this_node.as_ref().map(|name| format!(" on node {name}"));
    let mut text = format!("{}: valid{}", options.file.display(), node.unwrap_or_default());
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
