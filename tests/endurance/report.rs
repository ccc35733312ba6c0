//! The table for people, and the files for a closer look.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::judge::{Life, Sample};
use crate::measure::MEASURES;

/// The files of a run.
pub(crate) struct Files {
    directory: PathBuf,
    samples: File,
}

impl Files {
    /// Empty ones.
    pub(crate) fn new(directory: &Path) -> Self {
        fs::create_dir_all(directory).expect("a directory for the results");
        let mut samples = File::create(directory.join("samples.csv")).expect("a file of samples");
        let names: Vec<&str> = MEASURES.iter().map(|measure| measure.name).collect();
        writeln!(samples, "hours,node,daemon,{}", names.join(",")).expect("a line");
        Self { directory: directory.to_owned(), samples }
    }

    /// Adds a measurement.
    pub(crate) fn add(&mut self, node: u8, daemon: u32, sample: &Sample) {
        let values: Vec<String> = sample.values.iter().map(|value| format!("{value:.1}")).collect();
        let line = format!("{:.5},{node},{daemon},{}", sample.at, values.join(","));
        writeln!(self.samples, "{line}").expect("a line");
    }

    /// Writes a text to a file of its own, and says where that is.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.directory.join(name);
        fs::write(&path, text).expect("a file of the results");
        path
    }
}

/// The development of the longest life of each node.
pub(crate) fn table(lives: &[Life]) -> String {
    let mut longest: BTreeMap<u8, &Life> = BTreeMap::new();
    for life in lives {
        let best = longest.entry(life.node).or_insert(life);
        if life.samples.len() > best.samples.len() {
            *best = life;
        }
    }
    longest.values().map(|life| of_life(life)).collect()
}

fn of_life(life: &Life) -> String {
    let (Some(first), Some(last)) = (life.samples.first(), life.samples.last()) else {
        return String::new();
    };
    let mut text = format!(
        "node {}, daemon {}: {} measurements in {:.2} h\n{:>16} {:>10} {:>10} {:>10} {:>10} {:>12}\n",
        life.node,
        life.number,
        life.samples.len(),
        last.at - first.at,
        "",
        "quarter 2",
        "quarter 4",
        "least",
        "most",
        "slope an hour",
    );
    for (place, measure) in MEASURES.iter().enumerate() {
        let trend = life.trend(place);
        let _ = writeln!(
            text,
            "{:>16} {:>10.0} {:>10.0} {:>10.0} {:>10.0} {:>12.1}",
            measure.name, trend.before, trend.after, trend.least, trend.most, trend.slope
        );
    }
    text
}
