//! What a map's folder of TOML files says, as written.
//!
//! Every file may hold any of these tables; together they are one [`Source`]. A table or field that is not listed
//! here is an error, so a typo never vanishes.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use serde::Deserialize;

use crate::geometry::LatLng;
use crate::osm::Tags;

/// A whole map.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Source {
    /// The box; exactly one file has it.
    pub map: Option<Bounds>,
    /// Tags that every road of a class gets unless it says otherwise, by class.
    pub class: BTreeMap<String, Tags>,
    /// The street grid that `avenue`, `street` and `gap` are drawn on.
    pub grid: Option<Grid>,
    /// Lines of the grid that run north.
    pub avenue: Vec<Avenue>,
    /// Numbered streets.
    pub street: Vec<Street>,
    /// Where numbered streets are interrupted.
    pub gap: Vec<Gap>,
    /// Cities, each with a few streets of its own.
    pub city: Vec<City>,
    /// All other roads.
    pub road: Vec<Road>,
    /// Where roads that stand apart are joined by ramps.
    pub junction: Vec<Junction>,
    /// Coastlines.
    pub shore: Vec<Shore>,
    /// Parks, lakes, buildings.
    pub area: Vec<Area>,
    /// Named points.
    pub places: Vec<Places>,
}

/// The corners of the map.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bounds {
    /// Latitude, longitude.
    pub south_west: [f64; 2],
    /// Latitude, longitude.
    pub north_east: [f64; 2],
}

/// A place on the map: `[lat, lng]`, or a name: a city, or a crossing of the grid such as `"5/59"`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum At {
    /// Degrees.
    Degrees([f64; 2]),
    /// A name that [`crate::names`] knows.
    Name(String),
}

/// How a street grid lies on the earth.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grid {
    /// Latitude, longitude of the point from which `east` and `north` are counted.
    pub origin: [f64; 2],
    /// Bearing of the avenues, degrees clockwise from true north.
    pub bearing: f64,
    /// Pairs of (street number, metres north of the origin); numbers between are interpolated.
    pub north: Vec<[f64; 2]>,
    /// The avenue at which `East` street names become `West`.
    pub divide: String,
    /// Streets that are two-way; all others run east if even, west if odd.
    pub crosstown: Vec<u32>,
}

/// A line of the grid, `east` metres from the origin, and the avenues that lie on it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Avenue {
    /// The short name used in `"line/street"`.
    pub line: String,
    /// Metres east of the origin.
    pub east: f64,
    /// The avenues on it, each from one street to another.
    #[serde(default)]
    pub parts: Vec<AvenuePart>,
}

/// One named stretch of an avenue.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AvenuePart {
    /// Its name.
    pub name: String,
    /// Southern end, a street number.
    pub from: f64,
    /// Northern end, a street number.
    pub to: f64,
    /// Its OSM highway class.
    pub class: String,
    /// `north`, `south`, or absent where it is two-way.
    pub oneway: Option<String>,
    /// Lanes in all.
    pub lanes: Option<u32>,
}

/// A band of numbered streets between two avenues.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Street {
    /// First and last number.
    pub numbers: [u32; 2],
    /// Western end: an avenue's line, `line+metres` for a little further east.
    pub west: String,
    /// Eastern end.
    pub east: String,
    /// Name, where it is not `West 34th Street`.
    pub name: Option<String>,
    /// Highway class, where it is not the default.
    pub class: Option<String>,
}

/// An interruption of numbered streets, by a park for example.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gap {
    /// First and last number.
    pub numbers: [u32; 2],
    /// From this avenue.
    pub west: String,
    /// To this one.
    pub east: String,
    /// What is there.
    #[allow(dead_code, reason = "for the reader of the source")]
    pub what: String,
}

/// A city: a ring of streets, four streets to its centre, its places.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct City {
    /// Its name.
    pub name: String,
    /// Its centre.
    pub at: [f64; 2],
    /// Inhabitants.
    pub population: u32,
    /// `city`, `town`.
    pub place: Option<String>,
    /// OpenStreetMap's `capital`: `yes` of the country, `4` of a region.
    pub capital: Option<String>,
    /// Radius of the ring in metres; absent: by population.
    pub ring: Option<f64>,
    /// Named places: (name, `key=value`, lat, lng).
    #[serde(default)]
    pub places: Vec<(String, String, f64, f64)>,
}

/// A road through given points.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Road {
    /// Its name.
    pub name: Option<String>,
    /// Its number, `A1`.
    #[serde(rename = "ref")]
    pub number: Option<String>,
    /// Its OSM highway class.
    pub class: String,
    /// Where it runs. Traffic of a one-way road runs in this order.
    pub points: Vec<At>,
    /// Only in the order of `points`.
    pub oneway: bool,
    /// Metres between the two carriageways of a divided road.
    pub dual: Option<f64>,
    /// At its start, at its end: metres by which it is cut short, because ramps lead from there. The carriageways of a
    /// divided road come together at an end that is not cut.
    pub trim: [f64; 2],
    /// Draw a smooth curve through the points.
    pub curved: bool,
    /// Meets other roads at its ends and ramps alone, crosses all else at another height.
    pub apart: bool,
    /// Is a bridge (and apart).
    pub bridge: bool,
    /// Is a tunnel (and apart).
    pub tunnel: bool,
    /// Lanes (of each carriageway).
    pub lanes: Option<u32>,
    /// Any other tags.
    pub tags: Tags,
}

/// Ramps between roads that stand apart, and between them and the streets.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Junction {
    /// Its name.
    pub name: String,
    /// Names or numbers of the roads that stand apart.
    pub roads: Vec<String>,
    /// Where; absent: where the first road comes nearest to `street`.
    pub at: Option<At>,
    /// A point of a street or city that the ramps lead to.
    pub street: Option<At>,
    /// Metres from the junction to where ramps leave.
    pub reach: Option<f64>,
    /// All its ramps are bridges, over water for example.
    #[serde(default)]
    pub bridge: bool,
}

/// A coastline: land on the left in the order of the points.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shore {
    /// What it is the shore of.
    pub name: String,
    /// An island; otherwise it begins and ends outside the map and is cut at its edge.
    #[serde(default)]
    pub island: bool,
    /// Where it runs.
    pub points: Vec<At>,
}

/// An area with tags.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Area {
    /// Its name.
    pub name: Option<String>,
    /// `key=value`.
    pub tag: String,
    /// Its outline, the first point not repeated.
    #[serde(default)]
    pub points: Vec<At>,
    /// Instead of `points`: opposite corners of a rectangle that lies along the grid.
    pub corners: Option<[String; 2]>,
    /// Draw a smooth curve through the points.
    #[serde(default)]
    pub curved: bool,
    /// Any other tags.
    #[serde(default)]
    pub tags: Tags,
}

/// Named points of one kind.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Places {
    /// `key=value`.
    pub tag: String,
    /// (name, lat, lng).
    pub list: Vec<(String, f64, f64)>,
}

impl Source {
    /// Reads all `*.toml` of a folder, in order of their names.
    pub fn read(folder: &Path) -> Result<Source> {
        let mut paths = Vec::new();
        for entry in std::fs::read_dir(folder)
            .with_context(|| format!("no map source at {}", folder.display()))?
        {
            let path = entry?.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "toml")
            {
                paths.push(path);
            }
        }
        if paths.is_empty() {
            bail!(
                "no map source at {}: a map is a folder of .toml files",
                folder.display()
            );
        }
        paths.sort();
        let mut source = Source::default();
        for path in paths {
            let text = std::fs::read_to_string(&path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            let part = toml::from_str(&text).map_err(|error| at_line(&path, &text, &error))?;
            source.add(part);
        }
        Ok(source)
    }

    fn add(&mut self, part: Source) {
        self.map = self.map.take().or(part.map);
        self.grid = self.grid.take().or(part.grid);
        self.class.extend(part.class);
        self.avenue.extend(part.avenue);
        self.street.extend(part.street);
        self.gap.extend(part.gap);
        self.city.extend(part.city);
        self.road.extend(part.road);
        self.junction.extend(part.junction);
        self.shore.extend(part.shore);
        self.area.extend(part.area);
        self.places.extend(part.places);
    }
}

/// A TOML error as one line that names the file and the line in it.
fn at_line(path: &Path, text: &str, error: &toml::de::Error) -> anyhow::Error {
    let before = error.span().map_or("", |span| &text[..span.start]);
    let line = before.matches('\n').count() + 1;
    anyhow!("{}, line {line}: {}", path.display(), error.message())
}

impl From<[f64; 2]> for LatLng {
    fn from([lat, lng]: [f64; 2]) -> LatLng {
        LatLng { lat, lng }
    }
}

/// Splits `key=value`.
pub fn tag(text: &str) -> Result<(String, String)> {
    let (key, value) = text
        .split_once('=')
        .with_context(|| format!("tag {text:?} is not of the form key=value"))?;
    Ok((key.into(), value.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_is_named_with_its_line() {
        let text = "[[road]]\nname = \"Broadway\"\nclas = \"primary\"\n";
        let error = toml::from_str::<Source>(text).unwrap_err();
        let said = at_line(Path::new("roads.toml"), text, &error).to_string();
        assert!(
            said.starts_with("roads.toml, line 3: unknown field `clas`"),
            "{said}"
        );
    }
}
