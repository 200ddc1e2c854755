//! The table of results, with the machine and the commit that they hold for.

use std::fmt::Write as _;
use std::process::Command;

/// One line of the table.
pub(crate) struct Row {
    scenario: &'static str,
    what: String,
    /// `None`: it could not be measured, and the note says why.
    figure: Option<f64>,
    unit: &'static str,
    limit: Option<(f64, String)>,
    note: String,
}

impl Row {
    pub(crate) fn new(
        scenario: &'static str,
        what: impl Into<String>,
        figure: f64,
        unit: &'static str,
    ) -> Self {
        Self {
            scenario,
            what: what.into(),
            figure: Some(figure),
            unit,
            limit: None,
            note: String::new(),
        }
    }

    /// What could not be measured, and why.
    pub(crate) fn not_measured(
        scenario: &'static str,
        what: impl Into<String>,
        why: impl Into<String>,
    ) -> Self {
        Self {
            scenario,
            what: what.into(),
            figure: None,
            unit: "",
            limit: None,
            note: why.into(),
        }
    }

    /// The figure should be at most `limit`.
    pub(crate) fn at_most(mut self, limit: f64) -> Self {
        self.limit = Some((limit, number(limit)));
        self
    }

    /// The figure should be at most `times` what was measured of `whom` in the same run; without one nothing is asked.
    pub(crate) fn at_most_times(mut self, times: f64, peer: Option<f64>, whom: &str) -> Self {
        self.limit = peer.map(|peer| {
            let limit = times * peer;
            let text = format!("{} ({} × {whom} {})", number(limit), times, number(peer));
            (limit, text)
        });
        self
    }

    pub(crate) fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    fn is_met(&self) -> Option<bool> {
        Some(self.figure? <= self.limit.as_ref()?.0)
    }

    fn cells(&self) -> [String; 7] {
        let figure = match self.figure {
            Some(figure) => format!("{} {}", number(figure), self.unit),
            None => "not measured".into(),
        };
        let ratio = match (self.figure, &self.limit) {
            (Some(figure), Some((limit, _))) if *limit != 0.0 => format!("{:.2}", figure / limit),
            _ => String::new(),
        };
        let limit = self.limit.as_ref().map(|(_, text)| text.clone());
        [
            self.scenario.to_owned(),
            self.what.clone(),
            figure.trim().to_owned(),
            limit.unwrap_or_default(),
            ratio,
            match self.is_met() {
                None => String::new(),
                Some(true) => "yes".into(),
                Some(false) => "**no**".into(),
            },
            self.note.clone(),
        ]
    }
}

/// Three digits that count, and all digits of large numbers.
fn number(value: f64) -> String {
    let decimals = match value.abs() {
        v if v >= 100.0 || v == v.trunc() => 0,
        v if v >= 10.0 => 1,
        v if v >= 1.0 => 2,
        _ => 3,
    };
    format!("{value:.decimals$}")
}

/// The rows as a table in Markdown, its columns aligned.
pub(crate) fn table(rows: &[Row]) -> String {
    let head = [
        "scenario", "measured", "figure", "limit", "ratio", "met", "note",
    ];
    let mut lines = vec![head.map(ToOwned::to_owned)];
    lines.extend(rows.iter().map(Row::cells));
    let width = |column: usize| {
        let widths = lines.iter().map(|cells| cells[column].chars().count());
        widths.max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let mut text = String::new();
    for (at, cells) in lines.iter().enumerate() {
        for (cell, width) in cells.iter().zip(&widths) {
            let fill = width - cell.chars().count();
            let _ = write!(text, "| {cell}{} ", " ".repeat(fill));
        }
        text.push_str("|\n");
        if at == 0 {
            for width in &widths {
                let _ = write!(text, "|{}", "-".repeat(width + 2));
            }
            text.push_str("|\n");
        }
    }
    text
}

/// How many of the rows that have a limit keep it.
pub(crate) fn verdict(rows: &[Row]) -> String {
    let met: Vec<bool> = rows.iter().filter_map(Row::is_met).collect();
    let kept = met.iter().filter(|met| **met).count();
    format!("{kept} of {} limits are met", met.len())
}

/// What the figures hold for: processor, cores, kernel, commit.
pub(crate) fn machine() -> String {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown processor", |(_, model)| model);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let git = |args: &[&str]| {
        let mut command = Command::new("git");
        command.current_dir(env!("CARGO_MANIFEST_DIR")).args(args);
        let output = command
            .output()
            .ok()
            .filter(|output| output.status.success());
        output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let commit = git(&["rev-parse", "--short", "HEAD"]).unwrap_or_else(|| "unknown".into());
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]);
    let changed = match changed.as_deref() {
        Some("") | None => "",
        Some(_) => " with changes",
    };
    format!(
        "{model}, {cores} cores, Linux {}, commit {commit}{changed}",
        kernel.trim()
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_row_says_whether_its_limit_is_met() {
        let rows = [
            Row::new("idle", "memory", 1.5, "KiB").at_most(2.0),
            Row::new("fanout", "cpu", 9.0, "s").at_most_times(1.5, Some(4.0), "mosquitto's"),
            Row::new("fanout", "cpu", 9.0, "s").at_most_times(1.5, None, "mosquitto's"),
        ];
        let met: Vec<Option<bool>> = rows.iter().map(Row::is_met).collect();
        assert_eq!(met, [Some(true), Some(false), None]);
        let text = table(&rows);
        assert!(
            text.contains("| 6 (1.5 × mosquitto's 4) | 1.50  | **no** |"),
            "{text}"
        );
        assert_eq!(verdict(&rows), "1 of 2 limits are met");
    }

    #[test]
    fn numbers_are_short() {
        for (value, text) in [
            (0.7412, "0.741"),
            (3.0, "3"),
            (2.346, "2.35"),
            (41.27, "41.3"),
            (12_345.6, "12346"),
        ] {
            assert_eq!(number(value), text);
        }
    }
}
