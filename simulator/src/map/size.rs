//! What fits under a bridge: the figures of a vehicle against those of a way or a barrier.

use fleet::Kind;

use super::profile::Tags;
use super::units::{metres, tonnes};

/// Weight and outer measures of a vehicle.
struct Size {
    weight_t: f64,
    axle_t: f64,
    height_m: f64,
    width_m: f64,
    length_m: f64,
}

/// An articulated lorry of five axles at the limits of Directive 96/53/EC, Annex I: 2.2.2, 3.4.1, 1.3, 1.2 and 1.1.
const TRUCK: Size = Size {
    weight_t: 40.0,
    axle_t: 11.5,
    height_m: 4.0,
    width_m: 2.55,
    length_m: 16.5,
};

/// A large saloon or a small van with five people. A guess.
const TAXI: Size = Size {
    weight_t: 2.5,
    axle_t: 1.4,
    height_m: 1.9,
    width_m: 1.95,
    length_m: 5.0,
};

/// Whether a vehicle of this kind may pass the limits that these tags name. A value that is no figure (`default`,
/// `none`, `unsigned`) is no limit, but for `below_default`: then a truck as high as the law lets it does not fit.
pub(super) fn fits(kind: Kind, tags: &impl Tags) -> bool {
    let size = match kind {
        Kind::Taxi => &TAXI,
        Kind::Truck => &TRUCK,
    };
    let within = |key: &str, read: fn(&str) -> Option<f64>, ours: f64| {
        let limit = tags
            .value(&format!("{key}:hgv"))
            .filter(|_| kind == Kind::Truck)
            .or_else(|| tags.value(key));
        limit.is_none_or(|text| {
            let below = text == "below_default" && kind == Kind::Truck;
            !below && read(text).is_none_or(|limit| ours <= limit)
        })
    };
    within("maxweight", tonnes, size.weight_t)
        && within("maxweightrating", tonnes, size.weight_t)
        && within("maxgcweight", tonnes, size.weight_t)
        && within("maxaxleload", tonnes, size.axle_t)
        && within("maxheight", metres, size.height_m)
        && within("maxheight:physical", metres, size.height_m)
        && within("maxwidth", metres, size.width_m)
        && within("maxwidth:physical", metres, size.width_m)
        && within("maxlength", metres, size.length_m)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_truck_does_not_fit_where_a_taxi_does() {
        for (key, value, taxi, truck) in [
            ("maxweight", "7.5", true, false),
            ("maxweight", "40", true, true),
            ("maxweight", "44 t", true, true),
            ("maxweight:hgv", "12", true, false),
            ("maxweightrating", "3.5", true, false),
            ("maxaxleload", "8", true, false),
            ("maxheight", "3.8", true, false),
            ("maxheight", "4.0", true, true),
            ("maxheight", "12'6\"", true, false),
            ("maxheight", "default", true, true),
            ("maxheight", "below_default", true, false),
            ("maxheight", "1.7", false, false),
            ("maxlength", "12", true, false),
            ("maxlength", "18.75", true, true),
            ("maxwidth", "2.3", true, false),
            ("maxweight", "none", true, true),
        ] {
            let tags = &[(key, value)][..];
            assert_eq!(fits(Kind::Taxi, &tags), taxi, "{key}={value}");
            assert_eq!(fits(Kind::Truck, &tags), truck, "{key}={value}");
        }
    }
}
