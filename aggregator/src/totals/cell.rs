//! Totals by map cell, at two sizes: for the far-out view.

use fleet::{Cell, CellTotal};

use super::Vehicle;
use super::part::Part;
use super::sums::Sums;

/// Characters of the geohashes that are counted. Four: 39 km × 19 km at the equator, some hundreds of cells for Italy. Six:
/// 1.2 km × 0.6 km, a hundred cells for Manhattan. How long a key is says which it is.
pub const CHARS: [usize; 2] = [4, CHARS_MAX];
/// The finest of them; the cells of the map's frames are larger, too.
pub const CHARS_MAX: usize = 6;

/// The sums of all cells.
#[derive(Debug, Default)]
pub struct Cells(pub Sums<Cell>);

impl Cells {
    /// Counts a vehicle.
    pub fn add(&mut self, vehicle: &Vehicle) {
        for chars in CHARS {
            self.0.add(&vehicle.cell.around(chars), vehicle);
        }
    }

    /// Takes it back.
    pub fn remove(&mut self, vehicle: &Vehicle) {
        for chars in CHARS {
            self.0.remove(&vehicle.cell.around(chars), vehicle);
        }
    }
}

/// What is published of a cell.
pub fn total(cell: Cell, sum: &Part) -> CellTotal {
    CellTotal {
        cell: cell.to_string(),
        vehicles: sum.vehicles,
        passengers: sum.passengers,
        mean_speed: sum.mean_speed(),
        update_timestamp: sum.newest_ms,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::totals::tests::sample;

    #[test]
    fn a_vehicle_counts_in_its_cell_of_each_size() {
        let mut cells = Cells::default();
        let here = sample();
        let there = Vehicle {
            cell: "dr5rs1".parse().unwrap(),
            ..sample()
        };
        cells.add(&here);
        cells.add(&there);
        let count = |cells: &Cells, cell: &str| {
            let cell: Cell = cell.parse().unwrap();
            cells
                .0
                .part(&cell)
                .map(|sum| total(cell, &sum))
                .map(|total| (total.vehicles, total.passengers))
        };
        assert_eq!(count(&cells, "dr5r"), Some((2, 4)));
        assert_eq!(count(&cells, "dr5ru7"), Some((1, 2)));
        assert_eq!(count(&cells, "dr5rs1"), Some((1, 2)));
        cells.remove(&there);
        assert_eq!(count(&cells, "dr5r"), Some((1, 2)));
        assert_eq!(count(&cells, "dr5rs1"), None);
    }
}
