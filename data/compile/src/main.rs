//! `map-compile NAME` compiles `data/NAME/*.toml` to `data/NAME.osm.pbf`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;

/// Compiles a map written as readable TOML to .osm.pbf.
#[derive(Parser)]
struct Args {
    /// The map: a folder in `data/`, `manhattan` or `italy`.
    name: String,
    /// Where to write it [default: beside its folder].
    #[arg(long)]
    out: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("map-compile: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<()> {
    let data = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let map = map_compile::compile(&data.join(&args.name))?;
    let beside = data.join(format!("{}.osm.pbf", args.name));
    let out = args.out.as_ref().unwrap_or(&beside);
    let bytes = map_compile::pbf::write(&map);
    std::fs::write(out, &bytes).with_context(|| format!("cannot write {}", out.display()))?;
    println!(
        "{}: {} nodes, {} ways, {} bytes",
        out.display(),
        map.nodes.len(),
        map.ways.len(),
        bytes.len()
    );
    Ok(())
}
