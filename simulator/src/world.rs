//! What all vehicles of a fleet share, and the routes that they ask for.

use std::sync::Arc;

use fleet::{Kind, LatLng};

use crate::demand::Demand;
use crate::map::{Component, Location, Place, RoadMap};
use crate::motion::{Departure, Drive, Driver, Duty};
use crate::route::{self, Leg, Route};
use crate::trip::Dispatch;

/// What all vehicles of a fleet share.
#[derive(Clone, Debug)]
pub struct World {
    /// The roads.
    pub map: Arc<RoadMap>,
    /// What drives on them.
    pub kind: Kind,
    /// Decides everything that is left to chance.
    pub seed: u64,
    /// The longest rest between two trips, in seconds.
    pub rest_max_s: f64,
    /// How many vehicles, from the first on, are visible.
    pub visible: u32,
    /// When it is by the simulated clock when the fleet begins, in seconds after midnight.
    pub start_s: f64,
    /// How the fleet is asked for over the day.
    pub demand: Demand,
    /// Whether only places with a name are trip ends.
    pub named_only: bool,
    /// How many companies there are: the first of [`crate::identity::companies_of`].
    pub companies: usize,
    /// What drivers keep to; nothing for taxis.
    pub duty: Option<Duty>,
}

impl World {
    /// A world in which everything is as the settings are unless they say otherwise.
    pub fn new(map: impl Into<Arc<RoadMap>>, kind: Kind) -> Self {
        Self {
            map: map.into(),
            kind,
            seed: 1,
            rest_max_s: 15.0,
            visible: 0,
            start_s: 8.0 * 3_600.0,
            demand: Demand::default(),
            named_only: false,
            companies: 10,
            duty: None,
        }
    }

    /// Where trips go, so many seconds after the fleet began.
    pub(crate) fn dispatch(&self, component: usize, clock_s: f64) -> Dispatch<'_> {
        Dispatch {
            map: &self.map,
            component: &self.map.components[component],
            kind: self.kind,
            rest_max_s: self.rest_max_s,
            hour: self.demand.at(self.start_s + clock_s),
            named_only: self.named_only,
        }
    }

    /// The place of that part of the network that is nearest to a position, and the metres to it.
    pub(crate) fn nearest(&self, component: &Component, position: LatLng) -> Option<(f64, Place)> {
        let distances = component.places.iter().map(|place| {
            let distance_m = self.map.position(*place).distance_m(position);
            (distance_m, *place)
        });
        distances.min_by(|a, b| a.0.total_cmp(&b.0))
    }
}

/// A route that a vehicle waits for. The drive depends on nothing else but the map, so the same question has the same
/// answer at any time.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// From where, and in which direction.
    pub from: Location,
    /// The roads from there that the vehicle has no more choice about; none when it stands.
    pub lead: Vec<Leg>,
    /// To where.
    pub to: Place,
    /// How it will be driven.
    pub driver: Driver,
    /// How the vehicle is at its beginning.
    pub departure: Departure,
}

/// A planned drive, and where it leaves the vehicle.
pub type Planned = (Box<Drive>, Location);

impl Wanted {
    /// Searches the route and plans the drive. This is the expensive part of a trip: milliseconds.
    pub fn plan(&self, map: &RoadMap) -> Option<Planned> {
        let from = match self.lead.last() {
            Some(leg) => Location {
                road: leg.road,
                at_m: leg.to_m,
            },
            None => self.from,
        };
        let mut found = route::quickest(map, from, self.to)?;
        // The route goes on along the road on which the lead ends: that is one stretch.
        let mut legs = self.lead.clone();
        if let (Some(last), Some(first)) = (legs.pop(), found.legs.first_mut()) {
            first.from_m = last.from_m;
        }
        legs.append(&mut found.legs);
        let route = Route { legs, ..found };
        let drive = Drive::after(map, &route, self.driver, self.departure);
        Some((Box::new(drive), route.end))
    }
}
