//! What drives where: from the settings, or from a TOML file that can mix fleets.
//!
//! ```toml
//! map = "manhattan.osm.pbf"     # beside this file, unless it is absolute
//!
//! [[fleet]]                     # at least one; vehicles are numbered from the first fleet on
//! kind = "taxi"                 # or "truck"
//! count = 150
//! companies = 6                 # the first so many of ten; 10 unless set
//! places = "named"              # trips only between places with a name; "all" unless set
//! demand = "steady"             # the same at all hours; "city" unless set
//! ```

use std::ops::Range;
use std::path::{Path, PathBuf};

use fleet::Kind;
use serde::Deserialize;
use service::BadSetting;

use crate::config::Config;
use crate::demand::Demand;
use crate::identity::{PLATES_MAX, companies_of};

/// What drives where.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// The `.osm.pbf` file.
    pub map: PathBuf,
    /// The fleets, at least one.
    #[serde(rename = "fleet", default)]
    pub fleets: Vec<Fleet>,
}

/// Vehicles of one kind that live the same way.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fleet {
    /// What they are.
    pub kind: Kind,
    /// How many, at least one.
    pub count: u32,
    /// How many companies own them, 1 to 10.
    #[serde(default = "all_companies")]
    pub companies: usize,
    /// Where trips end.
    #[serde(default)]
    pub places: Places,
    /// How they are asked for over the day.
    #[serde(default)]
    pub demand: Demand,
}

/// Where trips end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Places {
    /// At named places and at street corners.
    #[default]
    All,
    /// At named places.
    Named,
}

fn all_companies() -> usize {
    companies_of(Kind::Taxi).len()
}

impl Scenario {
    /// The scenario that the settings name or describe.
    ///
    /// # Errors
    /// When it is a file that can't be used.
    pub fn of(config: &Config) -> Result<Self, BadSetting> {
        match &config.scenario {
            Some(path) => Self::load(path),
            None => Ok(Self {
                map: config.map_path(),
                fleets: vec![Fleet {
                    kind: config.kind,
                    count: config.vehicles,
                    companies: all_companies(),
                    places: Places::All,
                    demand: Demand::City,
                }],
            }),
        }
    }

    /// Reads a file.
    ///
    /// # Errors
    /// On one line: the file, where in it, and what would be right.
    pub fn load(path: &Path) -> Result<Self, BadSetting> {
        let shown = path.display();
        let text = std::fs::read_to_string(path).map_err(|error| {
            BadSetting(format!(
                "can't read scenario {shown}: {error}; name another with --scenario"
            ))
        })?;
        let mut scenario: Self = toml::from_str(&text).map_err(|error| {
            let line = error.span().map_or(1, |span| {
                text[..span.start.min(text.len())].matches('\n').count() + 1
            });
            let reason = error.message().replace('\n', " ");
            BadSetting(format!("scenario {shown}, line {line}: {reason}"))
        })?;
        scenario
            .check()
            .map_err(|reason| BadSetting(format!("scenario {shown}: {reason}")))?;
        if let Some(dir) = path.parent() {
            scenario.map = dir.join(scenario.map);
        }
        Ok(scenario)
    }

    fn check(&self) -> Result<(), String> {
        if self.fleets.is_empty() {
            return Err("it has no fleet; a [[fleet]] with kind and count would be right".into());
        }
        let most = all_companies();
        for (fleet, number) in self.fleets.iter().zip(1..) {
            if fleet.count == 0 {
                return Err(format!(
                    "count of fleet {number} is 0; 1 or more would be right"
                ));
            }
            if !(1..=most).contains(&fleet.companies) {
                return Err(format!(
                    "companies of fleet {number} is {}; 1 to {most} would be right",
                    fleet.companies
                ));
            }
        }
        let all: u64 = self.fleets.iter().map(|fleet| u64::from(fleet.count)).sum();
        if all > PLATES_MAX.into() {
            return Err(format!(
                "the counts add up to {all}; at most {PLATES_MAX} vehicles have a plate"
            ));
        }
        Ok(())
    }

    /// How many vehicles there are.
    pub fn vehicles(&self) -> u32 {
        self.fleets.iter().map(|fleet| fleet.count).sum()
    }

    /// The fleets with the numbers of their vehicles.
    pub fn numbered(&self) -> impl Iterator<Item = (Range<u32>, &Fleet)> {
        self.fleets.iter().scan(0, |next, fleet| {
            let first = *next;
            *next += fleet.count;
            Some((first..*next, fleet))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Scenario, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("day.toml");
        std::fs::write(&path, text).unwrap();
        let loaded = Scenario::load(&path).map_err(|error| error.to_string());
        loaded.map(|scenario| Scenario {
            map: scenario.map.strip_prefix(dir.path()).unwrap().to_owned(),
            ..scenario
        })
    }

    #[test]
    fn a_file_says_what_drives_where() {
        let scenario = load(
            "map = 'town.osm.pbf'\n[[fleet]]\nkind = 'taxi'\ncount = 3\ncompanies = 2\nplaces = 'named'\n\
             demand = 'steady'\n[[fleet]]\nkind = 'truck'\ncount = 4\n",
        )
        .unwrap();
        assert_eq!(scenario.map, Path::new("town.osm.pbf"));
        assert_eq!(scenario.vehicles(), 7);
        let numbered: Vec<_> = scenario.numbered().collect();
        assert_eq!(numbered[0].0, 0..3);
        assert_eq!(numbered[1].0, 3..7);
        assert_eq!(numbered[0].1.places, Places::Named);
        assert_eq!(numbered[0].1.demand, Demand::Steady);
        assert_eq!(numbered[1].1.companies, 10);
    }

    #[test]
    fn a_bad_file_is_one_clear_line() {
        let fleet = "[[fleet]]\nkind = 'taxi'\n";
        for (text, expected) in [
            ("map = 'x'\n".to_owned(), "it has no fleet; a [[fleet]]"),
            (format!("{fleet}count = 1\n"), "missing field `map`"),
            (
                format!("map = 'x'\n{fleet}count = 0\n"),
                "count of fleet 1 is 0; 1 or more",
            ),
            (
                format!("map = 'x'\n{fleet}count = -1\n"),
                "line 4: invalid value",
            ),
            (
                format!("map = 'x'\n{fleet}count = 700000\n"),
                "add up to 700000; at most 676000",
            ),
            (
                format!("map = 'x'\n{fleet}count = 1\ncompanies = 11\n"),
                "1 to 10 would be right",
            ),
            (
                format!("map = 'x'\n{fleet}count = 1\nwheels = 4\n"),
                "line 5: unknown field `wheels`, expected one of",
            ),
            (
                "map = 'x'\n[[fleet]]\nkind = 'boat'\ncount = 1\n".to_owned(),
                "line 3: unknown variant `boat`, expected `taxi` or `truck`",
            ),
            ("map = \n".to_owned(), "line 1: "),
        ] {
            let error = load(&text).unwrap_err();
            assert!(error.contains(expected), "`{error}` lacks `{expected}`");
            assert!(error.contains("day.toml"), "{error}");
            assert_eq!(error.lines().count(), 1, "{error}");
        }
        let missing = Scenario::load(Path::new("no/such.toml"))
            .unwrap_err()
            .to_string();
        assert!(
            missing.contains("can't read scenario no/such.toml"),
            "{missing}"
        );
    }

    #[test]
    fn the_shipped_scenarios_can_be_driven() {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../data/scenarios");
        let mut count = 0;
        for entry in std::fs::read_dir(dir).unwrap() {
            let scenario = Scenario::load(&entry.unwrap().path()).unwrap();
            assert!(scenario.map.exists(), "{}", scenario.map.display());
            count += 1;
        }
        assert_eq!(count, 2);
    }
}
