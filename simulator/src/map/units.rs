//! Figures on signs, as OpenStreetMap writes them: speeds, speeds by zone, weights and lengths.

/// Kilometres per hour in a mile per hour and in a knot.
const MPH_KMH: f64 = 1.609_344;
const KNOT_KMH: f64 = 1.852;

/// What a vehicle does where the sign says `walk`. A guess: most countries give no figure.
const WALK_KMH: f64 = 7.0;

/// The speed of a `maxspeed` in km/h: `50`, `50 km/h`, `30 mph`, `walk`, a zone (see [`zone_kmh`]), or infinite for
/// `none`. Nothing for what says no figure, such as `signals`.
pub(super) fn speed_kmh(text: &str) -> Option<f64> {
    let text = text.trim();
    match text {
        "none" => return Some(f64::INFINITY),
        "walk" => return Some(WALK_KMH),
        _ => (),
    }
    if text.contains(':') {
        return zone_kmh(text);
    }
    let (number, unit) = number(text)?;
    let kmh = match unit {
        "" | "km/h" | "kmh" | "kph" => number,
        "mph" => number * MPH_KMH,
        "knots" | "knot" => number * KNOT_KMH,
        _ => return None,
    };
    (kmh > 0.0).then_some(kmh)
}

/// The speed of a zone in km/h, such as `IT:rural`, `DE:zone:30`, `FR:30`, `GB:nsl_single`; infinite where the zone has
/// no limit. Nothing for a zone or country that is not in the table.
///
/// The figures are the general limits for cars, written down from common knowledge and not looked up law by law. Where a
/// way says its speed in numbers, they are not asked for.
pub(super) fn zone_kmh(text: &str) -> Option<f64> {
    let (country, zone) = text.trim().split_once(':')?;
    // `DE-BY:urban`, `BE-VLG:rural`: the country decides, but for Flanders.
    let state = country.split('-').next()?;
    let zone = zone.strip_prefix("zone").unwrap_or(zone);
    let zone = zone.trim_start_matches(':');
    if let Some((kmh, "")) = number(zone) {
        let unit = if state == "GB" { MPH_KMH } else { 1.0 };
        return (kmh > 0.0).then_some(kmh * unit);
    }
    let (urban, rural, motorway) = match state {
        "AT" => (50.0, 100.0, 130.0),
        "BE" if country == "BE-VLG" => (50.0, 70.0, 120.0),
        "BE" => (50.0, 90.0, 120.0),
        "CH" => (50.0, 80.0, 120.0),
        "DE" => (50.0, 100.0, f64::INFINITY),
        "DK" => (50.0, 80.0, 130.0),
        "ES" | "PT" => (50.0, 90.0, 120.0),
        "FR" => (50.0, 80.0, 130.0),
        "GB" | "UK" => (30.0 * MPH_KMH, 60.0 * MPH_KMH, 70.0 * MPH_KMH),
        "CZ" | "HR" | "HU" | "IT" | "LU" | "RO" | "SI" | "SK" => (50.0, 90.0, 130.0),
        "NL" => (50.0, 80.0, 100.0),
        "PL" => (50.0, 90.0, 140.0),
        _ => return None,
    };
    match zone {
        "urban" | "nsl_restricted" => Some(urban),
        "rural" | "nsl_single" => Some(rural),
        "motorway" | "nsl_dual" => Some(motorway),
        "living_street" | "pedestrian_zone" | "walk" => Some(WALK_KMH),
        _ => None,
    }
}

/// A weight in tonnes: `7.5`, `7.5 t`, `3500 kg`, `16000 lbs`, `10 st` (short tons).
pub(super) fn tonnes(text: &str) -> Option<f64> {
    let (number, unit) = number(text)?;
    match unit {
        "" | "t" | "tonnes" => Some(number),
        "kg" => Some(number / 1_000.0),
        "lbs" | "lb" => Some(number * 0.000_453_592_37),
        "st" => Some(number * 0.907_184_74),
        _ => None,
    }
}

/// A length in metres: `3.8`, `3.8 m`, `380 cm`, `12'6"`, `12 ft`.
pub(super) fn metres(text: &str) -> Option<f64> {
    const FOOT_M: f64 = 0.3048;
    let (first, unit) = number(text)?;
    match unit {
        "" | "m" | "metres" => Some(first),
        "cm" => Some(first / 100.0),
        "km" => Some(first * 1_000.0),
        "ft" | "feet" => Some(first * FOOT_M),
        _ => {
            let inches = unit.strip_prefix('\'')?.trim().trim_end_matches('"');
            let inches = if inches.is_empty() {
                0.0
            } else {
                number(inches).filter(|(_, unit)| unit.is_empty())?.0
            };
            Some((first + inches / 12.0) * FOOT_M)
        }
    }
}

/// A `duration` in seconds: `12`, `00:12`, `1:30:00` (minutes; hours and minutes; with seconds), `PT1H30M`.
pub(super) fn duration_s(text: &str) -> Option<f64> {
    let text = text.trim();
    let seconds = if let Some(iso) = text.strip_prefix("PT") {
        let (mut rest, mut seconds) = (iso, 0.0);
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit())?;
            let unit = match rest.get(digits..=digits)? {
                "H" => 3_600.0,
                "M" => 60.0,
                "S" => 1.0,
                _ => return None,
            };
            seconds += rest.get(..digits)?.parse::<f64>().ok()? * unit;
            rest = rest.get(digits + 1..)?;
        }
        seconds
    } else {
        let parts: Option<Vec<f64>> = text
            .split(':')
            .map(|part| part.parse::<u32>().ok().map(f64::from))
            .collect();
        match parts?[..] {
            [minutes] => minutes * 60.0,
            [hours, minutes] => hours * 3_600.0 + minutes * 60.0,
            [hours, minutes, seconds] => hours * 3_600.0 + minutes * 60.0 + seconds,
            _ => return None,
        }
    };
    (seconds > 0.0).then_some(seconds)
}

/// A decimal number and what follows it.
fn number(text: &str) -> Option<(f64, &str)> {
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    Some((number.parse().ok()?, unit.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(read: fn(&str) -> Option<f64>, table: &[(&str, Option<f64>)]) {
        for (text, expected) in table {
            let got = read(text);
            let same = match (got, expected) {
                (Some(a), Some(b)) => a == *b || (a - b).abs() < 0.005,
                (a, b) => a.is_none() && b.is_none(),
            };
            assert!(same, "{text}: {got:?} instead of {expected:?}");
        }
    }

    #[test]
    fn speeds() {
        check(
            speed_kmh,
            &[
                ("30", Some(30.0)),
                ("50 km/h", Some(50.0)),
                ("25 mph", Some(40.234)),
                ("25mph", Some(40.234)),
                ("10 knots", Some(18.52)),
                ("walk", Some(7.0)),
                ("none", Some(f64::INFINITY)),
                ("signals", None),
                ("variable", None),
                ("0", None),
                ("fast", None),
                ("50;30", None),
                ("", None),
                ("DE:urban", Some(50.0)),
                ("IT:rural", Some(90.0)),
                ("BE-VLG:rural", Some(70.0)),
                ("BE-WAL:rural", Some(90.0)),
                ("DE:motorway", Some(f64::INFINITY)),
                ("DE:zone30", Some(30.0)),
                ("DE:zone:30", Some(30.0)),
                ("FR:30", Some(30.0)),
                ("GB:zone20", Some(32.187)),
                ("GB:nsl_single", Some(96.561)),
                ("AT:living_street", Some(7.0)),
                ("XX:urban", None),
                ("DE:bicycle_road", None),
                (":", None),
            ],
        );
    }

    #[test]
    fn weights_and_lengths() {
        check(
            tonnes,
            &[
                ("7.5", Some(7.5)),
                ("7.5 t", Some(7.5)),
                ("3500 kg", Some(3.5)),
                ("16000 lbs", Some(7.257)),
                ("10 st", Some(9.072)),
                ("none", None),
                ("unsigned", None),
                ("5 cows", None),
            ],
        );
        check(
            metres,
            &[
                ("3.8", Some(3.8)),
                ("3.8 m", Some(3.8)),
                ("380cm", Some(3.8)),
                ("12'6\"", Some(3.81)),
                ("12'", Some(3.658)),
                ("12 ft", Some(3.658)),
                ("default", None),
                ("12'x", None),
                ("12\"", None),
            ],
        );
    }

    #[test]
    fn durations() {
        check(
            duration_s,
            &[
                ("12", Some(720.0)),
                ("00:12", Some(720.0)),
                ("1:30", Some(5_400.0)),
                ("01:30:30", Some(5_430.0)),
                ("PT1H30M", Some(5_400.0)),
                ("PT20S", Some(20.0)),
                ("PT", None),
                ("PTx", None),
                ("PT5", None),
                ("soon", None),
                ("0", None),
                ("1:2:3:4", None),
            ],
        );
    }
}
