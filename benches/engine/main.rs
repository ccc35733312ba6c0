//! The cost of one input to the engine, with 10 to 4,000 instances.
//!
//! `cargo bench --bench engine`. An input touches one instance: its cost must not grow with the
//! number of the others. The table at the end compares 4,000 instances with 10.
#![allow(
    clippy::cast_precision_loss,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a benchmark reads the clock, and may fail loudly"
)]

mod node;

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use criterion::Criterion;

use node::Node;

/// The numbers of instances.
const SIZES: [usize; 4] = [10, 100, 1_000, 4_000];

/// The largest number of inputs that are made before their handling is timed.
const BATCH: u64 = 1_000;

/// The most that an input may cost with the most instances, compared with the fewest.
const TARGET: f64 = 2.0;

/// A kind of input.
struct Kind {
    name: &'static str,
    /// A node at rest, with so many instances.
    build: fn(usize) -> Node,
    /// Handles about so many inputs.
    play: fn(&mut Node, u64) -> Played,
}

/// Inputs that were handled.
struct Played {
    inputs: u64,
    spent: Duration,
}

const KINDS: [Kind; 3] = [
    Kind { name: "packet", build: Node::backup, play: packets },
    Kind { name: "deadline, for each advertisement", build: Node::active, play: deadlines },
    Kind { name: "result of a check", build: Node::checked, play: results },
];

/// A backup hears an advertisement of each of its active routers in turn.
fn packets(node: &mut Node, wanted: u64) -> Played {
    let inputs: Vec<_> = (0..wanted.min(BATCH)).map(|_| node.advertisement()).collect();
    let count = inputs.len() as u64;
    let start = Instant::now();
    for input in inputs {
        node.tell(input);
    }
    Played { inputs: count, spent: start.elapsed() }
}

/// An active node advertises: its instances in turn, with what else they do meanwhile (renewals).
fn deadlines(node: &mut Node, wanted: u64) -> Played {
    let mut inputs = 0;
    let start = Instant::now();
    while inputs < wanted {
        inputs += node.next();
    }
    Played { inputs, spent: start.elapsed() }
}

/// The results of checks that are due next. One instance depends on each of them.
fn results(node: &mut Node, _wanted: u64) -> Played {
    let results = node.next_results();
    let inputs = results.len() as u64;
    let start = Instant::now();
    for result in results {
        node.tell(result);
    }
    Played { inputs, spent: start.elapsed() }
}

/// The median time of one input in nanoseconds.
fn measure(criterion: &mut Criterion, kind: &Kind, size: usize) -> f64 {
    let mut node = (kind.build)(size);
    let mut samples = Vec::new();
    criterion.bench_function(&format!("{}/{size}", kind.name), |bencher| {
        bencher.iter_custom(|wanted| {
            let mut sum = Played { inputs: 0, spent: Duration::ZERO };
            while sum.inputs < wanted {
                let Played { inputs, spent } = (kind.play)(&mut node, wanted - sum.inputs);
                sum.inputs += inputs;
                sum.spent += spent;
            }
            let each = sum.spent.as_secs_f64() / sum.inputs as f64;
            samples.push(each * 1e9);
            Duration::from_secs_f64(each * wanted as f64)
        });
    });
    samples.sort_by(f64::total_cmp);
    samples.get(samples.len() / 2).copied().unwrap_or(f64::NAN)
}

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3))
        .sample_size(20)
        .configure_from_args();
    let mut table = String::from("| ns | ");
    table += &SIZES.map(|size| format!("{size} instances | ")).concat();
    table += "last / first | target | |\n|---|---|---|---|---|---|---|---|\n";
    for kind in &KINDS {
        let times = SIZES.map(|size| measure(&mut criterion, kind, size));
        let ratio = times[SIZES.len() - 1] / times[0];
        let verdict = if ratio <= TARGET { "met" } else { "missed" };
        let _ = write!(table, "| {} | ", kind.name);
        table += &times.map(|time| format!("{time:.0} | ")).concat();
        let _ = writeln!(table, "{ratio:.2} | at most {TARGET:.1} | {verdict} |");
    }
    criterion.final_summary();
    println!("\n{table}");
}
