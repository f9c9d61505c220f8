//! Compiles the DMTF CSDL in `nv-redfish-schema` and the tables beside this
//! file into the sources and documents that `src/` includes.

#[path = "build/csdl.rs"]
mod csdl;
#[path = "build/message.rs"]
mod message;
#[path = "build/metadata.rs"]
mod metadata;
#[path = "build/privilege.rs"]
mod privilege;
#[path = "build/schema.rs"]
mod schema;
#[path = "build/sparse.rs"]
mod sparse;
#[path = "build/table.rs"]
mod table;
#[path = "build/xml.rs"]
mod xml;

use std::{env, error::Error, fs, path::PathBuf, thread};

/// What a build step answers.
type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Where our own schemas are.
const OEM: &str = "oem";

/// The generator recurses along type hierarchies that are hundreds deep.
const STACK: usize = 256 << 20;

fn main() -> Result<()> {
    for input in ["build.rs", "build", "roots.txt", "oem"] {
        println!("cargo:rerun-if-changed={input}");
    }
    for input in ["messages.toml", "privileges.toml"] {
        println!("cargo:rerun-if-changed={input}");
    }
    let builder = thread::Builder::new().stack_size(STACK);
    builder.spawn(generate)?.join().map_err(|_| "the generator panicked")?
}

fn generate() -> Result<()> {
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let roots = roots(&fs::read_to_string("roots.txt")?);
    let mut csdl = csdl::Csdl::new([
        nv_redfish_schema::REDFISH_CSDL_DIR,
        nv_redfish_schema::SWORDFISH_CSDL_DIR,
        OEM,
    ]);

    fs::write(out.join("schema.rs"), schema::generate(&mut csdl, &roots)?)?;
    fs::write(
        out.join("csdl.rs"),
        table::generate(&mut csdl, &roots, &oem()?)?,
    )?;
    fs::write(out.join("metadata.xml"), metadata::generate(&csdl))?;
    let messages = fs::read_to_string("messages.toml")?;
    fs::write(out.join("message.rs"), message::generate(&messages)?)?;
    let privileges = fs::read_to_string("privileges.toml")?;
    fs::write(out.join("privilege.rs"), privilege::generate(&privileges)?)?;
    Ok(())
}

/// The types of our own that objects under `Oem` have, by qualified name.
fn oem() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(OEM)? {
        let name = entry?.file_name();
        let name = name.to_string_lossy();
        if let Some(family) = name.strip_suffix("_v1.xml") {
            names.push(format!("{family}.v1_0_0.OnPrem"));
        }
    }
    names.sort();
    Ok(names)
}

fn roots(text: &str) -> Vec<String> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .collect()
}
