//! A street grid: avenues by name, streets by number, and the one-way rule.

use anyhow::{Context, Result, bail};

use crate::geometry::Point;
use crate::source::{Avenue, Grid, Road, Source, Street};

/// A grid laid on the plane.
pub struct Layout<'a> {
    grid: &'a Grid,
    avenues: &'a [Avenue],
    origin: Point,
}

impl<'a> Layout<'a> {
    /// The grid of `source`, whose origin lies at `origin` on the plane.
    pub fn new(grid: &'a Grid, avenues: &'a [Avenue], origin: Point) -> Layout<'a> {
        Layout {
            grid,
            avenues,
            origin,
        }
    }

    /// The point called `"line/street"`, for example `"5/59"`, `"8+40/65.5"`, `"6-120/41.1"`.
    pub fn point(&self, name: &str) -> Result<Point> {
        let (line, street) = name
            .split_once('/')
            .with_context(|| format!("{name:?} is neither a city nor a crossing like \"5/59\""))?;
        let number: f64 = street
            .parse()
            .with_context(|| format!("{name:?}: {street:?} is not a street number"))?;
        Ok(self.place(self.east(line)?, self.north(number)?))
    }

    fn place(&self, east: f64, north: f64) -> Point {
        let (sin, cos) = self.grid.bearing.to_radians().sin_cos();
        Point {
            x: self.origin.x + east * cos + north * sin,
            y: self.origin.y - east * sin + north * cos,
        }
    }

    /// The rectangle between two opposite corners, along the grid.
    pub fn rectangle(&self, corners: &[String; 2]) -> Result<Vec<Point>> {
        let [(west, south), (east, north)] =
            [&corners[0], &corners[1]].map(|name| name.split_once('/').unwrap_or((name, "")));
        [(west, south), (east, south), (east, north), (west, north)]
            .into_iter()
            .map(|(line, street)| self.point(&format!("{line}/{street}")))
            .collect()
    }

    /// Metres east of the origin of `line`, `line+metres` or `line-metres`.
    fn east(&self, name: &str) -> Result<f64> {
        let sign = name.find(['+', '-']).unwrap_or(name.len());
        let (line, shift) = name.split_at(sign);
        let avenue = self.avenues.iter().find(|avenue| avenue.line == line);
        let avenue = avenue.with_context(|| format!("no avenue has the line {line:?}"))?;
        let shift = if shift.is_empty() {
            0.0
        } else {
            shift
                .parse()
                .with_context(|| format!("metres in {name:?}"))?
        };
        Ok(avenue.east + shift)
    }

    fn north(&self, number: f64) -> Result<f64> {
        let rows = &self.grid.north;
        let span = rows
            .windows(2)
            .find(|span| number <= span[1][0])
            .or(rows.windows(2).last());
        let Some([[n0, m0], [n1, m1]]) = span.map(|span| [span[0], span[1]]) else {
            bail!("grid.north needs two rows at least");
        };
        Ok(m0 + (m1 - m0) * (number - n0) / (n1 - n0))
    }
}

/// The avenues and numbered streets as roads, each with its points.
pub fn roads(source: &Source, layout: &Layout) -> Result<Vec<(Road, Vec<Point>)>> {
    let mut roads = Vec::new();
    for avenue in &source.avenue {
        for part in &avenue.parts {
            let mut points = vec![
                layout.place(avenue.east, layout.north(part.from)?),
                layout.place(avenue.east, layout.north(part.to)?),
            ];
            match part.oneway.as_deref() {
                Some("south") => points.reverse(),
                Some("north") | None => {}
                Some(other) => bail!(
                    "{}: oneway is {other:?}, not \"north\" or \"south\"",
                    part.name
                ),
            }
            let road = Road {
                name: Some(part.name.clone()),
                class: part.class.clone(),
                oneway: part.oneway.is_some(),
                lanes: part.lanes,
                ..Road::default()
            };
            roads.push((road, points));
        }
    }
    for street in &source.street {
        for number in street.numbers[0]..=street.numbers[1] {
            let context = || {
                format!(
                    "street {number} from {:?} to {:?}",
                    street.west, street.east
                )
            };
            roads.extend(street_roads(source, layout, street, number).with_context(context)?);
        }
    }
    Ok(roads)
}

fn street_roads(
    source: &Source,
    layout: &Layout,
    street: &Street,
    number: u32,
) -> Result<Vec<(Road, Vec<Point>)>> {
    let divide = layout.east(&layout.grid.divide)?;
    let mut stretches = vec![(layout.east(&street.west)?, layout.east(&street.east)?)];
    let mut cuts = vec![(divide, divide)];
    for gap in source
        .gap
        .iter()
        .filter(|gap| (gap.numbers[0]..=gap.numbers[1]).contains(&number))
    {
        cuts.push((layout.east(&gap.west)?, layout.east(&gap.east)?));
    }
    for (from, to) in cuts {
        stretches = stretches
            .into_iter()
            .flat_map(|(west, east)| [(west, east.min(from)), (west.max(to), east)])
            .collect();
        stretches.retain(|(west, east)| east - west > 1.0);
    }
    let two_way = layout.grid.crosstown.contains(&number);
    let row = layout.north(f64::from(number))?;
    let roads = stretches.into_iter().map(|(west, east)| {
        let side = if east <= divide { "West" } else { "East" };
        let mut points = vec![layout.place(west, row), layout.place(east, row)];
        // The rule of 1811's grid since 1917: even streets run east, odd ones west.
        if !two_way && number % 2 == 1 {
            points.reverse();
        }
        let class = if two_way { "secondary" } else { "residential" };
        let road = Road {
            name: Some(
                street
                    .name
                    .clone()
                    .unwrap_or_else(|| format!("{side} {number}{} Street", ordinal(number))),
            ),
            class: street.class.clone().unwrap_or_else(|| class.into()),
            oneway: !two_way,
            lanes: Some(if two_way { 4 } else { 1 }),
            ..Road::default()
        };
        (road, points)
    });
    Ok(roads.collect())
}

fn ordinal(number: u32) -> &'static str {
    match (number % 10, number % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source() -> Source {
        toml::from_str(
            r#"
            grid = { origin = [0, 0], bearing = 0, north = [[1, 0], [11, 1000]], divide = "5", crosstown = [4] }
            avenue = [{ line = "5", east = 0 }, { line = "1", east = 400 }, { line = "9", east = -400 }]
            street = [{ numbers = [1, 4], west = "9", east = "1+20" }]
            gap = [{ numbers = [3, 3], west = "9+100", east = "9+200", what = "a park" }]
            "#,
        )
        .unwrap()
    }

    #[test]
    fn streets_follow_the_one_way_rule_and_stop_at_gaps() {
        let source = source();
        let layout = Layout::new(
            source.grid.as_ref().unwrap(),
            &source.avenue,
            Point { x: 0.0, y: 0.0 },
        );
        let roads = roads(&source, &layout).unwrap();
        let named = |name: &str| -> Vec<(f64, f64, bool)> {
            let of_name = roads
                .iter()
                .filter(|(road, _)| road.name.as_deref() == Some(name));
            of_name
                .map(|(road, points)| (points[0].x, points[1].x, road.oneway))
                .collect()
        };
        assert_eq!(named("East 1st Street"), [(420.0, 0.0, true)]);
        assert_eq!(named("West 2nd Street"), [(-400.0, 0.0, true)]);
        assert_eq!(
            named("West 3rd Street"),
            [(-300.0, -400.0, true), (0.0, -200.0, true)]
        );
        assert_eq!(named("East 4th Street"), [(0.0, 420.0, false)]);
    }

    #[test]
    fn a_crossing_is_found_by_name() {
        let source = source();
        let layout = Layout::new(
            source.grid.as_ref().unwrap(),
            &source.avenue,
            Point { x: 0.0, y: 0.0 },
        );
        assert_eq!(
            layout.point("1-50/6").unwrap(),
            Point { x: 350.0, y: 500.0 }
        );
        let error = layout.point("7/6").unwrap_err().to_string();
        assert_eq!(error, "no avenue has the line \"7\"");
    }
}
