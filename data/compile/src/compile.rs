//! From source to map.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::area::{Frame, Land, clipped_shore, island};
use crate::geometry::{LatLng, Plane, Point, nearest};
use crate::grid::Layout;
use crate::junction::{Site, ramps};
use crate::network::{Tolerance, join};
use crate::osm::{Map, Tags};
use crate::road::{Line, curve, lines};
use crate::source::{Area, At, Road, Source, tag};
use crate::{city, grid};

/// Reads the source in `folder` and compiles it.
pub fn compile(folder: &Path) -> Result<Map> {
    let source = Source::read(folder)?;
    let bounds = source
        .map
        .with_context(|| format!("no [map] table in {}", folder.display()))?;
    let (south_west, north_east) = (
        LatLng::from(bounds.south_west),
        LatLng::from(bounds.north_east),
    );
    let middle = LatLng {
        lat: (south_west.lat + north_east.lat) / 2.0,
        lng: (south_west.lng + north_east.lng) / 2.0,
    };
    let names = Names::new(&source, Plane::around(middle));
    let frame = Frame {
        min: names.plane.flatten(south_west),
        max: names.plane.flatten(north_east),
    };
    let shores = shores(&source, &names, &frame)?;
    let mut areas = Vec::new();
    for area in &source.area {
        let context = || format!("area {:?}", area.name.as_deref().unwrap_or(&area.tag));
        areas.push(outline(area, &names).with_context(context)?);
    }
    let waters = areas
        .iter()
        .filter(|(_, tags)| tags.get("natural").is_some_and(|value| value == "water"));
    let land = Land::new(
        shores
            .iter()
            .chain(waters.map(|(points, _)| points))
            .cloned()
            .collect(),
    );
    let roads = roads(&source, &names, &land)?;

    let mut map = Map::new(south_west, north_east);
    let unflatten =
        |points: Vec<Point>| points.into_iter().map(|point| names.plane.unflatten(point));
    for (shore, points) in source.shore.iter().zip(shores) {
        map.add_way(
            unflatten(points),
            tags([("natural", "coastline"), ("name", &shore.name)]),
        );
    }
    for (points, tags) in areas {
        map.add_way(unflatten(points), tags);
    }
    for line in roads {
        map.add_way(unflatten(line.points), line.tags);
    }
    for places in &source.places {
        let (key, value) = tag(&places.tag)?;
        for (name, lat, lng) in &places.list {
            map.add_place(
                LatLng {
                    lat: *lat,
                    lng: *lng,
                },
                tags([(key.as_str(), value.as_str()), ("name", name)]),
            );
        }
    }
    for city in &source.city {
        let kind = city.place.as_deref().unwrap_or("city");
        let population = city.population.to_string();
        map.add_place(
            city.at.into(),
            tags([
                ("place", kind),
                ("name", &city.name),
                ("population", &population),
            ]),
        );
        for (name, text, lat, lng) in &city.places {
            let (key, value) = tag(text)?;
            map.add_place(
                LatLng {
                    lat: *lat,
                    lng: *lng,
                },
                tags([(key.as_str(), value.as_str()), ("name", name)]),
            );
        }
    }
    Ok(map)
}

fn tags<const N: usize>(pairs: [(&str, &str); N]) -> Tags {
    pairs
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

/// Finds the points that a source names.
struct Names<'a> {
    plane: Plane,
    layout: Option<Layout<'a>>,
    cities: HashMap<&'a str, Point>,
}

impl<'a> Names<'a> {
    fn new(source: &'a Source, plane: Plane) -> Names<'a> {
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

    fn point(&self, at: &At) -> Result<Point> {
        match (at, &self.layout) {
            (At::Degrees(degrees), _) => Ok(self.plane.flatten((*degrees).into())),
            (At::Name(name), _) if self.cities.contains_key(name.as_str()) => {
                Ok(self.cities[name.as_str()])
            }
            (At::Name(name), Some(layout)) => layout.point(name),
            (At::Name(name), None) => bail!("no city is named {name:?}"),
        }
    }

    fn points(&self, points: &[At]) -> Result<Vec<Point>> {
        points.iter().map(|at| self.point(at)).collect()
    }
}

fn shores(source: &Source, names: &Names, frame: &Frame) -> Result<Vec<Vec<Point>>> {
    let shore = |shore: &crate::source::Shore| {
        let points = names.points(&shore.points)?;
        if shore.island {
            island(points)
        } else {
            clipped_shore(&points, frame)
        }
    };
    source
        .shore
        .iter()
        .map(|one| shore(one).with_context(|| format!("shore {:?}", one.name)))
        .collect()
}

fn outline(area: &Area, names: &Names) -> Result<(Vec<Point>, Tags)> {
    let mut points = match (&area.corners, &names.layout) {
        (Some(corners), Some(layout)) => layout.rectangle(corners)?,
        (Some(_), None) => bail!("has corners on a grid, but the map has none"),
        (None, _) => names.points(&area.points)?,
    };
    if area.curved {
        points = curve(&points, true);
        points.pop();
    }
    let (key, value) = tag(&area.tag)?;
    let mut tags = area.tags.clone();
    tags.insert(key, value);
    if let Some(name) = &area.name {
        tags.insert("name".into(), name.clone());
    }
    Ok((island(points)?, tags))
}

/// All roads, joined where they meet.
fn roads(source: &Source, names: &Names, land: &Land) -> Result<Vec<Line>> {
    let mut drawn: Vec<(Road, Vec<Point>)> = Vec::new();
    for road in &source.road {
        let name = road
            .name
            .as_ref()
            .or(road.number.as_ref())
            .unwrap_or(&road.class);
        let points = names
            .points(&road.points)
            .with_context(|| format!("road {name:?}"))?;
        drawn.push((road.clone(), points));
    }
    if let Some(layout) = &names.layout {
        drawn.extend(grid::roads(source, layout)?);
    }
    for city in &source.city {
        let centre = names.plane.flatten(city.at.into());
        let places: Vec<Point> = city
            .places
            .iter()
            .map(|place| {
                names.plane.flatten(LatLng {
                    lat: place.2,
                    lng: place.3,
                })
            })
            .collect();
        drawn.extend(city::roads(city, centre, &places, land));
    }
    let mut all = Vec::new();
    for (road, points) in drawn {
        let name = road
            .name
            .as_ref()
            .or(road.number.as_ref())
            .unwrap_or(&road.class);
        all.extend(lines(&road, points, &source.class).with_context(|| format!("road {name:?}"))?);
    }
    let mut touches = Vec::new();
    let mut added = Vec::new();
    for junction in &source.junction {
        let context = || format!("junction {:?}", junction.name);
        let place = |at: &Option<At>| {
            at.as_ref()
                .map(|at| names.point(at))
                .transpose()
                .with_context(context)
        };
        let mut site = Site {
            name: &junction.name,
            roads: &junction.roads,
            at: place(&junction.at)?,
            street: place(&junction.street)?,
            reach: junction.reach.unwrap_or(RAMP_REACH),
            bridge: junction.bridge,
        };
        if let Some(feeder) = feeder(&mut site, &all) {
            added.extend(lines(&feeder.0, feeder.1, &source.class)?);
        }
        let ramps = ramps(&site, &all).with_context(context)?;
        touches.extend(ramps.touches);
        added.extend(
            ramps
                .lines
                .into_iter()
                .map(|line| with_class_tags(line, source)),
        );
    }
    all.extend(added);
    Ok(join(all, &touches, TOLERANCE))
}

fn with_class_tags(mut line: Line, source: &Source) -> Line {
    for (key, value) in source
        .class
        .get(&line.tags["highway"])
        .into_iter()
        .flatten()
    {
        line.tags
            .entry(key.clone())
            .or_insert_with(|| value.clone());
    }
    line
}

/// Metres from a junction's middle to where its ramps leave, unless it says otherwise.
const RAMP_REACH: f64 = 150.0;

/// Metres beyond which ramps lead to a feeder road, not all the way to the street.
const RAMP_MAX: f64 = 1_200.0;

/// Where lines meet. Guesses: half a street's width, a lane, and a short block.
const TOLERANCE: Tolerance = Tolerance {
    snap: 25.0,
    merge: 8.0,
    stub: 140.0,
};

/// The road from the ramps to a street or city further away than [`RAMP_MAX`]; the ramps then end where it begins.
fn feeder(site: &mut Site, all: &[Line]) -> Option<(Road, Vec<Point>)> {
    let street = site.street?;
    let passing = all
        .iter()
        .filter(|line| site.roads.first().is_some_and(|road| line.is_called(road)));
    let at = site.at.or_else(|| {
        let feet = passing.map(|line| nearest(&line.points, street));
        feet.min_by(|a, b| a.distance.total_cmp(&b.distance))
            .map(|foot| foot.point)
    })?;
    let distance = at.distance(street);
    if distance <= RAMP_MAX {
        return None;
    }
    let begin = at.towards(street, 400.0 / distance);
    site.at = Some(at);
    site.street = Some(begin);
    let road = Road {
        name: Some(format!("Raccordo {}", site.name)),
        class: "primary".into(),
        ..Road::default()
    };
    Some((road, vec![begin, street]))
}
