//! Places by name: cities and crossings of the grid.

use std::collections::HashMap;

use anyhow::{Result, bail};

use crate::geometry::{Plane, Point};
use crate::grid::Layout;
use crate::source::{At, Source};

/// Finds the points that a source names.
pub struct Names<'a> {
    /// The plane the map is drawn on.
    pub plane: Plane,
    /// The street grid, if the map has one.
    pub layout: Option<Layout<'a>>,
    cities: HashMap<&'a str, Point>,
}

impl<'a> Names<'a> {
    /// The names of `source`, which is drawn on `plane`.
    pub fn new(source: &'a Source, plane: Plane) -> Names<'a> {
        let layout = source
            .grid
            .as_ref()
            .map(|grid| Layout::new(grid, &source.avenue, plane.flatten(grid.origin.into())));
        let cities = source
            .city
            .iter()
            .map(|city| (city.name.as_str(), plane.flatten(city.at.into())))
            .collect();
        Names {
            plane,
            layout,
            cities,
        }
    }

    /// The place called `at`.
    pub fn point(&self, at: &At) -> Result<Point> {
        match (at, &self.layout) {
            (At::Degrees(degrees), _) => Ok(self.plane.flatten((*degrees).into())),
            (At::Name(name), _) if self.cities.contains_key(name.as_str()) => {
                Ok(self.cities[name.as_str()])
            }
            (At::Name(name), Some(layout)) => layout.point(name),
            (At::Name(name), None) => bail!("no city is named {name:?}"),
        }
    }

    /// The places called `points`.
    pub fn points(&self, points: &[At]) -> Result<Vec<Point>> {
        points.iter().map(|at| self.point(at)).collect()
    }
}
