//! Builds the browser client with npm, to be embedded: `npm ci` when the packages are missing or not those of the lock
//! file, then `npm run build`. Needs the network for the first, nothing for the second.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    // Everything that the build reads; the folder as a whole would include what npm installs.
    for input in [
        "src",
        "package.json",
        "package-lock.json",
        "tsconfig.json",
        "vite.config.ts",
    ] {
        println!("cargo::rerun-if-changed=client/{input}");
    }
    println!("cargo::rerun-if-changed=build.rs");
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            // Cargo shows one line for each of these.
            for line in reason.lines() {
                println!("cargo::error={line}");
            }
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<(), String> {
    let variable = |name| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .ok_or(format!("no {name}"))
    };
    let client = variable("CARGO_MANIFEST_DIR")?.join("client");
    let out = variable("OUT_DIR")?.join("client");
    // Two builds at once, of two target directories, must not install into the same folder at once.
    let lock = File::open(client.join("package.json"))
        .and_then(|file| file.lock().map(|()| file))
        .map_err(|error| {
            format!(
                "can't lock {}: {error}",
                client.join("package.json").display()
            )
        })?;
    if !is_installed(&client) {
        npm(&client, &out, &["ci", "--no-audit", "--no-fund"])?;
    }
    npm(&client, &out, &["run", "build"])?;
    drop(lock);
    Ok(())
}

/// Whether npm has installed something since the lock file changed.
fn is_installed(client: &Path) -> bool {
    let changed = |path: &str| {
        fs::metadata(client.join(path))
            .and_then(|meta| meta.modified())
            .ok()
    };
    let installed = changed("node_modules/.package-lock.json");
    installed.is_some() && installed >= changed("package-lock.json")
}

fn npm(client: &Path, out: &Path, args: &[&str]) -> Result<(), String> {
    const NEEDS: &str =
        "the page is built by npm: install Node.js 20.19 or later, see https://nodejs.org";
    let output = Command::new("npm")
        .args(args)
        .current_dir(client)
        .env("CLIENT_OUT_DIR", out)
        .output()
        .map_err(|error| format!("can't start npm ({error}); {NEEDS}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!(
        "npm {} failed in {}; {NEEDS}, or see its output:\n{}{}",
        args.join(" "),
        client.display(),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    ))
}
