//! The fuzz targets without a fuzzer: over their seeds, and over a fixed number of mutations of these. `fuzz/` runs
//! the same functions for as long as one likes.

#![allow(clippy::unwrap_used)] // what can't be read or made is a broken test

mod decode;
mod filter;
mod mutate;
mod seeds;
mod session;

use std::collections::BTreeMap;
use std::path::PathBuf;

/// Mutations of each target: a second or two.
const ROUNDS: usize = 20_000;

#[test]
fn decode_holds() {
    check("decode", decode::run);
}

#[test]
fn filter_holds() {
    check("filter", filter::run);
}

#[test]
fn session_holds() {
    check("session", session::run);
}

/// Seeds that are packets are made by code; the files are what a fuzzer starts with. `UPDATE_SEEDS=1` writes them.
#[test]
fn seed_files_are_what_the_code_makes() {
    for (target, made) in [("decode", seeds::decode()), ("session", seeds::session())] {
        if std::env::var_os("UPDATE_SEEDS").is_some() {
            for (name, bytes) in &made {
                std::fs::write(folder(target).join(name), bytes).unwrap();
            }
        }
        let same = read(target) == made;
        assert!(
            same,
            "seeds of {target} are old: run again with UPDATE_SEEDS=1"
        );
    }
}

fn check(target: &str, run: fn(&[u8])) {
    let seeds: Vec<Vec<u8>> = read(target).into_values().collect();
    assert!(!seeds.is_empty(), "no seeds for {target}");
    let mutations = mutate::Mutations::new(&seeds).take(ROUNDS);
    for input in seeds.iter().cloned().chain(mutations) {
        let _shown = ShownOnPanic(&input);
        run(&input);
    }
}

/// Says which input it was, so that it can become a seed.
struct ShownOnPanic<'a>(&'a [u8]);

impl Drop for ShownOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the input was b\"{}\"", self.0.escape_ascii());
        }
    }
}

fn folder(target: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/seeds")).join(target)
}

fn read(target: &str) -> BTreeMap<String, Vec<u8>> {
    std::fs::read_dir(folder(target))
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            (name, std::fs::read(entry.path()).unwrap())
        })
        .collect()
}
