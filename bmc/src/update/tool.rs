//! `onprem-bmc image`: makes keys and images, and shows what is in one.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

use anyhow::{Context as _, bail};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use clap::Subcommand;
use ring::{
    rand::SystemRandom,
    signature::{Ed25519KeyPair, KeyPair as _},
};
use rustls_pki_types::{PrivatePkcs8KeyDer, pem::PemObject as _};

use super::image::{self, Front};

/// What can be done with images.
#[derive(Debug, Subcommand)]
pub enum Tool {
    /// Make a key to sign images with; print the public one for
    /// `update.trusted_keys`
    Keygen {
        /// Where the private key goes; a file that is there is left alone
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
    },
    /// Make a signed image of a program
    Sign {
        /// The private key
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// The program, built for the machine it is to run on
        #[arg(long, value_name = "FILE")]
        program: PathBuf,
        /// Its version; what it says itself where it can be run here
        #[arg(long, value_name = "VERSION")]
        release: Option<String>,
        /// Where the image goes
        #[arg(long, value_name = "FILE")]
        image: PathBuf,
    },
    /// Show what an image says about itself, without a check of who signed
    Inspect {
        /// The image
        image: PathBuf,
    },
}

/// Does it; what it says goes to stdout.
#[must_use]
pub fn run(tool: &Tool) -> ExitCode {
    let done = match tool {
        Tool::Keygen { key } => keygen(key),
        Tool::Sign { key, program, release, image } => {
            sign(key, program, release.as_deref(), image)
        }
        Tool::Inspect { image } => inspect(image),
    };
    match done.and_then(|text| Ok(writeln!(io::stdout(), "{text}")?)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "onprem-bmc: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn keygen(path: &Path) -> anyhow::Result<String> {
    let Ok(pkcs8) = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()) else {
        bail!("there is no randomness to make a key of");
    };
    let text = BASE64_STANDARD.encode(pkcs8.as_ref());
    let pem = format!(
        "-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n"
    );
    let cannot = || format!("cannot write {}", path.display());
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let mut file = options.open(path).with_context(cannot)?;
    file.write_all(pem.as_bytes()).with_context(cannot)?;
    file.sync_all().with_context(cannot)?;
    Ok(public(&load(path)?))
}

fn public(key: &Ed25519KeyPair) -> String {
    BASE64_STANDARD.encode(key.public_key().as_ref())
}

fn load(path: &Path) -> anyhow::Result<Ed25519KeyPair> {
    let cannot = || format!("cannot use the key {}", path.display());
    let key = PrivatePkcs8KeyDer::from_pem_file(path).with_context(cannot)?;
    // Keys from elsewhere may come without their public half.
    let key =
        Ed25519KeyPair::from_pkcs8_maybe_unchecked(key.secret_pkcs8_der());
    let Ok(key) = key else {
        bail!("{}: it is no ed25519 key", cannot());
    };
    Ok(key)
}

fn sign(
    key: &Path,
    program: &Path,
    release: Option<&str>,
    image: &Path,
) -> anyhow::Result<String> {
    let key = load(key)?;
    let bytes = fs::read(program)
        .with_context(|| format!("cannot read {}", program.display()))?;
    let version = match release {
        Some(version) => version.to_owned(),
        None => own_version(program)?,
    };
    let made = image::make(&key, &version, &bytes)?;
    onprem_link::file::replace(image, &made)
        .with_context(|| format!("cannot write {}", image.display()))?;
    let key = public(&key);
    Ok(format!("version {version}, {} bytes, signed by {key}", made.len()))
}

fn own_version(program: &Path) -> anyhow::Result<String> {
    // A bare name would be looked for among the commands of this machine.
    let said = Command::new(fs::canonicalize(program)?)
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .context("the program cannot be run here: say its --release")?;
    let said = String::from_utf8_lossy(&said.stdout);
    match said.trim().split_once(' ') {
        Some((super::PRODUCT, version)) => Ok(version.to_owned()),
        _ => bail!(
            "the program says `{}`; `{} 1.2.3` is expected",
            said.trim(),
            super::PRODUCT
        ),
    }
}

fn inspect(path: &Path) -> anyhow::Result<String> {
    let mut file = File::open(path)
        .with_context(|| format!("cannot read {}", path.display()))?;
    let front = Front::read(&mut file)?;
    Ok(serde_json::to_string_pretty(&front.header)?)
}
