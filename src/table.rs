//! A plain table for a terminal or a pipe.

use std::fmt;

use anstream::adapter::strip_str;

/// Columns that are as wide as their widest cell. A cell may have several lines, and colours.
#[derive(Debug)]
pub(crate) struct Table<const COLUMNS: usize> {
    rows: Vec<[String; COLUMNS]>,
}

impl<const COLUMNS: usize> Table<COLUMNS> {
    /// A table without rows.
    pub(crate) fn new(head: [&str; COLUMNS]) -> Self {
        Self { rows: vec![head.map(str::to_owned)] }
    }

    /// Adds a row.
    pub(crate) fn push(&mut self, row: [String; COLUMNS]) {
        self.rows.push(row);
    }

    fn widths(&self) -> [usize; COLUMNS] {
        std::array::from_fn(|column| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.flat_map(|cell| cell.lines()).map(width).max().unwrap_or_default()
        })
    }
}

/// How many characters of a line are seen.
fn width(line: &str) -> usize {
    strip_str(line).to_string().chars().count()
}

impl<const COLUMNS: usize> fmt::Display for Table<COLUMNS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        for (number, row) in self.rows.iter().enumerate() {
            let height = row.iter().map(|cell| cell.lines().count()).max().unwrap_or_default();
            for line in 0..height.max(1) {
                let cells = row.iter().map(|cell| cell.lines().nth(line).unwrap_or_default());
                let padded = cells.zip(widths).map(|(cell, column)| {
                    format!("{cell}{}", " ".repeat(column.saturating_sub(width(cell))))
                });
                writeln!(f, "{}", padded.collect::<Vec<_>>().join("  ").trim_end())?;
            }
            if number == 0 {
                writeln!(f, "{}", widths.map(|width| "-".repeat(width)).join("  "))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rule: columns line up under their heads, and no line ends in blanks.
    #[test]
    fn columns_line_up() {
        let mut table = Table::new(["Step", "Gap"]);
        table.push(["power failure".to_owned(), "650 ms".to_owned()]);
        table.push(["stop".to_owned(), "250 µs".to_owned()]);
        let written = "\
Step           Gap
-------------  ------
power failure  650 ms
stop           250 µs
";
        assert_eq!(table.to_string(), written);
    }

    /// Rule: further lines of a cell stand under its first, and colours take no room.
    #[test]
    fn cells_may_have_lines_and_colours() {
        let mut table = Table::new(["A", "B", "C"]);
        table.push(["\u{1b}[31mx\u{1b}[0m".to_owned(), "one\ntwo".to_owned(), "y".to_owned()]);
        let written = "A  B    C\n-  ---  -\n\u{1b}[31mx\u{1b}[0m  one  y\n   two\n";
        assert_eq!(table.to_string(), written);
    }
}
