//! The state file: the vehicles as they were a moment ago, so that a restart goes on from there.
//!
//! ```text
//! magic     8 bytes, with the version of the format
//! fleet     SHA-256 of what the fleet and its map are
//! checksum  SHA-256 of the rest
//! vehicles  postcard, a list of `Saved`
//! ```
//!
//! A file of another fleet ends the start: to write over it would lose what somebody else may need. A damaged one, or one
//! of another version, is of no use to anybody: it is reported, and the fleet begins anew.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use service::BadSetting;
use sha2::{Digest, Sha256};

use crate::vehicle::{Saved, Vehicle};
use crate::world::World;

/// Changes with what [`Saved`] holds.
const MAGIC: &[u8; 8] = b"CVYSTAT1";

/// How long after one file the next is begun. What a `kill -9` loses is this and two ticks at most.
pub(crate) const EVERY: Duration = Duration::from_secs(5);

type Hash = [u8; 32];

/// The file, and what will be in it next.
pub(crate) struct Checkpoint {
    path: PathBuf,
    fleet: Hash,
    /// Vehicles that saw an earlier round are asked for their state.
    round: AtomicU64,
    vehicles: Mutex<BTreeMap<u32, Saved>>,
    /// Held while the file is written, so that an older state never replaces a newer one.
    writing: Mutex<()>,
}

impl Checkpoint {
    /// Opens the file, with the vehicles that are in it; there need not be one.
    ///
    /// # Errors
    /// When it is another fleet's, or can't be read or written.
    pub(crate) fn open(
        path: &Path,
        fleets: &[(Range<u32>, Arc<World>)],
    ) -> Result<Self, BadSetting> {
        let fleet = fingerprint(fleets);
        let shown = path.display();
        let vehicles = match std::fs::read(path).map(|bytes| decode(&bytes, &fleet)) {
            Ok(Ok(vehicles)) => vehicles,
            Ok(Err(Unfit::OtherFleet)) => {
                return Err(BadSetting(format!(
                    "state file {shown} is of another fleet, map or seed: remove it or name another with --state-file"
                )));
            }
            Ok(Err(Unfit::Damaged)) => {
                tracing::warn!(file = %shown,
                    "the state file is damaged or of another version; the fleet begins anew");
                Vec::new()
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => {
                return Err(BadSetting(format!(
                    "can't read state file {shown}: {error}; name another with --state-file"
                )));
            }
        };
        let checkpoint = Self {
            path: path.to_owned(),
            fleet,
            round: AtomicU64::new(0),
            vehicles: Mutex::new(vehicles.into_iter().map(|v| (v.index, v)).collect()),
            writing: Mutex::new(()),
        };
        // What can't be written is better known now than after the first five seconds.
        checkpoint.write().map_err(|error| {
            BadSetting(format!(
                "can't write state file {shown}: {error}; name another with --state-file"
            ))
        })?;
        Ok(checkpoint)
    }

    /// How vehicle `index` was.
    pub(crate) fn saved(&self, index: u32) -> Option<Saved> {
        self.vehicles.lock().get(&index).cloned()
    }

    /// Takes the state of a vehicle if it has not given it in this round; `seen` is its memory of that.
    pub(crate) fn take(&self, vehicle: &Vehicle, seen: &mut u64) {
        let round = self.round.load(Ordering::Relaxed);
        if *seen < round {
            *seen = round;
            self.keep(vehicle);
        }
    }

    /// Takes the state of a vehicle.
    pub(crate) fn keep(&self, vehicle: &Vehicle) {
        let saved = vehicle.save();
        self.vehicles.lock().insert(saved.index, saved);
    }

    /// Asks all vehicles for their state.
    pub(crate) fn ask(&self) {
        self.round.fetch_add(1, Ordering::Relaxed);
    }

    /// Writes the file: aside, then renamed, so that no reader ever sees half of it.
    ///
    /// # Errors
    /// What the file system says.
    pub(crate) fn write(&self) -> io::Result<()> {
        let _one_at_a_time = self.writing.lock();
        let vehicles: Vec<Saved> = self.vehicles.lock().values().cloned().collect();
        let bytes = encode(&vehicles, &self.fleet).map_err(io::Error::other)?;
        let dir = match self.path.parent() {
            Some(dir) if !dir.as_os_str().is_empty() => dir,
            _ => Path::new("."),
        };
        let mut aside = tempfile::NamedTempFile::new_in(dir)?;
        aside.write_all(&bytes)?;
        aside.as_file().sync_all()?;
        aside.persist(&self.path)?;
        Ok(())
    }
}

/// What a state depends on: the same vehicles in another world would be somewhere else. The last fleet may grow.
fn fingerprint(fleets: &[(Range<u32>, Arc<World>)]) -> Hash {
    let mut hasher = Sha256::new();
    for (numbers, world) in fleets {
        let map = &world.map;
        hasher.update(format!(
            "{} {} {} {} {} {} ",
            numbers.start,
            world.kind,
            world.seed,
            world.companies,
            map.graph.node_count(),
            map.graph.edge_count(),
        ));
        for component in &map.components {
            hasher.update(component.length_m.to_le_bytes());
            for place in &component.places {
                hasher.update(place.shape.to_le_bytes());
                hasher.update(place.along_m.to_le_bytes());
            }
        }
    }
    hasher.finalize().into()
}

fn encode(vehicles: &[Saved], fleet: &Hash) -> Result<Vec<u8>, postcard::Error> {
    let body = postcard::to_stdvec(vehicles)?;
    let mut bytes = MAGIC.to_vec();
    bytes.extend(fleet);
    bytes.extend(Sha256::digest(&body));
    bytes.extend(body);
    Ok(bytes)
}

/// Why a file does not serve.
#[derive(Debug, PartialEq)]
enum Unfit {
    OtherFleet,
    Damaged,
}

fn decode(bytes: &[u8], fleet: &Hash) -> Result<Vec<Saved>, Unfit> {
    let rest = bytes.strip_prefix(MAGIC).ok_or(Unfit::Damaged)?;
    let (of, rest) = rest.split_at_checked(32).ok_or(Unfit::Damaged)?;
    let (checksum, body) = rest.split_at_checked(32).ok_or(Unfit::Damaged)?;
    if Sha256::digest(body).as_slice() != checksum {
        return Err(Unfit::Damaged);
    }
    if of != fleet {
        return Err(Unfit::OtherFleet);
    }
    postcard::from_bytes(body).map_err(|_| Unfit::Damaged)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::RoadMap;
    use crate::map::roads_for_tests::grid;
    use fleet::{Command, Kind, LatLng};

    fn world(seed: u64) -> Arc<World> {
        Arc::new(World {
            seed,
            rest_max_s: 10.0,
            ..World::new(RoadMap::new(grid(8, 150.0)), Kind::Taxi)
        })
    }

    fn open(path: &Path, world: &Arc<World>) -> Result<Checkpoint, BadSetting> {
        Checkpoint::open(path, &[(0..10, Arc::clone(world))])
    }

    fn positions(vehicle: &mut Vehicle, count: usize) -> Vec<Vec<u8>> {
        let next = |_| {
            vehicle.advance(0.5, |wanted, map| wanted.plan(map));
            vehicle.next_position(0).to_json()
        };
        (0..count).map(next).collect()
    }

    #[test]
    fn a_vehicle_goes_on_as_if_nothing_had_been() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        let world = world(1);
        let mut vehicle = Vehicle::new(Arc::clone(&world), 4, 100).unwrap();
        for round in 0..60 {
            if round % 10 == 5 {
                let destination = LatLng::new(40.75, -73.975);
                vehicle.order(&Command::Go { destination }).unwrap();
            }
            positions(&mut vehicle, round * 3);
            let checkpoint = open(&path, &world).unwrap();
            checkpoint.keep(&vehicle);
            checkpoint.write().unwrap();
            let saved = open(&path, &world).unwrap().saved(4).unwrap();
            let mut restored = Vehicle::restore(Arc::clone(&world), saved, 0).unwrap();
            assert_eq!(
                positions(&mut restored, 100),
                positions(&mut vehicle, 100),
                "round {round}"
            );
            vehicle = restored;
        }
    }

    #[test]
    fn numbers_never_count_backwards() {
        let world = world(1);
        let vehicle = Vehicle::new(Arc::clone(&world), 4, 100).unwrap();
        for (from, next) in [(0, 101), (500, 501)] {
            let mut restored = Vehicle::restore(Arc::clone(&world), vehicle.save(), from).unwrap();
            assert_eq!(restored.next_position(0).sequence, next);
        }
    }

    #[test]
    fn vehicles_are_asked_once_a_round() {
        let dir = tempfile::tempdir().unwrap();
        let world = world(1);
        let checkpoint = open(&dir.path().join("state"), &world).unwrap();
        let vehicle = Vehicle::new(world, 4, 100).unwrap();
        let mut seen = 0;
        checkpoint.take(&vehicle, &mut seen);
        assert_eq!(checkpoint.saved(4), None);
        checkpoint.ask();
        checkpoint.take(&vehicle, &mut seen);
        assert_eq!(checkpoint.saved(4), Some(vehicle.save()));
        assert_eq!(seen, 1);
    }

    #[test]
    fn a_damaged_file_is_passed_over_and_a_foreign_one_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        let (mine, other) = (world(1), world(2));
        let fill = || {
            let _old = std::fs::remove_file(&path);
            let checkpoint = open(&path, &mine).unwrap();
            checkpoint.keep(&Vehicle::new(Arc::clone(&mine), 0, 0).unwrap());
            checkpoint.write().unwrap();
            std::fs::read(&path).unwrap()
        };
        let whole = fill();
        let refused = open(&path, &other).err().unwrap().to_string();
        assert!(refused.contains("of another fleet") && refused.contains("--state-file"));
        assert_eq!(std::fs::read(&path).unwrap(), whole, "and left alone");
        let later = Checkpoint::open(&path, &[(5..15, Arc::clone(&mine))]);
        assert!(later.is_err(), "its vehicles have other numbers");
        let larger = Checkpoint::open(&path, &[(0..99, Arc::clone(&mine))]).unwrap();
        assert!(larger.saved(0).is_some());

        for at in [0, 7, 45, 80, whole.len() - 1] {
            let mut bytes = fill();
            bytes[at] ^= 1;
            std::fs::write(&path, &bytes).unwrap();
            assert_eq!(open(&path, &mine).unwrap().saved(0), None, "byte {at}");
        }
        for length in [0, 8, 50, 72, whole.len() - 1] {
            std::fs::write(&path, &fill()[..length]).unwrap();
            assert_eq!(open(&path, &mine).unwrap().saved(0), None, "{length} bytes");
        }
    }

    #[test]
    fn a_file_that_can_not_be_written_is_known_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let refused = open(&dir.path().join("no/such/folder"), &world(1));
        let error = refused.err().unwrap().to_string();
        assert!(error.contains("can't write state file"), "{error}");
        let refused = open(dir.path(), &world(1)).err().unwrap().to_string();
        assert!(refused.contains("can't read state file"), "{refused}");
    }
}
