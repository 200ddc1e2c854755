//! From source to map.

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::area::{Frame, Land, clipped_shore, island};
use crate::geometry::{LatLng, Plane, Point};
use crate::names::Names;
use crate::osm::{Map, Tags};
use crate::road::curve;
use crate::roads::roads;
use crate::source::{Area, Shore, Source, tag};

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
    let middle = LatLng::from([
        (south_west.lat + north_east.lat) / 2.0,
        (south_west.lng + north_east.lng) / 2.0,
    ]);
    let names = Names::new(&source, Plane::around(middle));
    let frame = Frame {
        min: names.plane.flatten(south_west),
        max: names.plane.flatten(north_east),
    };

    let shores = shores(&source, &names, &frame)?;
    let areas = areas(&source, &names)?;
    let is_water = |tags: &Tags| tags.get("natural").is_some_and(|value| value == "water");
    let waters = areas
        .iter()
        .filter(|(_, tags)| is_water(tags))
        .map(|(points, _)| points);
    let land = Land::new(shores.iter().chain(waters).cloned().collect());
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
    add_places(&mut map, &source)?;
    Ok(map)
}

fn add_places(map: &mut Map, source: &Source) -> Result<()> {
    let mut add = |kind: &str, name: &str, at: [f64; 2]| -> Result<()> {
        let (key, value) = tag(kind)?;
        map.add_place(at.into(), tags([(&key, &value), ("name", name)]));
        Ok(())
    };
    for places in &source.places {
        for (name, lat, lng) in &places.list {
            add(&places.tag, name, [*lat, *lng])?;
        }
    }
    for city in &source.city {
        for (name, kind, lat, lng) in &city.places {
            add(kind, name, [*lat, *lng])?;
        }
    }
    for city in &source.city {
        let kind = city.place.as_deref().unwrap_or("city");
        let population = city.population.to_string();
        let mut tags = tags([
            ("place", kind),
            ("name", &city.name),
            ("population", &population),
        ]);
        if let Some(capital) = &city.capital {
            tags.extend(self::tags([("capital", capital)]));
        }
        map.add_place(city.at.into(), tags);
    }
    Ok(())
}

fn tags<const N: usize>(pairs: [(&str, &str); N]) -> Tags {
    pairs
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

fn shores(source: &Source, names: &Names, frame: &Frame) -> Result<Vec<Vec<Point>>> {
    let shore = |shore: &Shore| {
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

fn areas(source: &Source, names: &Names) -> Result<Vec<(Vec<Point>, Tags)>> {
    let called = |area: &Area| format!("area {:?}", area.name.as_deref().unwrap_or(&area.tag));
    source
        .area
        .iter()
        .map(|area| outline(area, names).with_context(|| called(area)))
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
