//! Inputs near the seeds, always the same ones: a failure here is a failure everywhere.

use rand::Rng;
use rand::SeedableRng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

/// Bytes at which something changes: lengths, signs, and MQTT's own separators.
const INTERESTING: [u8; 12] = [0, 1, 2, 3, 0x7f, 0x80, 0xff, b'/', b'+', b'#', b'$', b'\n'];

/// An endless stream of mutated seeds.
pub(crate) struct Mutations<'a> {
    seeds: &'a [Vec<u8>],
    rng: ChaCha8Rng,
}

impl<'a> Mutations<'a> {
    pub(crate) fn new(seeds: &'a [Vec<u8>]) -> Self {
        Self {
            seeds,
            rng: ChaCha8Rng::seed_from_u64(1883),
        }
    }

    fn seed(&mut self) -> &'a [u8] {
        self.seeds.choose(&mut self.rng).expect("there are seeds")
    }

    fn mutate(&mut self, bytes: &mut Vec<u8>) {
        let at = self.rng.random_range(0..=bytes.len());
        let end = (at + self.rng.random_range(0..16)).min(bytes.len());
        match self.rng.random_range(0..6) {
            0 => drop(bytes.drain(at..end)),
            1 => bytes.insert(at, self.rng.random()),
            2 => bytes.extend_from_within(at..end),
            // The start of one and the end of another.
            3 => {
                let other = self.seed();
                bytes.truncate(at);
                bytes.extend_from_slice(&other[at.min(other.len())..]);
            }
            kind => {
                let value = INTERESTING.choose(&mut self.rng).copied();
                if let (Some(byte), Some(value)) = (bytes.get_mut(at), value) {
                    *byte = match kind {
                        4 => value,
                        _ => *byte ^ (1 << (value % 8)),
                    };
                }
            }
        }
    }
}

impl Iterator for Mutations<'_> {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        let mut bytes = self.seed().to_vec();
        for _ in 0..self.rng.random_range(1..=4) {
            self.mutate(&mut bytes);
        }
        Some(bytes)
    }
}
