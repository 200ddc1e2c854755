//! All roads of a source, joined where they meet.

use anyhow::{Context, Result};

use crate::area::Land;
use crate::geometry::{Point, nearest};
use crate::junction::{Ramps, Site, ramps};
use crate::names::Names;
use crate::network::{Tolerance, join};
use crate::road::{Line, lines};
use crate::source::{At, Junction, Road, Source};
use crate::{city, grid};

/// Metres from a junction's middle to where its ramps leave, unless it says otherwise.
const RAMP_REACH: f64 = 150.0;

/// Metres beyond which ramps lead to a feeder road, not all the way to the street.
const RAMP_MAX: f64 = 1_200.0;

/// Metres from a junction to where its feeder begins: room for the ramps.
const FEEDER_START: f64 = 400.0;

/// Where lines meet. Guesses: half a street's width, a lane, and a short block.
const TOLERANCE: Tolerance = Tolerance {
    snap: 25.0,
    merge: 8.0,
    stub: 140.0,
};

/// The roads of `source` as lines with common vertices where they meet.
pub fn roads(source: &Source, names: &Names, land: &Land) -> Result<Vec<Line>> {
    let mut all = Vec::new();
    for (road, points) in drawn(source, names, land)? {
        all.extend(lines(&road, points, &source.class).with_context(|| called(&road))?);
    }
    let (mut added, mut touches) = (Vec::new(), Vec::new());
    for junction in &source.junction {
        let ramps = at_junction(junction, source, names, &all);
        let ramps = ramps.with_context(|| format!("junction {:?}", junction.name))?;
        added.extend(ramps.lines);
        touches.extend(ramps.touches);
    }
    all.extend(added);
    Ok(join(all, &touches, TOLERANCE))
}

fn drawn(source: &Source, names: &Names, land: &Land) -> Result<Vec<(Road, Vec<Point>)>> {
    let mut drawn = Vec::new();
    for road in &source.road {
        drawn.push((
            road.clone(),
            names.points(&road.points).with_context(|| called(road))?,
        ));
    }
    if let Some(layout) = &names.layout {
        drawn.extend(grid::roads(source, layout)?);
    }
    for city in &source.city {
        let centre = names.plane.flatten(city.at.into());
        let place = |(_, _, lat, lng): &(_, _, f64, f64)| names.plane.flatten([*lat, *lng].into());
        let places: Vec<Point> = city.places.iter().map(place).collect();
        drawn.extend(city::roads(city, centre, &places, land));
    }
    Ok(drawn)
}

fn called(road: &Road) -> String {
    format!(
        "road {:?}",
        road.name
            .as_ref()
            .or(road.number.as_ref())
            .unwrap_or(&road.class)
    )
}

/// The ramps of a junction, with a feeder where the street is far.
fn at_junction(junction: &Junction, source: &Source, names: &Names, all: &[Line]) -> Result<Ramps> {
    let place = |at: &Option<At>| at.as_ref().map(|at| names.point(at)).transpose();
    let mut site = Site {
        name: &junction.name,
        roads: &junction.roads,
        at: place(&junction.at)?,
        street: place(&junction.street)?,
        reach: junction.reach.unwrap_or(RAMP_REACH),
        bridge: junction.bridge,
    };
    let feeder = match feeder(&mut site, all) {
        Some((road, points)) => lines(&road, points, &source.class)?,
        None => Vec::new(),
    };
    let mut ramps = ramps(&site, all)?;
    for ramp in &mut ramps.lines {
        for (key, value) in source
            .class
            .get(&ramp.tags["highway"])
            .into_iter()
            .flatten()
        {
            ramp.tags
                .entry(key.clone())
                .or_insert_with(|| value.clone());
        }
    }
    ramps.lines.extend(feeder);
    Ok(ramps)
}

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
    let begin = at.towards(street, FEEDER_START / distance);
    site.at = Some(at);
    site.street = Some(begin);
    let road = Road {
        name: Some(format!("Raccordo {}", site.name)),
        class: "primary".into(),
        ..Road::default()
    };
    Some((road, vec![begin, street]))
}
