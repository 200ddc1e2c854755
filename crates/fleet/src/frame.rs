//! All vehicles of a map cell in one binary message: what `fleet/map/<geohash>` carries. `docs/map-frames.md` has the
//! same layout for readers in other languages. Numbers are little-endian, unsigned.
//!
//! ```text
//!  header, 16 bytes
//!    0  u8   version: 1
//!    1  u8   companies: C
//!    2  u16  vehicles that follow: N, at most VEHICLES_MAX
//!    4  u32  vehicles in the cell
//!    8  u64  time: ms since the Unix epoch, that of the newest position
//!  C companies
//!    0  u8   shape: 0 circle, 1 square, 2 triangle, 3 diamond, 255 another
//!    1  u8   bytes of the name     2  the name, UTF-8
//!    …  u8   bytes of the colour   …  the colour as CSS has it, UTF-8
//!  N vehicles, 14 bytes each, by plate
//!    0  u16  latitude:  0 the south edge of the cell, 65535 its north edge
//!    2  u16  longitude: 0 the west edge, 65535 the east edge
//!    4  u16  bearing, hundredths of a degree clockwise from north, below 36000
//!    6  u16  speed, tenths of km/h; 65535 also stands for more
//!    8  u16  age: ms before the time of the header; 65535 also stands for more
//!   10  u8   company: which of the C, from 0; 255 one that had no room
//!   11  u8   flags: 1 hired, 2 truck, 4 stopped for too long, 8 speeding
//!   12  u8   passengers; 255 also stands for more
//!   13  u8   bytes of the plate
//!  N plates, one behind the other, ASCII
//! ```

use crate::vehicle::{COMPANY_BYTES_MAX, PLATE_BYTES_MAX};
use crate::{Cell, LatLng, Plate};

/// The layout's version.
const VERSION: u8 = 1;
const HEADER_BYTES: usize = 16;
const VEHICLE_BYTES: usize = 14;
/// So many vehicles follow at most, so that a frame fits into a Kafka record of 1 MB whatever it holds: 16,384 × (14 + 16)
/// bytes and 255 × 131 for the companies are 0.53 MB.
pub const VEHICLES_MAX: usize = 16_384;
/// As many as an index of one byte can tell apart.
const COMPANIES_MAX: usize = 255;
/// The index of a company that had no room.
const NO_COMPANY: u8 = 255;
/// A colour that is longer is left out: anybody may send one.
const COLOR_BYTES_MAX: usize = 64;

/// A vehicle's flags.
pub mod flags {
    /// It carries somebody or something.
    pub const HIRED: u8 = 1;
    /// A truck; without it, a taxi.
    pub const TRUCK: u8 = 2;
    /// An alert says that it has been standing for too long.
    pub const STOPPED: u8 = 4;
    /// An alert says that it is too fast.
    pub const SPEEDING: u8 = 8;
}

/// What a frame says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Frame {
    /// Vehicles in the cell: more than are listed where the cell is too full.
    pub total: u32,
    /// Those that are listed.
    pub vehicles: Vec<FrameVehicle>,
    /// What vehicles refer to by index.
    pub companies: Vec<FrameCompany>,
}

/// A company as a frame has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameCompany {
    /// Its name.
    pub name: String,
    /// A CSS colour.
    pub color: String,
    /// `circle`, `square`, `triangle`, `diamond`, or anything else.
    pub shape: String,
}

/// A vehicle as a frame has it.
#[derive(Clone, Debug, PartialEq)]
pub struct FrameVehicle {
    /// The plate.
    pub plate: Plate,
    /// Where it is: exact to a 65,535th of the cell.
    pub at: LatLng,
    /// Degrees clockwise from true north, [0, 360); exact to a hundredth.
    pub bearing_deg: f64,
    /// km/h; exact to a tenth.
    pub speed_kmh: f64,
    /// Milliseconds since the Unix epoch.
    pub timestamp_ms: u64,
    /// Which of the frame's companies; none when that had no room.
    pub company: Option<usize>,
    /// See [`flags`].
    pub flags: u8,
    /// On board.
    pub passengers: u8,
}

/// Why bytes are not a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidFrame {
    /// The first byte is another.
    #[error("a frame of version {0}, not {VERSION}")]
    Version(u8),
    /// It ends too early, or goes on behind its end.
    #[error("a frame of another length than it says")]
    Length,
    /// A text is not UTF-8, or a plate is none.
    #[error("a text in a frame is not what it should be")]
    Text,
}

impl Frame {
    /// Adds a company, unless it is there, and returns its index.
    pub fn company(&mut self, name: &str, color: &str, shape: &str) -> Option<usize> {
        let is_it = |company: &FrameCompany| {
            company.name == name && company.color == color && company.shape == shape
        };
        if let Some(at) = self.companies.iter().position(is_it) {
            return Some(at);
        }
        (self.companies.len() < COMPANIES_MAX).then(|| {
            self.companies.push(FrameCompany {
                name: name.to_owned(),
                color: color.to_owned(),
                shape: shape.to_owned(),
            });
            self.companies.len() - 1
        })
    }

    /// Takes in the vehicles of another frame of the same cell.
    pub fn extend(&mut self, other: Self) {
        let companies: Vec<Option<usize>> = other
            .companies
            .iter()
            .map(|company| self.company(&company.name, &company.color, &company.shape))
            .collect();
        self.total += other.total;
        self.vehicles
            .extend(other.vehicles.into_iter().map(|vehicle| FrameVehicle {
                company: vehicle.company.and_then(|at| companies[at]),
                ..vehicle
            }));
    }

    /// The message; vehicles are listed by plate, [`VEHICLES_MAX`] at most.
    pub fn encode(mut self, cell: Cell) -> Vec<u8> {
        self.vehicles.sort_unstable_by(|a, b| a.plate.cmp(&b.plate));
        self.vehicles.truncate(VEHICLES_MAX);
        let newest_ms = self.vehicles.iter().map(|vehicle| vehicle.timestamp_ms);
        let newest_ms = newest_ms.max().unwrap_or(0);
        let mut out =
            Vec::with_capacity(HEADER_BYTES + self.vehicles.len() * (VEHICLE_BYTES + 8) + 256);
        out.push(VERSION);
        out.push(saturate_u8(self.companies.len()));
        out.extend(saturate_u16(self.vehicles.len()).to_le_bytes());
        out.extend(self.total.to_le_bytes());
        out.extend(newest_ms.to_le_bytes());
        for company in &self.companies {
            out.push(shape_code(&company.shape));
            text(&mut out, &company.name, COMPANY_BYTES_MAX);
            text(&mut out, &company.color, COLOR_BYTES_MAX);
        }
        let bounds = cell.bounds();
        let (south_west, north_east) = (bounds.south_west, bounds.north_east);
        for vehicle in &self.vehicles {
            let lat = fraction(vehicle.at.lat, south_west.lat, north_east.lat);
            let lng = fraction(vehicle.at.lng, south_west.lng, north_east.lng);
            let bearing = round_u16(vehicle.bearing_deg * 100.0) % 36_000;
            let speed = round_u16(vehicle.speed_kmh * 10.0);
            let age = u16::try_from(newest_ms - vehicle.timestamp_ms).unwrap_or(u16::MAX);
            for number in [lat, lng, bearing, speed, age] {
                out.extend(number.to_le_bytes());
            }
            out.push(vehicle.company.map_or(NO_COMPANY, saturate_u8));
            out.push(vehicle.flags);
            out.push(vehicle.passengers);
            out.push(saturate_u8(vehicle.plate.as_str().len()));
        }
        for vehicle in &self.vehicles {
            out.extend(vehicle.plate.as_str().as_bytes());
        }
        out
    }

    /// Reads a message about `cell`.
    ///
    /// # Errors
    /// When it is not what [`Self::encode`] writes.
    pub fn decode(payload: &[u8], cell: Cell) -> Result<Self, InvalidFrame> {
        let mut bytes = Bytes(payload);
        let version = bytes.u8()?;
        if version != VERSION {
            return Err(InvalidFrame::Version(version));
        }
        let (companies, vehicles) = (bytes.u8()?, bytes.u16()?);
        let mut frame = Self {
            total: u32::from_le_bytes(bytes.take()?),
            ..Self::default()
        };
        let newest_ms = u64::from_le_bytes(bytes.take()?);
        for _ in 0..companies {
            let shape = shape_of(bytes.u8()?);
            frame.companies.push(FrameCompany {
                name: bytes.text()?.to_owned(),
                color: bytes.text()?.to_owned(),
                shape: shape.to_owned(),
            });
        }
        let (fixed, plates) = bytes
            .0
            .split_at_checked(usize::from(vehicles) * VEHICLE_BYTES)
            .ok_or(InvalidFrame::Length)?;
        let (mut fixed, mut plates) = (Bytes(fixed), Bytes(plates));
        let bounds = cell.bounds();
        let (south_west, north_east) = (bounds.south_west, bounds.north_east);
        for _ in 0..vehicles {
            let lat = between(fixed.u16()?, south_west.lat, north_east.lat);
            let lng = between(fixed.u16()?, south_west.lng, north_east.lng);
            let bearing_deg = f64::from(fixed.u16()?) / 100.0;
            let speed_kmh = f64::from(fixed.u16()?) / 10.0;
            let timestamp_ms = newest_ms.saturating_sub(u64::from(fixed.u16()?));
            let company = usize::from(fixed.u8()?);
            let (flags, passengers) = (fixed.u8()?, fixed.u8()?);
            let plate = plates.text_of(usize::from(fixed.u8()?))?;
            frame.vehicles.push(FrameVehicle {
                plate: plate.parse().map_err(|_| InvalidFrame::Text)?,
                at: LatLng::new(lat, lng),
                bearing_deg,
                speed_kmh,
                timestamp_ms,
                company: (company < frame.companies.len()).then_some(company),
                flags,
                passengers,
            });
        }
        match plates.0 {
            [] => Ok(frame),
            _ => Err(InvalidFrame::Length),
        }
    }
}

/// What is left to read.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], InvalidFrame> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(InvalidFrame::Length)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn u8(&mut self) -> Result<u8, InvalidFrame> {
        Ok(self.take::<1>()?[0])
    }

    fn u16(&mut self) -> Result<u16, InvalidFrame> {
        Ok(u16::from_le_bytes(self.take()?))
    }

    fn text(&mut self) -> Result<&'a str, InvalidFrame> {
        let length = usize::from(self.u8()?);
        self.text_of(length)
    }

    fn text_of(&mut self, length: usize) -> Result<&'a str, InvalidFrame> {
        let (text, rest) = self
            .0
            .split_at_checked(length)
            .ok_or(InvalidFrame::Length)?;
        self.0 = rest;
        std::str::from_utf8(text).map_err(|_| InvalidFrame::Text)
    }
}

/// The shapes that have a code, by it.
const SHAPES: [&str; 4] = ["circle", "square", "triangle", "diamond"];

fn shape_code(shape: &str) -> u8 {
    let at = SHAPES.iter().position(|known| *known == shape);
    at.map_or(u8::MAX, saturate_u8)
}

fn shape_of(code: u8) -> &'static str {
    SHAPES.get(usize::from(code)).copied().unwrap_or("")
}

fn text(out: &mut Vec<u8>, text: &str, bytes_max: usize) {
    let text = if text.len() <= bytes_max { text } else { "" };
    out.push(saturate_u8(text.len()));
    out.extend(text.as_bytes());
}

/// Where `x` is between two edges, in 65,535ths.
fn fraction(x: f64, low: f64, high: f64) -> u16 {
    round_u16((x - low) / (high - low) * 65_535.0)
}

fn between(part: u16, low: f64, high: f64) -> f64 {
    low + f64::from(part) / 65_535.0 * (high - low)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "`as` saturates, which is what is wanted"
)]
fn round_u16(x: f64) -> u16 {
    x.round() as u16
}

fn saturate_u8(x: usize) -> u8 {
    u8::try_from(x).unwrap_or(u8::MAX)
}

fn saturate_u16(x: usize) -> u16 {
    u16::try_from(x).unwrap_or(u16::MAX)
}

const _: () = assert!(PLATE_BYTES_MAX <= u8::MAX as usize && VEHICLES_MAX <= u16::MAX as usize);

#[cfg(test)]
mod tests {
    use super::*;

    const GOLDEN: &str = include_str!("../samples/map_frame_dr5ru.hex");
    const GOLDEN_JSON: &str = include_str!("../samples/map_frame_dr5ru.json");

    fn cell() -> Cell {
        "dr5ru".parse().unwrap()
    }

    fn vehicle(plate: &str, lat: f64, lng: f64, timestamp_ms: u64) -> FrameVehicle {
        FrameVehicle {
            plate: plate.parse().unwrap(),
            at: LatLng::new(lat, lng),
            bearing_deg: 18.5,
            speed_kmh: 38.5,
            timestamp_ms,
            company: None,
            flags: flags::HIRED,
            passengers: 2,
        }
    }

    fn sample() -> Frame {
        let mut frame = Frame {
            total: 3,
            ..Frame::default()
        };
        let meridian = frame.company("Meridian Taxi", "#2f6fde", "circle");
        let zurich = frame.company("Zürich Öko", "#d62728", "hexagon");
        assert_eq!(
            frame.company("Meridian Taxi", "#2f6fde", "circle"),
            meridian
        );
        frame.vehicles = vec![
            FrameVehicle {
                company: meridian,
                ..vehicle("T1A23", 40.758, -73.9855, 1_767_225_600_500)
            },
            FrameVehicle {
                company: zurich,
                bearing_deg: 359.999,
                speed_kmh: 9_999.0,
                flags: flags::TRUCK | flags::STOPPED | flags::SPEEDING,
                passengers: 255,
                ..vehicle("ABCDEFGHIJ-45678", 40.75, -73.99, 1_767_225_500_000)
            },
            vehicle("X", 40.76, -73.98, 1_767_225_600_400),
        ];
        frame
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn bytes_of(hex: &str) -> Vec<u8> {
        let digits: String = hex.split_whitespace().collect();
        let pairs = digits.as_bytes().chunks(2);
        pairs
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }

    #[test]
    fn the_golden_bytes_are_written_and_read() {
        let golden = bytes_of(GOLDEN);
        assert_eq!(hex(&sample().encode(cell())), hex(&golden));

        let read = Frame::decode(&golden, cell()).unwrap();
        let expected: serde_json::Value = serde_json::from_str(GOLDEN_JSON).unwrap();
        assert_eq!(expected["total"], read.total);
        let vehicles = expected["vehicles"].as_array().unwrap();
        assert_eq!(vehicles.len(), read.vehicles.len());
        for (json, vehicle) in vehicles.iter().zip(&read.vehicles) {
            assert_eq!(json["plate"], vehicle.plate.as_str());
            // Half of a 65,535th of the cell.
            let close = |field: &str, x: f64| (json[field].as_f64().unwrap() - x).abs() < 4e-7;
            assert!(close("lat", vehicle.at.lat), "{vehicle:?}");
            assert!(close("lng", vehicle.at.lng), "{vehicle:?}");
            assert_eq!(json["bearing"], vehicle.bearing_deg);
            assert_eq!(json["speed"], vehicle.speed_kmh);
            assert_eq!(json["timestamp"], vehicle.timestamp_ms);
            let company = vehicle.company.map(|at| read.companies[at].name.as_str());
            assert_eq!(json["company"].as_str(), company);
            assert_eq!(json["flags"], vehicle.flags);
            assert_eq!(json["passengers"], vehicle.passengers);
        }
    }

    #[test]
    fn frames_of_one_cell_are_joined() {
        let mut joined = Frame {
            total: 1,
            ..Frame::default()
        };
        joined.company("Zürich Öko", "#d62728", "");
        joined.vehicles = vec![vehicle("A", 40.75, -73.99, 1_767_225_600_501)];
        let read = Frame::decode(&bytes_of(GOLDEN), cell()).unwrap();
        joined.extend(read);
        let joined = Frame::decode(&joined.encode(cell()), cell()).unwrap();
        assert_eq!(joined.total, 4);
        let plates: Vec<&str> = joined.vehicles.iter().map(|v| v.plate.as_str()).collect();
        assert_eq!(plates, ["A", "ABCDEFGHIJ-45678", "T1A23", "X"]);
        assert_eq!(joined.companies.len(), 2, "the same company is there once");
        let of = |at: usize| joined.vehicles[at].company;
        assert_eq!([of(0), of(1), of(2), of(3)], [None, Some(0), Some(1), None]);
        assert_eq!(joined.vehicles[2].timestamp_ms, 1_767_225_600_500);
    }

    #[test]
    fn a_frame_is_bounded_and_says_how_many_there_are() {
        let mut frame = Frame::default();
        for at in 0..VEHICLES_MAX + 10 {
            let mut vehicle = vehicle(&format!("ABCDEFGHIJ{at:06}"), 40.75, -73.99, 1);
            let company = format!("{:064}", at % 300);
            vehicle.company = frame.company(&company, &"c".repeat(64), "circle");
            frame.vehicles.push(vehicle);
            frame.total += 1;
        }
        let encoded = frame.encode(cell());
        assert!(encoded.len() < 560_000, "{}", encoded.len());
        let read = Frame::decode(&encoded, cell()).unwrap();
        assert_eq!(read.vehicles.len(), VEHICLES_MAX);
        assert_eq!(read.total as usize, VEHICLES_MAX + 10);
        assert_eq!(read.companies.len(), COMPANIES_MAX);
        assert_eq!(read.vehicles[299].company, None);
    }

    #[test]
    fn an_empty_frame_is_its_header() {
        let empty = Frame::default().encode(cell());
        assert_eq!(empty, [[1].as_slice(), &[0; 15]].concat());
        assert_eq!(Frame::decode(&empty, cell()), Ok(Frame::default()));
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        let golden = bytes_of(GOLDEN);
        for length in 0..golden.len() {
            assert!(Frame::decode(&golden[..length], cell()).is_err());
        }
        let longer = [golden.as_slice(), b"x"].concat();
        assert_eq!(Frame::decode(&longer, cell()), Err(InvalidFrame::Length));
        let mut newer = golden.clone();
        newer[0] = 2;
        assert_eq!(Frame::decode(&newer, cell()), Err(InvalidFrame::Version(2)));
        let mut broken = golden;
        *broken.last_mut().unwrap() = b'x';
        assert_eq!(Frame::decode(&broken, cell()), Err(InvalidFrame::Text));
    }
}
