//! Programs for images, small and of every temper, and a key to sign with.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use onprem_bmc::update::image;
use ring::{
    rand::SystemRandom,
    signature::{Ed25519KeyPair, KeyPair as _},
};

/// Newer than any that is tested.
pub const NEWER: &str = "99.0.1";

/// A key, and its public half as the configuration has it.
pub struct Key {
    pair: Ed25519KeyPair,
    pub public: String,
}

impl Key {
    pub fn new() -> Self {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new());
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8.unwrap().as_ref()).unwrap();
        let public = BASE64_STANDARD.encode(pair.public_key().as_ref());
        Self { pair, public }
    }

    /// An image of the program at `path`.
    pub fn sign(&self, version: &str, path: &Path) -> Vec<u8> {
        let program = fs::read(path).unwrap();
        image::make(&self.pair, version, &program).unwrap()
    }
}

/// What a program does when it is run as the agent.
pub enum Temper {
    /// It ends.
    Dies,
    /// It does nothing, for ever.
    Hangs,
    /// It is the agent.
    Works,
}

/// A program that says that it is the agent in `version`.
pub fn program(folder: &Path, version: &str, temper: &Temper) -> PathBuf {
    let agent = env!("CARGO_BIN_EXE_onprem-bmc");
    let does = match temper {
        Temper::Dies => "return 3;".to_owned(),
        Temper::Hangs => "for (;;) pause();".to_owned(),
        Temper::Works => format!("execv(\"{agent}\", v); return 4;"),
    };
    let source = format!(
        "#include <stdio.h>\n#include <string.h>\n#include <unistd.h>\n\
         int main(int c, char **v) {{\n\
         if (c > 1 && !strcmp(v[1], \"--version\")) {{\n\
         puts(\"onprem-bmc {version}\"); return 0; }}\n{does}\n}}\n"
    );
    let file = folder.join("program.c");
    fs::write(&file, source).unwrap();
    let program = folder.join("program");
    let made = Command::new("cc").arg("-o").arg(&program).arg(&file).status();
    assert!(made.unwrap().success(), "cc");
    program
}
