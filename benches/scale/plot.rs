//! The plot: processor time compared with keepalived's, as bars.

use std::fmt::Write as _;

use crate::figures::Row;
use crate::program::Kind;

/// Sizes, in pixels.
const WIDTH: f64 = 720.0;
const LEFT: f64 = 250.0;
const RIGHT: f64 = 70.0;
const TOP: f64 = 40.0;
const BAR: f64 = 14.0;
const SPACE: f64 = 4.0;
const BETWEEN: f64 = 18.0;

/// Nothing is drawn longer than this: the number says the rest.
const LONGEST: f64 = 3.0;

/// The colours of the bars.
const VIPD: &str = "#2563eb";
const FLOOR: &str = "#94a3b8";

/// A drawing in the making.
struct Plot {
    body: String,
    y: f64,
    /// Pixels for a ratio of one.
    unit: f64,
}

/// The bars of vipd and the floor for each workload that keepalived was measured with.
pub(crate) fn render(rows: &[Row]) -> String {
    let longest = bars(rows).into_iter().flatten().map(|bar| bar.ratio).fold(1.0, f64::max);
    let unit = (WIDTH - LEFT - RIGHT) / longest.min(LONGEST);
    let mut plot = Plot { body: String::new(), y: TOP, unit };
    for (row, bars) in rows.iter().zip(bars(rows)).filter(|(_, bars)| !bars.is_empty()) {
        let _ = writeln!(
            plot.body,
            "<text x=\"8\" y=\"{:.0}\" font-weight=\"bold\">{}</text>",
            plot.y + BAR - 3.0,
            row.workload.title()
        );
        for bar in &bars {
            plot.bar(bar);
        }
        plot.y += BETWEEN;
    }
    plot.finish()
}

struct Bar {
    name: &'static str,
    ratio: f64,
    colour: &'static str,
}

/// The bars of each workload.
fn bars(rows: &[Row]) -> Vec<Vec<Bar>> {
    rows.iter().map(bars_of).collect()
}

fn bars_of(row: &Row) -> Vec<Bar> {
    let mut bars = Vec::new();
    let kinds = [
        (Kind::Vipd, ["vipd, active", "vipd, backup"], VIPD),
        (Kind::Floor, ["floor, active", "floor, backup"], FLOOR),
    ];
    for (kind, names, colour) in kinds {
        if let Some(ratios) = row.ratio(kind, Kind::Keepalived) {
            let both = names.into_iter().zip(ratios);
            bars.extend(both.map(|(name, ratio)| Bar { name, ratio, colour }));
        }
    }
    bars
}

impl Plot {
    fn bar(&mut self, bar: &Bar) {
        let Bar { name, ratio, colour } = bar;
        let (y, width) = (self.y, ratio.min(LONGEST) * self.unit);
        let baseline = y + BAR - 3.0;
        let _ = writeln!(
            self.body,
            "<text x=\"{:.0}\" y=\"{baseline:.0}\" text-anchor=\"end\">{name}</text>\n\
             <rect x=\"{LEFT}\" y=\"{y:.0}\" width=\"{width:.1}\" height=\"{BAR}\" \
             fill=\"{colour}\"/>\n\
             <text x=\"{:.1}\" y=\"{baseline:.0}\">{ratio:.2}</text>",
            LEFT - 8.0,
            LEFT + width + 6.0
        );
        self.y += BAR + SPACE;
    }

    /// With the line of keepalived.
    fn finish(self) -> String {
        let (height, line) = (self.y + 8.0, LEFT + self.unit);
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height:.0}\" \
             width=\"{WIDTH}\" height=\"{height:.0}\" font-family=\"sans-serif\" font-size=\"12\" \
             fill=\"#111827\">\n\
             <title>Processor time compared with keepalived's (1.0)</title>\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
             <text x=\"{line:.1}\" y=\"16\" text-anchor=\"middle\">keepalived = 1</text>\n\
             {}\
             <line x1=\"{line:.1}\" y1=\"22\" x2=\"{line:.1}\" y2=\"{:.0}\" stroke=\"#dc2626\" \
             stroke-dasharray=\"4 3\"/>\n</svg>\n",
            self.body,
            self.y - BETWEEN + 8.0
        )
    }
}
