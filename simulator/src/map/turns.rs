//! Which road one may take after which: the graph that routes are searched on.
//!
//! A node of it is a state: a directed road, and, while one is on the way through a restriction over several ways, how
//! far one has come in it. The first states are the roads themselves, with nothing behind them; a vehicle that sets off
//! is in one of those. A turn leads from one state to the next. One turns round only where nothing else is left, that
//! is in dead ends.

use std::collections::{BTreeMap, BTreeSet};

use super::prepare::Piece;
use super::restriction::{Restriction, Via};

/// A directed road before it has its number in the graph: twice its piece, plus one against the order of the points.
pub(super) type Side = u32;

/// All states and the rules by which one follows another.
pub(super) struct Automaton {
    /// By state: the road it is on. The state of a side with nothing behind it has the side's number.
    pub(super) side_of: Vec<Side>,
    /// Sequences of roads that may not be driven.
    no: BTreeSet<Vec<Side>>,
    /// After a sequence of roads, those that may follow.
    only: BTreeMap<Vec<Side>, BTreeSet<Side>>,
    /// Beginnings of such sequences, of two roads and more, with their states, and by state from the first such on.
    states: BTreeMap<Vec<Side>, u32>,
    behind: Vec<Vec<Side>>,
    /// By side: whether it is part of any of this.
    touched: Vec<bool>,
    /// By junction: the sides that start there.
    starts: Vec<Vec<Side>>,
    ends: Vec<u32>,
}

impl Automaton {
    pub(super) fn new(pieces: &[Piece], nodes: usize, restrictions: &[Restriction]) -> Self {
        let sides = u32::try_from(pieces.len() * 2).expect("pieces are counted in u32");
        let mut automaton = Self {
            side_of: (0..sides).collect(),
            no: BTreeSet::new(),
            only: BTreeMap::new(),
            states: BTreeMap::new(),
            behind: Vec::new(),
            touched: vec![false; pieces.len() * 2],
            starts: vec![Vec::new(); nodes],
            ends: vec![0; pieces.len() * 2],
        };
        for (piece, along) in pieces.iter().zip((0..).step_by(2)) {
            for (side, open, from, to) in [
                (along, piece.forward_mps, piece.from, piece.to),
                (along + 1, piece.backward_mps, piece.to, piece.from),
            ] {
                automaton.ends[side as usize] = to;
                if open.is_some() {
                    automaton.starts[from as usize].push(side);
                }
            }
        }
        let ways = Ways::new(pieces);
        for restriction in restrictions {
            for (behind, to) in ways.sequences(restriction) {
                automaton.restrict(restriction.only, behind, to);
            }
        }
        automaton
    }

    fn restrict(&mut self, only: bool, behind: Vec<Side>, to: Side) {
        for side in behind.iter().chain([&to]) {
            self.touched[*side as usize] = true;
        }
        for length in 2..=behind.len() {
            let beginning = &behind[..length];
            if !self.states.contains_key(beginning) {
                let state = u32::try_from(self.side_of.len()).expect("states are counted in u32");
                self.states.insert(beginning.to_vec(), state);
                self.side_of.push(beginning[length - 1]);
                self.behind.push(beginning.to_vec());
            }
        }
        if only {
            self.only.entry(behind).or_default().insert(to);
        } else {
            self.no.insert([behind, vec![to]].concat());
        }
    }

    /// The states that may follow one, on roads that `is_kept`.
    pub(super) fn after(&self, state: u32, is_kept: impl Fn(Side) -> bool) -> Vec<u32> {
        let side = self.side_of[state as usize];
        let plain = [side];
        let extra = (state as usize).checked_sub(self.touched.len());
        let behind = extra.map_or(&plain[..], |extra| &self.behind[extra]);
        let end = self.ends[side as usize] as usize;
        let follow = |next: Side| self.follow(behind, next);
        let ahead: Vec<u32> = self.starts[end]
            .iter()
            .filter(|next| **next != side ^ 1 && is_kept(**next))
            .filter_map(|next| follow(*next))
            .collect();
        if !ahead.is_empty() {
            return ahead;
        }
        let back = side ^ 1;
        let back = self.starts[end].contains(&back) && is_kept(back);
        back.then(|| follow(side ^ 1))
            .flatten()
            .into_iter()
            .collect()
    }

    /// The state after these roads and this one; nothing where that is forbidden.
    fn follow(&self, behind: &[Side], next: Side) -> Option<u32> {
        let here = behind[behind.len() - 1];
        if !self.touched[here as usize] {
            return Some(next);
        }
        let whole = [behind, &[next]].concat();
        let forbidden = (0..behind.len()).any(|from| {
            let only = self.only.get(&behind[from..]);
            self.no.contains(&whole[from..]) || only.is_some_and(|only| !only.contains(&next))
        });
        if forbidden {
            return None;
        }
        // The longest beginning of a restriction that one is now in; a shorter one is its tail.
        let state = (0..behind.len()).find_map(|from| self.states.get(&whole[from..]));
        Some(state.copied().unwrap_or(next))
    }
}

/// The pieces of each way.
struct Ways<'a> {
    pieces: &'a [Piece],
    of_way: BTreeMap<u32, Vec<u32>>,
}

impl<'a> Ways<'a> {
    fn new(pieces: &'a [Piece]) -> Self {
        let mut of_way: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for (piece, index) in pieces.iter().zip(0..) {
            of_way.entry(piece.way).or_default().push(index);
        }
        Self { pieces, of_way }
    }

    /// The sequences of roads that a restriction is about: what is behind, and what would follow. Empty when its ways do
    /// not meet as they should: at their ends.
    fn sequences(&self, restriction: &Restriction) -> Vec<(Vec<Side>, Side)> {
        let mut sequences = Vec::new();
        for from in &restriction.from {
            let beginnings: Vec<(Vec<Side>, u32)> = match &restriction.via {
                Via::Node(node) => self.into(*from, *node).map(|s| (vec![s], *node)).collect(),
                Via::Ways(via) => self.over(*from, via),
            };
            for (behind, node) in beginnings {
                for to in restriction.to.iter().flat_map(|to| self.out_of(*to, node)) {
                    sequences.push((behind.clone(), to));
                }
            }
        }
        sequences
    }

    /// The roads of a way that end at this end of it.
    fn into(&self, way: u32, node: u32) -> impl Iterator<Item = Side> + '_ {
        self.at_end(way, node)
            .map(|side| side ^ 1)
            .filter(|side| self.is_open(*side))
    }

    /// The roads of a way that start at this end of it.
    fn out_of(&self, way: u32, node: u32) -> impl Iterator<Item = Side> + '_ {
        self.at_end(way, node).filter(|side| self.is_open(*side))
    }

    /// The sides, open or not, that lead from an end of a way into it.
    fn at_end(&self, way: u32, node: u32) -> impl Iterator<Item = Side> + '_ {
        let of_way = self.of_way.get(&way).map_or(&[][..], Vec::as_slice);
        let first = of_way.first().map(|piece| piece * 2);
        let last = of_way.last().map(|piece| piece * 2 + 1);
        first
            .into_iter()
            .chain(last)
            .filter(move |side| self.ends(*side).0 == node)
    }

    /// All ways to drive from one way through these others, each from end to end, and where one comes out.
    fn over(&self, from: u32, via: &[u32]) -> Vec<(Vec<Side>, u32)> {
        let mut behind = Vec::new();
        for node in self.ends_of(via.first().copied().unwrap_or_default()) {
            behind.extend(self.into(from, node).map(|side| (vec![side], node)));
        }
        for way in via {
            behind = behind
                .into_iter()
                .flat_map(|(behind, node)| {
                    self.through(*way, node)
                        .into_iter()
                        .map(move |(sides, end)| ([&behind[..], &sides].concat(), end))
                })
                .collect();
        }
        behind
    }

    fn ends_of(&self, way: u32) -> BTreeSet<u32> {
        let of_way = self.of_way.get(&way).map_or(&[][..], Vec::as_slice);
        let first = of_way
            .first()
            .map(|piece| self.pieces[*piece as usize].from);
        let last = of_way.last().map(|piece| self.pieces[*piece as usize].to);
        first.into_iter().chain(last).collect()
    }

    /// The whole way from the end at `node` to the other one, in each direction that one may drive.
    fn through(&self, way: u32, node: u32) -> Vec<(Vec<Side>, u32)> {
        let of_way = self.of_way.get(&way).map_or(&[][..], Vec::as_slice);
        let along: Vec<Side> = of_way.iter().map(|piece| piece * 2).collect();
        let against: Vec<Side> = of_way.iter().rev().map(|piece| piece * 2 + 1).collect();
        [along, against]
            .into_iter()
            .filter_map(|sides| {
                let (first, last) = (*sides.first()?, *sides.last()?);
                let joined = sides
                    .windows(2)
                    .all(|pair| self.ends(pair[0]).1 == self.ends(pair[1]).0);
                let open = sides.iter().all(|side| self.is_open(*side));
                let fits = joined && open && self.ends(first).0 == node;
                fits.then(|| (sides, self.ends(last).1))
            })
            .collect()
    }

    /// Where a side starts and ends.
    fn ends(&self, side: Side) -> (u32, u32) {
        let piece = &self.pieces[side as usize / 2];
        if side.is_multiple_of(2) {
            (piece.from, piece.to)
        } else {
            (piece.to, piece.from)
        }
    }

    fn is_open(&self, side: Side) -> bool {
        self.pieces[side as usize / 2].speed_mps(side).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::pbf::{Extract, Way};
    use crate::map::profile::Rules;
    use crate::map::roads_for_tests::at;
    use crate::map::{RoadId, RoadMap, prepare};
    use fleet::Kind;

    /// Junctions 0 to 8 in a grid of 3 by 3, numbered from the south-west, row by row; each street between two of them
    /// is a way of its own. Ways 0 to 5 lead east, 6 to 11 north.
    fn town(restrictions: Vec<Restriction>) -> RoadMap {
        let east = (0..3)
            .flat_map(|row| (0..2).map(move |column| [row * 3 + column, row * 3 + column + 1]));
        let north = (0..2)
            .flat_map(|row| (0..3).map(move |column| [row * 3 + column, row * 3 + column + 3]));
        let extract = Extract {
            points: (0..9)
                .map(|i| at(f64::from(i / 3) * 100.0, f64::from(i % 3) * 100.0))
                .collect(),
            ways: east
                .chain(north)
                .map(|ends: [u32; 2]| Way {
                    nodes: ends.into_iter().map(Some).collect(),
                    rules: Rules {
                        forward_mps: Some(10.0),
                        backward_mps: Some(10.0),
                        duration_s: None,
                        can_stop: true,
                    },
                })
                .collect(),
            places: vec![],
            restrictions,
        };
        RoadMap::new(prepare(&extract, Kind::Taxi).unwrap())
    }

    /// The road from one junction to a neighbour; junctions are numbered as they come up, so look by position.
    fn road(map: &RoadMap, from: u32, to: u32) -> RoadId {
        let ends = [from, to]
            .map(|i| fleet::LatLng::from(at(f64::from(i / 3) * 100.0, f64::from(i % 3) * 100.0)));
        map.graph
            .edge_indices()
            .find(|road| {
                let (a, b) = map.graph.edge_endpoints(*road).unwrap();
                map.graph[a].distance_m(ends[0]) < 1.0 && map.graph[b].distance_m(ends[1]) < 1.0
            })
            .unwrap()
    }

    /// Whether one may drive over these junctions.
    fn may(map: &RoadMap, junctions: &[u32]) -> bool {
        let roads: Vec<RoadId> = junctions
            .windows(2)
            .map(|pair| road(map, pair[0], pair[1]))
            .collect();
        let mut state = map.states(roads[0]).next().unwrap();
        roads[1..].iter().all(|road| {
            let mut next = map.turns.neighbors_slice(state).iter();
            let next = next.find(|next| map.road(**next) == *road);
            state = next.copied().unwrap_or_default();
            next.is_some()
        })
    }

    fn restriction(only: bool, from: u32, via: Via, to: u32) -> Restriction {
        Restriction {
            only,
            from: vec![from],
            via,
            to: vec![to],
        }
    }

    #[test]
    fn nobody_turns_round_but_in_dead_ends() {
        let map = town(vec![]);
        assert!(may(&map, &[3, 4, 5]));
        assert!(may(&map, &[3, 4, 7]));
        assert!(!may(&map, &[3, 4, 3]));
        // Where restrictions leave nothing else, one turns round as in a dead end.
        let closed = [1, 7].map(|way| restriction(false, 0, Via::Node(1), way));
        let map = town(closed.to_vec());
        assert!(may(&map, &[0, 1, 0]) && !may(&map, &[0, 1, 4]) && !may(&map, &[2, 1, 2]));
    }

    #[test]
    fn no_left_turn_forbids_that_turn_alone() {
        // From the west (way 2) to the north (way 10) at the middle.
        let map = town(vec![restriction(false, 2, Via::Node(4), 10)]);
        assert!(!may(&map, &[3, 4, 7]));
        assert!(may(&map, &[3, 4, 5]) && may(&map, &[3, 4, 1]));
        assert!(may(&map, &[5, 4, 7]) && may(&map, &[7, 4, 3]));
    }

    #[test]
    fn only_straight_on_forbids_the_others() {
        let map = town(vec![restriction(true, 2, Via::Node(4), 3)]);
        assert!(may(&map, &[3, 4, 5]));
        assert!(!may(&map, &[3, 4, 7]) && !may(&map, &[3, 4, 1]));
        assert!(may(&map, &[1, 4, 7]));
    }

    #[test]
    fn several_ways_may_be_entered_from() {
        let mut no_entry = restriction(false, 2, Via::Node(4), 10);
        no_entry.from.push(3);
        let map = town(vec![no_entry]);
        assert!(!may(&map, &[3, 4, 7]) && !may(&map, &[5, 4, 7]));
        assert!(may(&map, &[1, 4, 7]));
    }

    #[test]
    fn a_restriction_over_a_way_is_for_those_who_come_by_it() {
        // South at the west side (way 9), east in the middle row (way 2), then north (way 10): a turn round the block.
        let map = town(vec![restriction(false, 9, Via::Ways(vec![2]), 10)]);
        assert!(!may(&map, &[6, 3, 4, 7]));
        assert!(may(&map, &[6, 3, 4, 5]));
        assert!(may(&map, &[0, 3, 4, 7]) && may(&map, &[3, 4, 7]));
    }

    #[test]
    fn a_restriction_over_two_ways() {
        let map = town(vec![restriction(false, 6, Via::Ways(vec![2, 3]), 11)]);
        assert!(!may(&map, &[0, 3, 4, 5, 8]));
        assert!(may(&map, &[0, 3, 4, 5, 2]) && may(&map, &[0, 3, 4, 7]));
        assert!(may(&map, &[6, 3, 4, 5, 8]));
    }

    #[test]
    fn the_only_turn_after_a_way() {
        let map = town(vec![restriction(true, 6, Via::Ways(vec![2]), 3)]);
        assert!(may(&map, &[0, 3, 4, 5]));
        assert!(!may(&map, &[0, 3, 4, 7]) && !may(&map, &[0, 3, 4, 1]));
        assert!(may(&map, &[0, 3, 6]) && may(&map, &[6, 3, 4, 7]));
    }

    #[test]
    fn one_restriction_may_end_where_another_goes_on() {
        let map = town(vec![
            restriction(false, 6, Via::Ways(vec![2, 3]), 11),
            restriction(false, 2, Via::Ways(vec![3]), 8),
        ]);
        assert!(!may(&map, &[0, 3, 4, 5, 8]) && !may(&map, &[0, 3, 4, 5, 2]));
        assert!(!may(&map, &[6, 3, 4, 5, 2]) && may(&map, &[6, 3, 4, 5, 8]));
    }

    #[test]
    fn a_road_that_restrictions_close_is_not_driven() {
        // Nothing may follow from the west into the middle but what is forbidden too.
        let map = town(vec![
            restriction(true, 2, Via::Node(4), 3),
            restriction(false, 2, Via::Node(4), 3),
        ]);
        assert_eq!(map.graph.edge_count(), 23, "one of 24 is a trap");
        for state in 0..map.turns.node_count() as u32 {
            assert!(!map.turns.neighbors_slice(state).is_empty());
        }
    }
}
