//! Turn restrictions: relations of `type=restriction`, as in the OpenStreetMap wiki's `Relation:restriction`.
//!
//! What is read: `restriction` and the same for one kind of vehicle (`restriction:hgv`), with `no_*` and `only_*`, over a
//! node or over ways, and `except`. What is not: conditions by the hour (`restriction:conditional`).

use fleet::Kind;

use super::profile::{Tags, names};

/// A turn that is forbidden, or the only one that is not. Ways and nodes are known by their index in the extract.
#[derive(Clone, Debug, PartialEq)]
pub struct Restriction {
    /// Whether the turn is the only one that is allowed, to who has come from `from` over `via`.
    pub only: bool,
    /// From one of these ways.
    pub from: Vec<u32>,
    /// Over this.
    pub via: Via,
    /// To one of these ways.
    pub to: Vec<u32>,
}

/// What lies between the two ways of a restriction.
#[derive(Clone, Debug, PartialEq)]
pub enum Via {
    /// The node where they meet.
    Node(u32),
    /// Ways, from one of their ends to the other, in this order.
    Ways(Vec<u32>),
}

/// Whether a relation with these tags restricts `kind`: then whether it names the only turn that is allowed.
pub fn is_only(kind: Kind, tags: &impl Tags) -> Option<bool> {
    // `restriction:hgv` as the type is an old way to write the same.
    let is_restriction = tags.value("type")?.starts_with("restriction");
    let excepted = tags.value("except").is_some_and(|except| {
        let mut except = except.split(';').map(str::trim);
        except.any(|name| names(kind).contains(&name))
    });
    if !is_restriction || excepted {
        return None;
    }
    let value = names(kind)
        .iter()
        .find_map(|name| tags.value(&format!("restriction:{name}")))
        .or_else(|| tags.value("restriction"))?;
    match value.split_once('_')?.0 {
        "no" => Some(false),
        "only" => Some(true),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_say_whom_a_restriction_is_for() {
        let no = Some(false);
        for (tags, taxi, truck) in [
            (&[("restriction", "no_left_turn")][..], no, no),
            (
                &[("restriction", "only_straight_on")],
                Some(true),
                Some(true),
            ),
            (&[("restriction", "no_u_turn")], no, no),
            (&[("restriction:hgv", "no_right_turn")], None, no),
            (
                &[("restriction", "no_entry"), ("except", "psv;bicycle")],
                None,
                no,
            ),
            (&[("restriction", "no_entry"), ("except", "hgv")], no, None),
            (
                &[("restriction", "no_entry"), ("except", "motorcar; taxi")],
                None,
                no,
            ),
            (
                &[("restriction", "no_entry"), ("except", "bicycle")],
                no,
                no,
            ),
            (
                &[("restriction:conditional", "no_left_turn @ (07:00-09:00)")],
                None,
                None,
            ),
            (&[("restriction", "stop")], None, None),
            (&[("restriction", "give_way")], None, None),
        ] {
            let tags = [tags, &[("type", "restriction")]].concat();
            assert_eq!(is_only(Kind::Taxi, &&tags[..]), taxi, "{tags:?}");
            assert_eq!(is_only(Kind::Truck, &&tags[..]), truck, "{tags:?}");
        }
        let route = [("type", "route"), ("restriction", "no_left_turn")];
        assert_eq!(is_only(Kind::Taxi, &&route[..]), None);
    }
}
