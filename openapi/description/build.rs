//! Merges the overlay into the document, so that nothing is left to do where
//! it is read.

// The crate's own tests use the rest.
#[path = "src/json_path.rs"]
mod json_path;
#[path = "src/overlay.rs"]
mod overlay;

use std::{env, error::Error, fs, path::Path};

use serde_json::Value;

fn main() -> Result<(), Box<dyn Error>> {
    let document = "../fleet.json";
    let presentation = "../overlay.yaml";
    println!("cargo:rerun-if-changed={document}");
    println!("cargo:rerun-if-changed={presentation}");

    let mut merged: Value = serde_json::from_slice(&fs::read(document)?)?;
    let facts = overlay::Overlay::parse(&fs::read_to_string(presentation)?)?;
    let unmatched = facts.apply(&mut merged)?;
    for target in &unmatched {
        println!("cargo:warning={presentation}: nothing at {target}");
    }
    let out = env::var("OUT_DIR")?;
    let out = Path::new(&out);
    fs::write(out.join("merged.json"), serde_json::to_string(&merged)?)?;
    fs::write(out.join("unmatched.json"), serde_json::to_string(&unmatched)?)?;
    Ok(())
}
