//! Unpacks a fixture: a file system tree written as TOML.

use std::{fs, os::unix::fs::symlink, path::Path};

use tempfile::TempDir;
use toml::{Table, Value};

/// The tree of `tests/fixtures/<name>.toml`, unpacked.
pub fn unpack(name: &str) -> TempDir {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(format!("tests/fixtures/{name}.toml"));
    let text = fs::read_to_string(file).unwrap();
    let tree: Table = toml::from_str(&text).unwrap();
    let root = TempDir::new().unwrap();
    for (folder, entries) in tree {
        let folder = root.path().join(folder.trim_start_matches('/'));
        fs::create_dir_all(&folder).unwrap();
        for (name, value) in entries.as_table().unwrap() {
            write(&folder.join(name), value);
        }
    }
    root
}

fn write(path: &Path, value: &Value) {
    match value {
        Value::String(text) if text.ends_with(['\n', '\0']) => {
            fs::write(path, text).unwrap();
        }
        Value::String(text) => fs::write(path, format!("{text}\n")).unwrap(),
        Value::Integer(number) => {
            fs::write(path, format!("{number}\n")).unwrap();
        }
        Value::Table(special) => {
            if let Some(target) = special.get("link") {
                symlink(target.as_str().unwrap(), path).unwrap();
            } else {
                let hex = special["hex"].as_str().unwrap().as_bytes();
                let bytes = hex.chunks(2).map(|pair| {
                    let pair = std::str::from_utf8(pair).unwrap();
                    u8::from_str_radix(pair, 16).unwrap()
                });
                fs::write(path, bytes.collect::<Vec<_>>()).unwrap();
            }
        }
        other => panic!("{}: {other}", path.display()),
    }
}
