//! What is driven: the strongly connected parts of the network, with its turn restrictions.
//!
//! From every road that is kept a vehicle gets to every other one of its part, and is never stuck.

use std::cmp::Reverse;

use petgraph::Directed;
use petgraph::algo::kosaraju_scc;
use petgraph::graph::{Graph, NodeIndex};

use super::prepare::Piece;
use super::restriction::Restriction;
use super::turns::{Automaton, Side};

/// A part of the network counts when it has this share of the longest part's length. Smaller ones are specks (a car
/// park, a road cut off at the edge of an extract) in which a vehicle would only go round in circles. A guess: of Italy
/// it leaves the mainland, Sicily and Sardinia.
const COMPONENT_SHARE_MIN: f64 = 0.01;

/// The states that vehicles can be in, renumbered: first one for each road, in the order of the pieces, the one along a
/// piece before the one against it.
#[derive(Debug, Default)]
pub(super) struct Connected {
    /// Metres of road by part, longest first.
    pub(super) lengths_m: Vec<f64>,
    /// By state: the road, counted in the same order.
    pub(super) road_of: Vec<u32>,
    /// By state: those that may follow.
    pub(super) turns: Vec<Vec<u32>>,
}

/// Keeps of `pieces` what lies in a part of some size, and numbers the parts.
pub(super) fn keep(
    pieces: &mut Vec<Piece>,
    nodes: usize,
    restrictions: &[Restriction],
) -> Connected {
    let automaton = Automaton::new(pieces, nodes, restrictions);
    // What can't be left even if one may turn round everywhere goes first, so that a street into it counts as the dead
    // end that it is.
    let mut kept = around(pieces, nodes);
    loop {
        let (part_of, lengths_m) = parts(&automaton, pieces, &kept);
        let next = survivors(&automaton, &part_of, &kept);
        if next == kept {
            return renumber(&automaton, pieces, &part_of, &kept, lengths_m);
        }
        kept = next;
    }
}

/// By side: whether one gets from its end back to its start, when one may turn everywhere.
fn around(pieces: &[Piece], nodes: usize) -> Vec<bool> {
    let mut graph: Graph<(), (), Directed, u32> = Graph::with_capacity(nodes, pieces.len() * 2);
    for _ in 0..nodes {
        graph.add_node(());
    }
    for piece in pieces {
        let (from, to) = (
            NodeIndex::new(piece.from as usize),
            NodeIndex::new(piece.to as usize),
        );
        if piece.forward_mps.is_some() {
            graph.add_edge(from, to, ());
        }
        if piece.backward_mps.is_some() {
            graph.add_edge(to, from, ());
        }
    }
    let mut part_of = vec![0; nodes];
    for (part, members) in kosaraju_scc(&graph).iter().enumerate() {
        for node in members {
            part_of[node.index()] = part;
        }
    }
    let within = |piece: &Piece| part_of[piece.from as usize] == part_of[piece.to as usize];
    pieces
        .iter()
        .flat_map(|piece| {
            let speeds = [piece.forward_mps, piece.backward_mps];
            speeds.map(|speed| speed.is_some() && within(piece))
        })
        .collect()
}

/// By state: the part it belongs to, where that is one of some size. And the lengths of the parts, longest first.
fn parts(automaton: &Automaton, pieces: &[Piece], kept: &[bool]) -> (Vec<Option<u32>>, Vec<f64>) {
    let states = automaton.side_of.len();
    let mut graph: Graph<(), (), Directed, u32> = Graph::with_capacity(states, states * 2);
    for _ in 0..states {
        graph.add_node(());
    }
    let is_kept = |side: Side| kept[side as usize];
    for state in 0..states as u32 {
        if is_kept(automaton.side_of[state as usize]) {
            for next in automaton.after(state, is_kept) {
                graph.add_edge(NodeIndex::from(state), NodeIndex::from(next), ());
            }
        }
    }
    // A single state is no part, unless one can drive round and round on it.
    let mut parts: Vec<(f64, Vec<NodeIndex>)> = kosaraju_scc(&graph)
        .into_iter()
        .filter(|members| members.len() > 1 || graph.contains_edge(members[0], members[0]))
        .map(|members| {
            let mut on: Vec<u32> = members
                .iter()
                .map(|state| automaton.side_of[state.index()] / 2)
                .collect();
            on.sort_unstable();
            on.dedup();
            (
                on.iter()
                    .map(|piece| pieces[*piece as usize].length_m)
                    .sum(),
                members,
            )
        })
        .collect();
    let longest_m = parts.iter().map(|part| part.0).fold(0.0, f64::max);
    parts.retain(|part| part.0 >= longest_m * COMPONENT_SHARE_MIN);
    // Millimetres, so that the order is total.
    parts.sort_by_key(|(length_m, members)| {
        (
            Reverse((length_m * 1_000.0) as u64),
            members.iter().min().copied(),
        )
    });
    let mut part_of = vec![None; states];
    for ((_, members), part) in parts.iter().zip(0..) {
        for state in members {
            part_of[state.index()] = Some(part);
        }
    }
    (part_of, parts.into_iter().map(|part| part.0).collect())
}

/// By side: whether it can stay, because a state of it is in a part, the other side of its piece is in no longer one,
/// and who sets off on it gets into its part.
fn survivors(automaton: &Automaton, part_of: &[Option<u32>], kept: &[bool]) -> Vec<bool> {
    let part_of_side = part_of_side(automaton, part_of, kept.len());
    let is_kept = |side: Side| kept[side as usize];
    (0..kept.len())
        .map(|side| {
            let Some(part) = part_of_side[side] else {
                return false;
            };
            let other_is_longer = part_of_side[side ^ 1].is_some_and(|other| other < part);
            let after = automaton.after(side as u32, is_kept);
            let gets_in = |next: &u32| part_of[*next as usize] == Some(part);
            kept[side] && !other_is_longer && after.iter().any(gets_in)
        })
        .collect()
}

/// Takes out of `pieces` what is not kept, and numbers what is.
fn renumber(
    automaton: &Automaton,
    pieces: &mut Vec<Piece>,
    part_of: &[Option<u32>],
    kept: &[bool],
    lengths_m: Vec<f64>,
) -> Connected {
    let sides = kept.len();
    let part_of_side = part_of_side(automaton, part_of, sides);
    let states = (0..automaton.side_of.len()).filter(|state| {
        let side = automaton.side_of[*state] as usize;
        let is_start = *state < sides;
        kept[side] && (is_start || part_of[*state] == part_of_side[side])
    });
    let mut number_of: Vec<Option<u32>> = vec![None; automaton.side_of.len()];
    let states: Vec<usize> = states.collect();
    for (state, number) in states.iter().zip(0..) {
        number_of[*state] = Some(number);
    }
    let is_kept = |side: Side| kept[side as usize];
    let mut connected = Connected {
        lengths_m,
        ..Connected::default()
    };
    for state in &states {
        let side = automaton.side_of[*state] as usize;
        let turns = automaton.after(*state as u32, is_kept).into_iter();
        // A state that has no way back into the part is a trap: no turn leads there.
        let turns = turns.filter(|next| part_of[*next as usize] == part_of_side[side]);
        connected
            .turns
            .push(turns.filter_map(|next| number_of[next as usize]).collect());
        connected.road_of.extend(number_of[side]);
    }
    let mut side = 0;
    pieces.retain_mut(|piece| {
        let open = [kept[side], kept[side + 1]];
        piece.forward_mps = piece.forward_mps.filter(|_| open[0]);
        piece.backward_mps = piece.backward_mps.filter(|_| open[1]);
        let part = part_of_side[side].filter(|_| open[0]);
        let part = part.or(part_of_side[side + 1].filter(|_| open[1]));
        piece.component = part.unwrap_or_default() as usize;
        side += 2;
        open[0] || open[1]
    });
    connected
}

/// By side: the longest part that a state of it is in.
fn part_of_side(automaton: &Automaton, part_of: &[Option<u32>], sides: usize) -> Vec<Option<u32>> {
    let mut best: Vec<Option<u32>> = vec![None; sides];
    for (side, part) in automaton.side_of.iter().zip(part_of) {
        let side = *side as usize;
        best[side] = best[side].into_iter().chain(*part).min();
    }
    best
}
