//! `map-compile NAME` compiles `data/NAME/*.toml` to `data/NAME.osm.pbf`.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Parser;

/// Compiles a map written as readable TOML to .osm.pbf.
#[derive(Parser)]
struct Args {
    /// The map: a folder beside this tool, `manhattan` or `italy`.
    name: String,
    /// Where to write it [default: beside its folder].
    #[arg(long)]
    out: Option<PathBuf>,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let data = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let map = map_compile::compile(&data.join(&args.name))?;
    let out = args
        .out
        .unwrap_or_else(|| data.join(format!("{}.osm.pbf", args.name)));
    let bytes = map_compile::pbf::write(&map);
    std::fs::write(&out, &bytes).with_context(|| format!("cannot write {}", out.display()))?;
    println!(
        "{}: {} nodes, {} ways, {} bytes",
        out.display(),
        map.nodes.len(),
        map.ways.len(),
        bytes.len()
    );
    Ok(())
}
