//! Who a vehicle is: its plate and its company.

use fleet::{Kind, Plate};

/// A company: ten for taxis, ten for trucks.
#[derive(Debug, PartialEq, Eq)]
pub struct Company {
    /// Its name.
    pub name: &'static str,
    /// A CSS colour that can be told from a light and from a dark map (contrast of at least 3 to 1 on both).
    pub color: &'static str,
    /// `circle`, `square`, `triangle` or `diamond`. Companies of one shape have colours that stay apart for people who
    /// see fewer of them.
    pub shape: &'static str,
}

/// Looks of the companies, largest company first.
const LOOKS: [(&str, &str); 10] = [
    ("#2f6fde", "circle"),
    ("#c75300", "square"),
    ("#00875f", "square"),
    ("#c4438f", "triangle"),
    ("#8b5cf6", "diamond"),
    ("#8a7a00", "circle"),
    ("#0e8fa8", "square"),
    ("#d62f3a", "triangle"),
    ("#7a6f66", "diamond"),
    ("#6f8f1f", "diamond"),
];

const TAXI_NAMES: [&str; 10] = [
    "Meridian Taxi",
    "Harbor Cabs",
    "Greenlight Cars",
    "Uptown Riders",
    "Violet Line",
    "Lantern Taxi",
    "Tidewater Cabs",
    "Red Maple Cars",
    "Granite Cabs",
    "Orchard Taxi",
];

const TRUCK_NAMES: [&str; 10] = [
    "Alpina Trasporti",
    "Ponente Cargo",
    "Verdemare Logistica",
    "Corallo Spedizioni",
    "Viola Autotrasporti",
    "Girasole Merci",
    "Laguna Freight",
    "Rubino Trasporti",
    "Pietra Grigia",
    "Oliveto Logistica",
];

const TAXI_COMPANIES: [Company; 10] = companies(TAXI_NAMES);
const TRUCK_COMPANIES: [Company; 10] = companies(TRUCK_NAMES);

const fn companies(names: [&'static str; 10]) -> [Company; 10] {
    const NONE: Company = Company {
        name: "",
        color: "",
        shape: "",
    };
    let mut companies = [NONE; 10];
    let mut i = 0;
    while i < 10 {
        companies[i] = Company {
            name: names[i],
            color: LOOKS[i].0,
            shape: LOOKS[i].1,
        };
        i += 1;
    }
    companies
}

/// The companies that run such vehicles.
pub fn companies_of(kind: Kind) -> &'static [Company; 10] {
    match kind {
        Kind::Taxi => &TAXI_COMPANIES,
        Kind::Truck => &TRUCK_COMPANIES,
    }
}

/// How many vehicles there can be: taxi plates have fewer forms than truck plates.
pub const PLATES_MAX: u32 = 26 * TAXIS_PER_LETTER;

const TAXIS_PER_LETTER: u32 = 10 * 26 * 100;

/// The plate of vehicle `index`, which is below [`PLATES_MAX`]: `T1A23` for a taxi, `AB123CD` for a truck. Neighbours in
/// number do not look alike: each index is multiplied by a number that has no factor in common with the count of
/// plates, which gives every plate once.
pub fn plate(kind: Kind, index: u32) -> Plate {
    let text = match kind {
        Kind::Taxi => taxi_plate(index),
        Kind::Truck => truck_plate(index),
    };
    text.parse()
        .expect("both forms are capital letters and digits, at most 7")
}

fn taxi_plate(index: u32) -> String {
    // T for taxi, then the letters after it.
    let first = letter((19 + index / TAXIS_PER_LETTER) % 26);
    let n = (index % TAXIS_PER_LETTER * 7_919 + 1_234) % TAXIS_PER_LETTER;
    let (digit, second, number) = (n / 2_600, letter(n / 100 % 26), n % 100);
    format!("{first}{digit}{second}{number:02}")
}

fn truck_plate(index: u32) -> String {
    const COUNT: u64 = 26 * 26 * 1_000 * 26 * 26;
    let n = (u64::from(index) * 100_000_007 + 20_051_984) % COUNT;
    let pair = |n: u64| {
        let n = (n % 676) as u32;
        format!("{}{}", letter(n / 26), letter(n % 26))
    };
    format!("{}{:03}{}", pair(n / 676_000), n / 676 % 1_000, pair(n))
}

fn letter(n: u32) -> char {
    char::from(b'A' + (n % 26) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn plates_are_unique_and_look_like_plates() {
        for kind in [Kind::Taxi, Kind::Truck] {
            let plates: BTreeSet<String> = (0..PLATES_MAX).map(|i| plate(kind, i).into()).collect();
            assert_eq!(plates.len(), PLATES_MAX as usize, "{kind}");
        }
        assert_eq!(plate(Kind::Taxi, 0).as_str(), "T0M34");
        assert_eq!(plate(Kind::Taxi, 26_000).as_str(), "U0M34");
        assert_eq!(plate(Kind::Truck, 0).as_str().len(), 7);
    }

    fn rgb(color: &str) -> [f64; 3] {
        [1, 3, 5].map(|i| f64::from(u8::from_str_radix(&color[i..i + 2], 16).unwrap()) / 255.0)
    }

    fn linear(rgb: [f64; 3]) -> [f64; 3] {
        rgb.map(|c| {
            if c <= 0.040_45 {
                c / 12.92
            } else {
                ((c + 0.055) / 1.055).powf(2.4)
            }
        })
    }

    /// Contrast as WCAG 2.2 defines it; 3 is what it asks of graphics (1.4.11).
    fn contrast(a: &str, b: &str) -> f64 {
        let luminance = |color| {
            let [r, g, b] = linear(rgb(color));
            0.2126 * r + 0.7152 * g + 0.0722 * b
        };
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    #[test]
    fn colors_can_be_told_from_light_and_dark_maps() {
        for (color, _) in LOOKS {
            for map in ["#f5f3ee", "#14181f"] {
                let contrast = contrast(color, map);
                assert!(contrast >= 3.0, "{color} on {map}: {contrast:.2}");
            }
        }
    }

    /// Linear RGB as seen with a kind of cone missing (Viénot, Brettel and Mollon, 1999).
    fn without(cone: &str, [r, g, b]: [f64; 3]) -> [f64; 3] {
        let (red, blue) = match cone {
            "long" => (0.112_38 * r + 0.887_62 * g, 0.004_01 * (r - g) + b),
            "medium" => (0.292_75 * r + 0.707_25 * g, -0.022_34 * (r - g) + b),
            _ => return [r, g, b],
        };
        [red, red, blue]
    }

    /// Distance of two colours in Oklab, ×100.
    fn apart(a: [f64; 3], b: [f64; 3]) -> f64 {
        let lab = |[r, g, b]: [f64; 3]| {
            let l = (0.412_221_470_8 * r + 0.536_332_536_3 * g + 0.051_445_992_9 * b).cbrt();
            let m = (0.211_903_498_2 * r + 0.680_699_545_1 * g + 0.107_396_956_6 * b).cbrt();
            let s = (0.088_302_461_9 * r + 0.281_718_837_6 * g + 0.629_978_700_5 * b).cbrt();
            [
                0.210_454_255_3 * l + 0.793_617_785_0 * m - 0.004_072_046_8 * s,
                1.977_998_495_1 * l - 2.428_592_205_0 * m + 0.450_593_709_9 * s,
                0.025_904_037_1 * l + 0.782_771_766_2 * m - 0.808_675_766_0 * s,
            ]
        };
        let (a, b) = (lab(a), lab(b));
        let square: f64 = a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum();
        square.sqrt() * 100.0
    }

    #[test]
    fn companies_of_one_shape_have_colors_that_stay_apart() {
        for (i, (color, shape)) in LOOKS.iter().enumerate() {
            for (other, other_shape) in &LOOKS[..i] {
                let seen = |cone| {
                    let [a, b] = [color, other].map(|c| without(cone, linear(rgb(c))));
                    apart(a, b)
                };
                assert!(seen("none") > 5.0, "{color} and {other}");
                if shape == other_shape {
                    for cone in ["long", "medium"] {
                        let distance = seen(cone);
                        assert!(distance > 8.0, "{color}, {other}, {cone}: {distance:.1}");
                    }
                }
            }
        }
    }

    #[test]
    fn names_fit_the_contract() {
        for kind in [Kind::Taxi, Kind::Truck] {
            let companies = companies_of(kind);
            let names: BTreeSet<&str> = companies.iter().map(|c| c.name).collect();
            assert_eq!(names.len(), 10);
            assert!(
                names
                    .iter()
                    .all(|n| n.len() < 64 && !n.contains(['/', '+', '#']))
            );
        }
    }
}
