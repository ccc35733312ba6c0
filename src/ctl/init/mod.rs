//! `vipctl init`: a first configuration, from what is on the segment and a few questions.

mod ask;
mod draft;
mod place;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, BufRead, IsTerminal as _, Write};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;

use super::exit::{self, Exit};
use super::options::instance_name;
use super::told::Told;
use super::wire::{Heard, Membership, OwnAddress, Seen, Wire, in_network, own_addresses};
use crate::config::{self, Findings, Here};
use crate::model::{Family, InterfaceName, Node, NodeName, Scope, VirtualAddress, Vrid};
use ask::{Asker, Question};
use draft::Draft;

#[derive(Debug, Args)]
#[command(after_help = exit::TEXT)]
pub(super) struct InitOptions {
    /// The interface of the segment [default: the only one with an address]
    #[arg(long, value_name = "IF")]
    interface: Option<String>,
    /// Another node: its name and own address. Again for each one more
    #[arg(long = "node", value_name = "NAME=ADDRESS", value_parser = node)]
    nodes: Vec<Node>,
    /// An address that is to move, with its prefix length. Again for each one more
    #[arg(long = "address", value_name = "ADDRESS/LENGTH", value_parser = address)]
    addresses: Vec<VirtualAddress>,
    /// The instance's name [default: web]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// The virtual router ID [default: one that nobody on the segment uses]
    #[arg(long, value_name = "ID")]
    #[arg(value_parser = clap::value_parser!(u8).range(1..))]
    virtual_router_id: Option<u8>,
    /// How long to listen for others' virtual routers; 0: not at all
    #[arg(long, value_name = "SECONDS", default_value_t = 4)]
    #[arg(value_parser = clap::value_parser!(u64).range(0..=300))]
    listen: u64,
    /// Where to write the configuration; `-`: to standard output
    #[arg(long, value_name = "FILE", default_value = "/etc/vipd/vipd.yaml")]
    output: PathBuf,
    /// Ask nothing: take the options and the defaults
    #[arg(long)]
    yes: bool,
    /// Replace a file that is there, or take an ID that another group uses
    #[arg(long)]
    force: bool,
}

fn node(text: &str) -> Result<Node, String> {
    let (name, address) = text.split_once('=').ok_or("write it as NAME=ADDRESS")?;
    let name = NodeName::try_from(name).map_err(|error| error.to_string())?;
    Ok(Node { name, address: ip(address)?, others: Vec::new() })
}

fn ip(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| format!("'{text}' is no IP address"))
}

fn address(text: &str) -> Result<VirtualAddress, String> {
    let (address, prefix) = text.split_once('/').ok_or_else(|| {
        format!(
            "write the length of its prefix too, as in {text}/24; /32 where it is to be no \
             network's"
        )
    })?;
    let address = ip(address)?;
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let prefix = prefix.parse().ok().filter(|prefix| (1..=longest).contains(prefix));
    let prefix =
        prefix.ok_or_else(|| format!("the prefix of {address} has 1 to {longest} bits"))?;
    Ok(VirtualAddress { address, prefix, dev: None, label: None, scope: Scope::Global })
}

/// Why there is no configuration.
struct Failure(Exit, String);

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self(
            Exit::Unavailable,
            match error.kind() {
                io::ErrorKind::UnexpectedEof => {
                    "the input has ended: nothing was written".to_owned()
                }
                _ => error.to_string(),
            },
        )
    }
}

fn refused(why: impl Into<String>) -> Failure {
    Failure(Exit::Refused, why.into())
}

/// Makes one.
pub(super) fn main(options: &InitOptions) -> Told {
    let asks = !options.yes && io::stdin().is_terminal();
    let mut asker = Asker::new(io::stdin().lock(), io::stderr(), asks);
    match make(options, &mut asker) {
        Ok(told) => told,
        Err(Failure(exit, why)) => Told::problem(exit, why),
    }
}

fn make<I: BufRead, O: Write>(
    options: &InitOptions,
    asker: &mut Asker<I, O>,
) -> Result<Told, Failure> {
    let to_file = options.output.as_os_str() != "-";
    if to_file && !options.force {
        place::may_be_replaced(&options.output).map_err(refused)?;
    }
    let own = own_addresses()?;
    let Some(interface) = interface(options, asker, &own)? else { return Err(missing(asker)) };
    let heard = listen(interface.as_str(), options.listen)?;
    let draft = ask_the_rest(options, asker, &own, interface, &heard)?;
    let text = draft.yaml();
    check(options, &own, &text)?;
    if !to_file {
        return Ok(Told::done(text));
    }
    place::write(&options.output, &text).map_err(|error| {
        let advice =
            if error.kind() == io::ErrorKind::PermissionDenied { ": run it with sudo" } else { "" };
        Failure(
            Exit::CannotCreate,
            format!("{} cannot be written: {error}{advice}", options.output.display()),
        )
    })?;
    Ok(Told::done(next_steps(options, &draft)))
}

/// The interface: given, the only one, or asked for.
fn interface<I: BufRead, O: Write>(
    options: &InitOptions,
    asker: &mut Asker<I, O>,
    own: &[OwnAddress],
) -> Result<Option<InterfaceName>, Failure> {
    let usable: BTreeSet<&str> =
        own.iter().filter(|one| is_of_a_segment(one)).map(|one| one.interface.as_str()).collect();
    let parse = |name: &str| {
        if usable.contains(name) {
            return InterfaceName::try_from(name).map_err(|error| error.to_string());
        }
        let all: Vec<&str> = usable.iter().copied().collect();
        Err(format!(
            "no interface '{name}' with an address of its own; there are: {}",
            all.join(", ")
        ))
    };
    if let Some(name) = &options.interface {
        return parse(name).map(Some).map_err(refused);
    }
    let usual = usable.first().copied().filter(|_| usable.len() == 1);
    let all: Vec<&str> = usable.iter().copied().collect();
    let text = format!("The interface of the segment ({})", all.join(", "));
    Ok(asker.ask(Question { text: &text, option: "--interface", usual }, parse)?)
}

/// An address that a node could be known by.
fn is_of_a_segment(own: &OwnAddress) -> bool {
    match own.address {
        IpAddr::V4(v4) => !v4.is_loopback() && !v4.is_link_local(),
        IpAddr::V6(v6) => !v6.is_loopback() && !v6.is_unicast_link_local(),
    }
}

/// Who is on the segment, said on standard error.
fn listen(interface: &str, seconds: u64) -> Result<Vec<Heard>, Failure> {
    if seconds == 0 {
        return Ok(Vec::new());
    }
    say(&format!("listening on {interface} for {seconds} s for other groups ..."));
    let _membership = Membership::join(interface).map_err(|error| denied(interface, &error))?;
    let wire = Wire::open(interface).map_err(|error| denied(interface, &error))?;
    let mut heard = Vec::new();
    wire.listen(Instant::now() + Duration::from_secs(seconds), |seen| {
        if let Seen::Advertisement(one) = seen
            && !heard.contains(&one)
        {
            heard.push(one);
        }
    })
    .map_err(|error| denied(interface, &error))?;
    let lines = draft::described(&heard);
    if lines.is_empty() {
        say("  no virtual router was heard");
    }
    for line in lines {
        say(&format!("  {line}"));
    }
    Ok(heard)
}

fn denied(interface: &str, error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::PermissionDenied => Failure(
            Exit::Permission,
            format!(
                "listening on {interface} needs CAP_NET_RAW: run it with sudo, or leave it out \
                 with --listen 0 and give --virtual-router-id"
            ),
        ),
        _ => Failure(Exit::Unavailable, format!("{interface} cannot be listened to: {error}")),
    }
}

/// Nobody is left to hear of a closed output.
fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

fn ask_the_rest<I: BufRead, O: Write>(
    options: &InitOptions,
    asker: &mut Asker<I, O>,
    own: &[OwnAddress],
    interface: InterfaceName,
    heard: &[Heard],
) -> Result<Draft, Failure> {
    let addresses = match &options.addresses[..] {
        [] => {
            let text = "The address that is to move, with its prefix (10.0.0.100/24)";
            let question = Question { text, option: "--address", usual: None };
            asker.ask(question, address)?.into_iter().collect()
        }
        given => given.to_vec(),
    };
    let family = addresses.first().map_or(Family::V4, |first| Family::of(first.address));
    let here = own_node(own, interface.as_str(), family)?;
    let others = other_nodes(options, asker, &here)?;
    let vrid = virtual_router_id(options, heard)?;
    let usual = Some("web");
    let question = Question { text: "A name for it", option: "--name", usual };
    let instance = match &options.name {
        Some(given) => Some(instance_name(given).map_err(|why| Failure(Exit::Usage, why))?),
        None => asker.ask(question, instance_name)?,
    };
    let Some(instance) = instance.filter(|_| asker.missing().is_empty()) else {
        return Err(missing(asker));
    };
    for moved in &addresses {
        if let Some(one) =
            heard.iter().find(|one| one.advertisement.addresses.contains(&moved.address))
        {
            say(&format!(
                "{} is moved by {} already, under VRID {}: to join that group, or replace it node \
                 by node, use --virtual-router-id {2} --force and its priorities \
                 (docs/configuration.md)",
                moved.address, one.source, one.advertisement.virtual_router_id
            ));
        }
    }
    let nodes = std::iter::once(here).chain(others).collect();
    Ok(Draft { nodes, instance, interface, vrid, addresses })
}

/// This node: its host's name and its address on the interface.
fn own_node(own: &[OwnAddress], interface: &str, family: Family) -> Result<Node, Failure> {
    let mut candidates = own.iter().filter(|one| {
        one.interface == interface && Family::of(one.address) == family && is_of_a_segment(one)
    });
    let address = candidates.next().map(|one| one.address).ok_or_else(|| {
        refused(format!("{interface} has no {family} address of its own: give it one first"))
    })?;
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = host.trim().split('.').next().unwrap_or_default().to_owned();
    let name = NodeName::try_from(host.as_str()).or_else(|_| NodeName::try_from("node1"));
    name.map(|name| Node { name, address, others: Vec::new() })
        .map_err(|error| refused(error.to_string()))
}

fn other_nodes<I: BufRead, O: Write>(
    options: &InitOptions,
    asker: &mut Asker<I, O>,
    here: &Node,
) -> Result<Vec<Node>, Failure> {
    if !options.nodes.is_empty() {
        return Ok(options
            .nodes
            .iter()
            .filter(|node| node.address != here.address)
            .cloned()
            .collect());
    }
    let text =
        format!("The other node, as NAME=ADDRESS (this one is {}={})", here.name, here.address);
    let question = Question { text: &text, option: "--node", usual: None };
    let other = asker.ask(question, |text| {
        let other = node(text)?;
        if other.name == here.name || other.address == here.address {
            return Err(format!("that is this node, {}={}", here.name, here.address));
        }
        Ok(other)
    })?;
    Ok(other.into_iter().collect())
}

fn virtual_router_id(options: &InitOptions, heard: &[Heard]) -> Result<Vrid, Failure> {
    let used = draft::used(heard);
    if let Some(id) = options.virtual_router_id {
        let id = Vrid::try_from(id).map_err(|error| Failure(Exit::Usage, error.to_string()))?;
        if used.contains(&id) && !options.force {
            let why = "another group uses it on this segment; --force takes it all the same, to \
                       join that group";
            return Err(refused(format!("virtual router ID {id}: {why}")));
        }
        return Ok(id);
    }
    let chance = getrandom::u32().map_err(|error| Failure(Exit::Unavailable, error.to_string()))?;
    draft::choose(&used, chance)
        .ok_or_else(|| refused("all 253 virtual router IDs are in use on this segment"))
}

fn missing<I: BufRead, O: Write>(asker: &Asker<I, O>) -> Failure {
    let options = asker.missing().join(", ");
    Failure(
        Exit::Usage,
        format!("nobody can be asked here, so these options are needed, too: {options}"),
    )
}

/// What `vipd check` would say on this machine. What it refuses is not written.
fn check(options: &InitOptions, own: &[OwnAddress], text: &str) -> Result<(), Failure> {
    let here = Here::machine(own.iter().filter_map(OwnAddress::named).collect());
    let file = options.output.display().to_string();
    let (result, Findings { awaited, .. }) = config::examine(&file, text, &here);
    let (why, problems) = match result {
        Err(problems) => ("vipd would refuse this configuration", problems),
        Ok(_) if !awaited.is_empty() => {
            ("this machine lacks what this configuration needs", awaited)
        }
        Ok(_) => return Ok(()),
    };
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    Err(refused(format!("{why}, so it was not written:\n{}", lines.join("\n"))))
}

fn next_steps(options: &InitOptions, draft: &Draft) -> String {
    let file = options.output.display();
    let mut text = format!("{file} is written: virtual router ID {}.\n", draft.vrid);
    let are_near = draft.nodes.iter().all(|node| {
        draft.addresses.iter().all(|one| in_network(node.address, one.address, one.prefix))
    });
    if !are_near {
        text.push_str(
            "The nodes are not all in the network of the address: is its prefix meant so?\n",
        );
    }
    text.push_str("Next, here and on the others:\n");
    for node in draft.nodes.iter().skip(1) {
        let _ = writeln!(text, "  scp {file} root@{}:{file}", node.address);
    }
    text.push_str("  vipd check && systemctl reload vipd\n  systemctl status vipd; vipctl doctor");
    text
}
