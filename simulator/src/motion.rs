//! A drive: a route as positions over time.
//!
//! The speed at each vertex is planned ahead: no faster than the roads on both sides and the bend allow, so that the
//! next slower vertex can be reached by braking (one pass backwards) and this one by accelerating (one pass forwards).
//! Between two vertices a vehicle speeds up, cruises and brakes evenly. So where it is, how fast it is and when it will
//! arrive are plain functions of the time since it set off; nothing is summed up tick by tick.

use fleet::{Kind, LatLng};
use serde::{Deserialize, Serialize};

use crate::map::{Location, RoadId, RoadMap};
use crate::route::{Leg, Route};

/// How a vehicle is driven.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Driver {
    /// Speeding up, m/s².
    pub accelerate: f64,
    /// Slowing down, m/s².
    pub brake: f64,
    /// Sideways in bends, m/s².
    pub sideways: f64,
    /// The share of a road's speed that this driver drives at, (0, 1].
    pub share: f64,
}

impl Driver {
    /// A calm driver of such a vehicle. The figures are guesses at comfortable driving.
    pub fn new(kind: Kind, share: f64) -> Self {
        let (accelerate, brake, sideways) = match kind {
            Kind::Taxi => (1.8, 2.2, 2.5),
            Kind::Truck => (0.7, 1.2, 1.5),
        };
        Self {
            accelerate,
            brake,
            sideways,
            share,
        }
    }
}

/// How long one may drive, and how long one must rest then.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Duty {
    /// The longest driving time without a break, in seconds.
    pub drive_s: f64,
    /// The break after it, in seconds.
    pub break_s: f64,
}

/// How a vehicle is when its drive begins; the default stands, and is rested.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Departure {
    /// m/s; more than 0 when a new drive takes over from another.
    pub speed_mps: f64,
    /// Metres since the last vertex of the road: the bend ahead is as wide as it was before the drives changed.
    pub behind_m: f64,
    /// Seconds driven since the last break.
    pub driven_s: f64,
    /// What the driver must keep to.
    pub duty: Option<Duty>,
}

/// A route with its timing.
#[derive(Clone, Debug)]
pub struct Drive {
    driver: Driver,
    /// At least one; the first is where it starts, the last where it ends.
    vertices: Vec<Vertex>,
    /// The roads it follows, and where on the first it starts.
    roads: Vec<RoadId>,
    start_m: f64,
    /// Where breaks are taken: vertices, in order.
    breaks: Vec<usize>,
    departure: Departure,
}

/// There are thousands for each vehicle on a long trip, so they are kept small.
#[derive(Clone, Copy, Debug)]
struct Vertex {
    position: LatLng,
    /// Seconds from the start to when it leaves here.
    at_s: f64,
    /// Metres to the next vertex; 0 at the last.
    next_m: f32,
    /// The speed here, m/s.
    speed_mps: f32,
    /// The highest speed until the next vertex, m/s.
    limit_mps: f32,
    /// The road that leads to the next vertex, by its number on the route.
    road: u32,
}

/// Where a vehicle is at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fix {
    /// On the road.
    pub position: LatLng,
    /// The next vertex.
    pub waypoint: LatLng,
    /// Metres to it.
    pub distance_m: f64,
    /// m/s.
    pub speed_mps: f64,
    /// Degrees clockwise from true north, [0, 360).
    pub bearing_deg: f64,
    /// Seconds to the end of the drive.
    pub left_s: f64,
}

/// Vertices closer together than this are one: map data repeats nodes.
const SAME_M: f64 = 0.05;

impl Drive {
    /// Plans a drive along `route` from a standstill.
    pub fn new(map: &RoadMap, route: &Route, driver: Driver) -> Self {
        Self::after(map, route, driver, Departure::default())
    }

    /// Plans a drive along `route` that begins as `departure` says.
    pub fn after(map: &RoadMap, route: &Route, driver: Driver, departure: Departure) -> Self {
        let mut drive = Self {
            driver,
            vertices: lay(map, route, driver.share),
            roads: route.legs.iter().map(|leg| leg.road).collect(),
            start_m: route.legs.first().map_or(0.0, |leg| leg.from_m),
            breaks: Vec::new(),
            departure,
        };
        drive.time();
        while let Some(stop) = drive.next_break() {
            drive.breaks.push(stop);
            drive.time();
        }
        drive
    }

    /// Sets the speed at each vertex, and when it is left.
    fn time(&mut self) {
        plan_speeds(
            &mut self.vertices,
            self.driver,
            self.departure,
            &self.breaks,
        );
        let break_s = self.departure.duty.map_or(0.0, |duty| duty.break_s);
        let mut at_s = 0.0;
        for i in 0..self.vertices.len() {
            if self.breaks.contains(&i) {
                at_s += break_s;
            }
            self.vertices[i].at_s = at_s;
            if let Some(next) = self.vertices.get(i + 1) {
                at_s += Segment::new(&self.vertices[i], next, self.driver).seconds();
            }
        }
    }

    /// The last vertex at which a break that is due after the last one can be taken in time; where it is too late for
    /// that, the first at which the vehicle can stand.
    fn next_break(&self) -> Option<usize> {
        /// To stop takes longer than to drive past.
        const MARGIN_S: f64 = 60.0;
        let duty = self.departure.duty?;
        let (first, driven_s) = match self.breaks.last() {
            Some(&last) => (last + 1, -self.vertices[last].at_s),
            None => (0, self.departure.driven_s),
        };
        let due_s = duty.drive_s - MARGIN_S - driven_s;
        let arrival = self.vertices.len() - 1;
        if self.seconds() <= due_s || first >= arrival {
            return None;
        }
        let in_time = self.vertices.partition_point(|v| v.at_s <= due_s);
        let brake_m = self.departure.speed_mps.powi(2) / (2.0 * self.driver.brake);
        let mut done_m = 0.0;
        let can_stand = self.vertices.iter().position(|v| {
            let stands = done_m >= brake_m;
            done_m += f64::from(v.next_m);
            stands
        })?;
        let stop = in_time.saturating_sub(1).max(first).max(can_stand);
        (stop < arrival).then_some(stop)
    }

    /// Seconds from start to end.
    pub fn seconds(&self) -> f64 {
        self.last().at_s
    }

    /// Where the vehicle is `elapsed_s` seconds after it set off; before that at the start, after the end at the end.
    pub fn at(&self, elapsed_s: f64) -> Fix {
        let passed = self.vertices.partition_point(|v| v.at_s <= elapsed_s);
        let index = passed.saturating_sub(1);
        let here = &self.vertices[index];
        match self.vertices.get(index + 1) {
            Some(next) => {
                let left_s = self.seconds() - elapsed_s.max(0.0);
                self.between(here, next, (elapsed_s - here.at_s).max(0.0), left_s)
            }
            None => self.at_end(),
        }
    }

    fn between(&self, here: &Vertex, next: &Vertex, seconds: f64, left_s: f64) -> Fix {
        let (metres, speed_mps) = Segment::new(here, next, self.driver).at(seconds);
        let next_m = f64::from(here.next_m);
        let metres = metres.clamp(0.0, next_m);
        Fix {
            position: here.position.lerp(next.position, metres / next_m),
            waypoint: next.position,
            distance_m: next_m - metres,
            speed_mps,
            bearing_deg: here.position.bearing_deg(next.position),
            left_s,
        }
    }

    fn at_end(&self) -> Fix {
        let end = self.last().position;
        let bearing_deg = match self.vertices[..] {
            [.., before, last] => before.position.bearing_deg(last.position),
            _ => 0.0,
        };
        Fix {
            position: end,
            waypoint: end,
            distance_m: 0.0,
            speed_mps: 0.0,
            bearing_deg,
            left_s: 0.0,
        }
    }

    fn last(&self) -> &Vertex {
        &self.vertices[self.vertices.len() - 1]
    }

    /// Seconds driven since the last break, so many seconds after it set off.
    pub fn driven_s(&self, elapsed_s: f64) -> f64 {
        let left_at = self.breaks.iter().map(|stop| self.vertices[*stop].at_s);
        match left_at.rev().find(|at_s| *at_s <= elapsed_s) {
            Some(at_s) => elapsed_s - at_s,
            None => self.departure.driven_s + elapsed_s,
        }
    }

    /// Where it is after so many seconds, with the roads it must go on along until it can have stopped or has reached a
    /// vertex after that: from the end of these every other drive can go on.
    pub fn lead(&self, map: &RoadMap, elapsed_s: f64) -> Lead {
        let passed = self.vertices.partition_point(|v| v.at_s <= elapsed_s);
        let here = passed.saturating_sub(1);
        let (behind_m, speed_mps) = match self.vertices.get(here + 1) {
            Some(next) => {
                let seconds = (elapsed_s - self.vertices[here].at_s).max(0.0);
                Segment::new(&self.vertices[here], next, self.driver).at(seconds)
            }
            None => (0.0, 0.0),
        };
        let brake_m = speed_mps * speed_mps / (2.0 * self.driver.brake);
        let mut ahead_m = -behind_m;
        let mut end = here;
        while ahead_m < brake_m && end + 1 < self.vertices.len() {
            ahead_m += f64::from(self.vertices[end].next_m);
            end += 1;
        }
        let first = self.location(map, here, behind_m);
        let last = match end {
            _ if end == here => first,
            // The end of a road, unless the drive ends on it: the next road is not decided there.
            _ => {
                let before = self.vertices[end - 1];
                self.location(map, end - 1, f64::from(before.next_m))
            }
        };
        let (first_road, last_road) = (
            self.vertices[here].road as usize,
            self.vertices[end.max(here + 1) - 1].road as usize,
        );
        let legs = (first_road..=last_road).map(|number| {
            let road = self.roads[number];
            let from_m = if number == first_road {
                first.at_m
            } else {
                0.0
            };
            let to_m = if number == last_road {
                last.at_m
            } else {
                map.length_m(road)
            };
            Leg {
                road,
                from_m,
                to_m: to_m.max(from_m),
            }
        });
        let before_m = if here == 0 {
            self.departure.behind_m
        } else {
            0.0
        };
        Lead {
            from: first,
            legs: legs.collect(),
            behind_m: before_m + behind_m,
            speed_mps,
        }
    }

    /// The point `metres` after a vertex, on the road that leaves it.
    fn location(&self, map: &RoadMap, vertex: usize, metres: f64) -> Location {
        let number = self.vertices[vertex].road;
        let on_road = self.vertices[..vertex].iter().rev();
        let before_m: f64 = on_road
            .take_while(|v| v.road == number)
            .map(|v| f64::from(v.next_m))
            .sum();
        let start_m = if number == 0 { self.start_m } else { 0.0 };
        let road = self.roads[number as usize];
        Location {
            road,
            at_m: (start_m + before_m + metres).min(map.length_m(road)),
        }
    }

    /// The vertices of the road it follows.
    pub fn polyline(&self) -> impl Iterator<Item = LatLng> + '_ {
        self.vertices.iter().map(|v| v.position)
    }
}

/// The way a vehicle has no more choice about.
#[derive(Clone, Debug, PartialEq)]
pub struct Lead {
    /// Where it is.
    pub from: Location,
    /// The roads from there; at least one.
    pub legs: Vec<Leg>,
    /// Metres since the last vertex.
    pub behind_m: f64,
    /// m/s.
    pub speed_mps: f64,
}

/// The vertices of a route, with the speeds of their roads.
fn lay(map: &RoadMap, route: &Route, share: f64) -> Vec<Vertex> {
    let mut vertices: Vec<Vertex> = Vec::new();
    for (number, leg) in route.legs.iter().enumerate() {
        let road = number as u32;
        let limit_mps = (map.graph[leg.road].speed_mps * share) as f32;
        let mut add = |position: LatLng| {
            if let Some(last) = vertices.last_mut() {
                let next_m = last.position.distance_m(position);
                if next_m < SAME_M {
                    // The road ahead decides how fast one leaves this point.
                    last.limit_mps = limit_mps;
                    last.road = road;
                    return;
                }
                last.next_m = next_m as f32;
            }
            vertices.push(Vertex {
                position,
                at_s: 0.0,
                next_m: 0.0,
                speed_mps: 0.0,
                limit_mps,
                road,
            });
        };
        let mut from_m = 0.0;
        let mut before: Option<LatLng> = None;
        for vertex in map.vertices(leg.road) {
            if let Some(a) = before {
                let length_m = a.distance_m(vertex);
                let to_m = from_m + length_m;
                let at = |m: f64| a.lerp(vertex, ((m - from_m) / length_m).clamp(0.0, 1.0));
                if length_m > 0.0 && to_m > leg.from_m && from_m < leg.to_m {
                    add(at(from_m.max(leg.from_m)));
                    add(at(to_m.min(leg.to_m)));
                }
                from_m = to_m;
            }
            before = Some(vertex);
        }
        if vertices.is_empty() {
            // A stretch of no length, such as a place that is where the vehicle already stands.
            vertices.extend(standing(map, route));
        }
    }
    if let Some(last) = vertices.last_mut() {
        last.next_m = 0.0;
    }
    vertices
}

fn standing(map: &RoadMap, route: &Route) -> Option<Vertex> {
    let mut left_m = route.legs.first()?.from_m;
    let vertices: Vec<LatLng> = map.vertices(route.legs.first()?.road).collect();
    let mut position = *vertices.last()?;
    for pair in vertices.windows(2) {
        let length_m = pair[0].distance_m(pair[1]);
        if left_m < length_m {
            position = pair[0].lerp(pair[1], left_m / length_m);
            break;
        }
        left_m -= length_m;
    }
    Some(Vertex {
        position,
        at_s: 0.0,
        next_m: 0.0,
        speed_mps: 0.0,
        limit_mps: 1.0,
        road: 0,
    })
}

/// Sets the speed at each vertex: 0 at the end and where breaks are taken.
fn plan_speeds(vertices: &mut [Vertex], driver: Driver, departure: Departure, breaks: &[usize]) {
    let last = vertices.len() - 1;
    vertices[0].speed_mps = if last > 0 {
        departure.speed_mps as f32
    } else {
        0.0
    };
    for i in 1..last {
        let (before, here, after) = (vertices[i - 1], vertices[i], vertices[i + 1]);
        let behind_m = if i == 1 { departure.behind_m } else { 0.0 };
        let before_m = f64::from(before.next_m) + behind_m;
        let bend = bend_mps(&before, &here, &after, before_m, driver.sideways) as f32;
        vertices[i].speed_mps = before.limit_mps.min(here.limit_mps).min(bend);
    }
    for stop in breaks {
        vertices[*stop].speed_mps = 0.0;
    }
    let reach = |from: Vertex, rate: f64, metres: f32| {
        let from_mps = f64::from(from.speed_mps);
        (from_mps * from_mps + 2.0 * rate * f64::from(metres)).sqrt() as f32
    };
    for i in (0..last).rev() {
        let within = reach(vertices[i + 1], driver.brake, vertices[i].next_m);
        vertices[i].speed_mps = vertices[i].speed_mps.min(within);
    }
    for i in 1..=last {
        let within = reach(vertices[i - 1], driver.accelerate, vertices[i - 1].next_m);
        vertices[i].speed_mps = vertices[i].speed_mps.min(within);
    }
}

/// The speed through the bend at `here`, as of a circle through it.
fn bend_mps(before: &Vertex, here: &Vertex, after: &Vertex, before_m: f64, sideways: f64) -> f64 {
    /// A corner of streets is taken within a few metres, however long the streets are.
    const CORNER_DEG: f64 = 30.0;
    const CORNER_M: f64 = 15.0;
    /// Kinks shorter than a car are drawn by mappers, not driven.
    const KINK_M: f64 = 6.0;
    /// Walking pace: a turn on the spot, at the end of a dead-end street.
    const SLOWEST_MPS: f64 = 1.5;

    let ahead = here.position.bearing_deg(after.position);
    let behind = before.position.bearing_deg(here.position);
    let turn_deg = (ahead - behind + 540.0).rem_euclid(360.0) - 180.0;
    let turn_deg = turn_deg.abs();
    let longest_m = if turn_deg > CORNER_DEG {
        CORNER_M
    } else {
        f64::INFINITY
    };
    let chord_m = before_m.min(here.next_m.into()).clamp(KINK_M, longest_m);
    let radius_m = chord_m / (2.0 * (turn_deg.to_radians() / 2.0).tan().max(1e-6));
    (sideways * radius_m).sqrt().max(SLOWEST_MPS)
}

/// The motion between two vertices: speeding up to `peak_mps`, cruising, braking.
struct Segment {
    from_mps: f64,
    to_mps: f64,
    peak_mps: f64,
    length_m: f64,
    driver: Driver,
}

impl Segment {
    fn new(here: &Vertex, next: &Vertex, driver: Driver) -> Self {
        let (a, b) = (driver.accelerate, driver.brake);
        let (from, to) = (f64::from(here.speed_mps), f64::from(next.speed_mps));
        let length_m = f64::from(here.next_m);
        // The speed at which speeding up and braking meet, if they do before the limit.
        let meet = (2.0 * a * b * length_m + b * from * from + a * to * to) / (a + b);
        Self {
            from_mps: from,
            to_mps: to,
            peak_mps: meet.sqrt().min(here.limit_mps.into()).max(from).max(to),
            length_m,
            driver,
        }
    }

    fn speeding_up_s(&self) -> f64 {
        (self.peak_mps - self.from_mps) / self.driver.accelerate
    }

    fn braking_s(&self) -> f64 {
        (self.peak_mps - self.to_mps) / self.driver.brake
    }

    fn cruising_s(&self) -> f64 {
        let speeding_up_m = (self.peak_mps + self.from_mps) / 2.0 * self.speeding_up_s();
        let braking_m = (self.peak_mps + self.to_mps) / 2.0 * self.braking_s();
        ((self.length_m - speeding_up_m - braking_m) / self.peak_mps).max(0.0)
    }

    fn seconds(&self) -> f64 {
        self.speeding_up_s() + self.cruising_s() + self.braking_s()
    }

    /// Metres done and m/s after so many seconds.
    fn at(&self, seconds: f64) -> (f64, f64) {
        let (up_s, cruise_s) = (self.speeding_up_s(), self.cruising_s());
        if seconds < up_s {
            let speed = self.from_mps + self.driver.accelerate * seconds;
            return ((self.from_mps + speed) / 2.0 * seconds, speed);
        }
        let up_m = (self.from_mps + self.peak_mps) / 2.0 * up_s;
        if seconds < up_s + cruise_s {
            return (up_m + self.peak_mps * (seconds - up_s), self.peak_mps);
        }
        let braked_s = (seconds - up_s - cruise_s).min(self.braking_s());
        let speed = self.peak_mps - self.driver.brake * braked_s;
        let before_m = up_m + self.peak_mps * cruise_s;
        (
            before_m + (self.peak_mps + speed) / 2.0 * braked_s,
            speed.max(0.0),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::Place;
    use crate::map::roads_for_tests::{grid, real};
    use crate::route;

    fn taxi() -> Driver {
        Driver::new(Kind::Taxi, 1.0)
    }

    fn drive(from: usize, to: usize) -> (Drive, f64) {
        let map = RoadMap::new(grid(5, 200.0));
        let places = &map.components[0].places;
        let start = map.locations(places[from]).next().unwrap();
        let route = route::quickest(&map, start, places[to]).unwrap();
        (
            Drive::new(&map, &route, taxi()),
            route.cost_ms as f64 / 1_000.0,
        )
    }

    #[test]
    fn it_starts_and_ends_standing_and_obeys_the_limit() {
        let (drive, at_limit_s) = drive(0, 24);
        assert_eq!(drive.at(0.0).speed_mps, 0.0);
        assert_eq!(drive.at(drive.seconds()).speed_mps, 0.0);
        assert_eq!(drive.at(drive.seconds() + 60.0), drive.at_end());
        assert!(drive.seconds() > at_limit_s, "bends and stops take time");
        assert!(drive.seconds() < at_limit_s * 1.5);
        let fastest = (0..(drive.seconds() * 10.0) as u32)
            .map(|tenth| drive.at(f64::from(tenth) / 10.0).speed_mps)
            .fold(0.0, f64::max);
        assert!((fastest - 10.0).abs() < 1e-9, "{fastest}");
    }

    #[test]
    fn position_and_speed_change_smoothly() {
        let (drive, _) = drive(3, 20);
        let step_s = 0.05;
        let mut before = drive.at(0.0);
        let mut at_s = 0.0;
        while at_s < drive.seconds() {
            at_s += step_s;
            let now = drive.at(at_s);
            let moved_m = before.position.distance_m(now.position);
            assert!(moved_m <= before.speed_mps.max(now.speed_mps) * step_s + 0.01);
            let change = (now.speed_mps - before.speed_mps) / step_s;
            assert!((-2.3..1.9).contains(&change), "{change} m/s² at {at_s} s");
            assert!(now.left_s <= before.left_s);
            before = now;
        }
    }

    #[test]
    fn corners_are_taken_slowly() {
        let (drive, _) = drive(0, 24);
        let corners: Vec<f64> = drive
            .vertices
            .windows(3)
            .filter(|v| {
                let turn = v[0].position.bearing_deg(v[1].position)
                    - v[1].position.bearing_deg(v[2].position);
                (turn.abs() - 90.0).abs() < 5.0
            })
            .map(|v| f64::from(v[1].speed_mps))
            .collect();
        assert!(!corners.is_empty());
        assert!(
            corners.iter().all(|speed| (3.0..6.0).contains(speed)),
            "{corners:?}"
        );
    }

    #[test]
    fn no_road_is_driven_faster_than_its_speed() {
        let Some(map) = real("rhein-neckar.osm.pbf", Kind::Truck) else {
            return;
        };
        let places = &map.components[0].places;
        for pair in places.windows(2).step_by(places.len() / 40) {
            let start = map.locations(pair[0]).next().unwrap();
            let route = route::quickest(&map, start, pair[1]).unwrap();
            let drive = Drive::new(&map, &route, Driver::new(Kind::Truck, 1.0));
            // At the limits of its segments the drive takes as long as the search said: each has its road's speed.
            let at_limits_s: f64 = drive
                .vertices
                .iter()
                .map(|v| f64::from(v.next_m) / f64::from(v.limit_mps))
                .sum();
            let searched_s = route.cost_ms as f64 / 1_000.0;
            let rounding_s = route.legs.len() as f64 / 1_000.0 + 0.1;
            assert!(
                (at_limits_s - searched_s).abs() < rounding_s,
                "{at_limits_s} {searched_s}"
            );
            for (here, next) in drive.vertices.iter().zip(&drive.vertices[1..]) {
                for share in [0.0, 0.3, 0.6, 0.9] {
                    let at_s = here.at_s + (next.at_s - here.at_s) * share;
                    let speed_mps = drive.at(at_s).speed_mps;
                    assert!(
                        speed_mps <= f64::from(here.limit_mps) + 1e-6,
                        "{speed_mps} {here:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_drive_to_where_one_stands_takes_no_time() {
        let map = RoadMap::new(grid(2, 200.0));
        let place: Place = map.components[0].places[0];
        let start = map.locations(place).next().unwrap();
        let route = route::quickest(&map, start, place).unwrap();
        let drive = Drive::new(&map, &route, taxi());
        assert_eq!(drive.seconds(), 0.0);
        assert!(drive.at(0.0).position.distance_m(map.position(place)) < 0.1);
    }
}
