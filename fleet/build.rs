//! Embeds the console's files: its stylesheet and script, and htmx when npm
//! has put it into `templates/node_modules`. Pages work without htmx.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::{env, error, fs};

use sha2::{Digest as _, Sha256};

/// Each file as pages call it, where it comes from, and its type.
const ASSETS: &[(&str, &str, &str)] = &[
    ("style.css", "style.css", "text/css; charset=utf-8"),
    ("console.js", "console.js", "text/javascript; charset=utf-8"),
    ("terminal.js", "terminal.js", "text/javascript; charset=utf-8"),
    ("icon.svg", "icon.svg", "image/svg+xml"),
    (
        "htmx.min.js",
        "node_modules/htmx.org/dist/htmx.min.js",
        "text/javascript; charset=utf-8",
    ),
    (
        "hx-sse.min.js",
        "node_modules/htmx.org/dist/ext/hx-sse.min.js",
        "text/javascript; charset=utf-8",
    ),
];

fn main() -> Result<(), Box<dyn error::Error>> {
    println!("cargo:rerun-if-changed=askama.toml");
    println!("cargo:rerun-if-env-changed=ONPREM_REQUIRE_ASSETS");
    let templates =
        PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("../templates");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let required =
        env::var("ONPREM_REQUIRE_ASSETS").is_ok_and(|value| value == "1");

    let mut table = String::from("&[\n");
    for (name, source, kind) in ASSETS {
        let path = templates.join(source);
        println!("cargo:rerun-if-changed={}", path.display());
        match fs::read(&path) {
            Ok(bytes) => {
                table.push_str(&embed(&out, name, kind, &bytes)?);
            }
            Err(error) if required || !source.starts_with("node_modules/") => {
                let path = path.display();
                return Err(format!("cannot read {path}: {error}").into());
            }
            Err(_) => println!(
                "cargo:warning=the console is built without {name}; \
                 `npm ci` in templates/ brings it"
            ),
        }
    }
    table.push_str("]\n");
    fs::write(out.join("assets.rs"), table)?;
    Ok(())
}

/// Writes the file and its gzip form, and gives the line of the table.
fn embed(
    out: &Path,
    name: &str,
    kind: &str,
    bytes: &[u8],
) -> Result<String, Box<dyn error::Error>> {
    let mut hash = String::new();
    for byte in Sha256::digest(bytes).iter().take(8) {
        write!(hash, "{byte:02x}")?;
    }
    let plain = out.join(name);
    let packed = out.join(format!("{name}.gz"));
    let literal = |path: &Path| format!("{:?}", path.to_string_lossy());
    fs::write(&plain, bytes)?;
    let mut gzip = flate2::write::GzEncoder::new(
        fs::File::create(&packed)?,
        flate2::Compression::best(),
    );
    gzip.write_all(bytes)?;
    gzip.finish()?;
    Ok(format!(
        "Asset {{ name: {name:?}, hash: {hash:?}, kind: {kind:?}, \
         plain: include_bytes!({}), packed: include_bytes!({}) }},\n",
        literal(&plain),
        literal(&packed),
    ))
}
