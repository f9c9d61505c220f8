//! The image: a header, an ed25519 signature over it, and the program.
//!
//! ```text
//! 8 bytes   `OPIMAGE1`
//! 4 bytes   length of the header, big-endian
//! n bytes   the header: JSON, see [`Header`]
//! 64 bytes  the signature over all before it
//! the rest  the program, whose length and SHA-256 the header gives
//! ```

use std::{
    fmt::Write as _,
    io::{self, Read},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use ring::signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// The largest program, in bytes.
pub const MAX_PROGRAM: u64 = 64 << 20;
/// The largest image, in bytes.
pub const MAX_IMAGE: u64 = MAX_PROGRAM + MAX_HEADER as u64 + 76;
const MAGIC: &[u8; 8] = b"OPIMAGE1";
const MAX_HEADER: usize = 4096;
const SIGNATURE: usize = 64;

/// What an image says about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The program it holds: `onprem-bmc`.
    pub product: String,
    /// The version of the program.
    pub version: String,
    /// What it runs on: `x86_64`, `aarch64`.
    pub architecture: String,
    /// The length of the program in bytes.
    pub size: u64,
    /// The program's SHA-256, in hexadecimal.
    pub sha256: String,
}

/// Why an image is refused.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// It cannot be read to its end.
    #[error("the image cannot be read")]
    Read(#[source] io::Error),
    /// The program cannot be written.
    #[error("the program of the image cannot be written")]
    Write(#[source] io::Error),
    /// It does not begin as an image does.
    #[error(
        "the file is no image of this product: it does not begin with \
             `OPIMAGE1`"
    )]
    NoImage,
    /// It ends too early.
    #[error("the image is cut off in its {0}")]
    Short(&'static str),
    /// The header's length cannot be.
    #[error("the image's header has {0} bytes; 1 to 4096 are expected")]
    HeaderLength(u32),
    /// No trusted key made the signature.
    #[error(
        "the image's signature was made with none of the {0} keys in \
             `update.trusted_keys`"
    )]
    Signature(usize),
    /// The header cannot be understood.
    #[error("the image's header cannot be understood")]
    Header(#[source] serde_json::Error),
    /// A program of another kind.
    #[error("the image holds `{0}`; `onprem-bmc` is expected")]
    Product(String),
    /// The version is not one that can be compared.
    #[error("the image's version is `{0}`; one like `1.2.3` is expected")]
    Version(String),
    /// For another machine.
    #[error("the image is for `{image}`; this machine is `{machine}`")]
    Architecture {
        /// What the image is for.
        image: String,
        /// What this machine is.
        machine: &'static str,
    },
    /// Too large, by its header.
    #[error("the image's program has {0} bytes; at most 67108864 are taken")]
    TooLarge(u64),
    /// The program is not what was signed.
    #[error(
        "the image's program has the SHA-256 {found}, and the header \
             says {expected}"
    )]
    Digest {
        /// What was found.
        found: String,
        /// What was signed.
        expected: String,
    },
    /// Something follows the program.
    #[error("the image goes on after its program")]
    Trailing,
}

/// The public keys that images may be signed with.
#[derive(Clone, Debug, Default)]
pub struct Trusted(Vec<Vec<u8>>);

impl Trusted {
    /// Keys as they stand in the configuration: base64 of 32 bytes each.
    ///
    /// # Errors
    /// The first that is none.
    pub fn parse(keys: &[String]) -> Result<Self, String> {
        let parse = |key: &String| match BASE64_STANDARD.decode(key.trim()) {
            Ok(bytes) if bytes.len() == 32 => Ok(bytes),
            _ => Err(key.clone()),
        };
        keys.iter().map(parse).collect::<Result<_, _>>().map(Self)
    }

    /// Is there none?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn signed(&self, message: &[u8], signature: &[u8]) -> bool {
        self.0.iter().any(|key| {
            UnparsedPublicKey::new(&ED25519, key)
                .verify(message, signature)
                .is_ok()
        })
    }
}

/// The front of an image: what is signed, what it says, and the signature.
#[derive(Debug)]
pub struct Front {
    signed: Vec<u8>,
    signature: [u8; SIGNATURE],
    /// What it says; not to be believed before [`Front::verify`].
    pub header: Header,
}

impl Front {
    /// Reads up to the program.
    ///
    /// # Errors
    /// See [`ImageError`].
    pub fn read(image: &mut impl Read) -> Result<Self, ImageError> {
        let mut start = [0; MAGIC.len() + 4];
        fill(image, &mut start, "first bytes")?;
        let (magic, length) = start.split_at(MAGIC.len());
        if magic != MAGIC {
            return Err(ImageError::NoImage);
        }
        let length: [u8; 4] = length.try_into().unwrap_or_default();
        let length = u32::from_be_bytes(length);
        let size = usize::try_from(length).unwrap_or(usize::MAX);
        if size == 0 || size > MAX_HEADER {
            return Err(ImageError::HeaderLength(length));
        }
        let mut header = vec![0; size];
        fill(image, &mut header, "header")?;
        let mut signature = [0; SIGNATURE];
        fill(image, &mut signature, "signature")?;
        let mut signed = start.to_vec();
        signed.extend_from_slice(&header);
        let header =
            serde_json::from_slice(&header).map_err(ImageError::Header)?;
        Ok(Self { signed, signature, header })
    }

    /// The header, if a trusted key signed it and it fits this machine.
    ///
    /// # Errors
    /// See [`ImageError`].
    pub fn verify(&self, trusted: &Trusted) -> Result<&Header, ImageError> {
        if !trusted.signed(&self.signed, &self.signature) {
            return Err(ImageError::Signature(trusted.0.len()));
        }
        let header = &self.header;
        if header.product != super::PRODUCT {
            return Err(ImageError::Product(header.product.clone()));
        }
        if !is_version(&header.version) {
            return Err(ImageError::Version(header.version.clone()));
        }
        let machine = std::env::consts::ARCH;
        if header.architecture != machine {
            let image = header.architecture.clone();
            return Err(ImageError::Architecture { image, machine });
        }
        if header.size > MAX_PROGRAM {
            return Err(ImageError::TooLarge(header.size));
        }
        Ok(header)
    }
}

/// Copies the program of a verified image to `out`, whole and unaltered.
///
/// # Errors
/// See [`ImageError`]; what was written is then worth nothing.
pub fn extract(
    header: &Header,
    image: &mut impl Read,
    out: &mut impl io::Write,
) -> Result<(), ImageError> {
    let mut hash = Sha256::new();
    let mut left = header.size;
    let mut buffer = vec![0; 64 << 10];
    let mut first = true;
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(usize::MAX);
        let most = most.min(buffer.len());
        let chunk = buffer.get_mut(..most).unwrap_or_default();
        let read = image.read(chunk).map_err(ImageError::Read)?;
        if read == 0 {
            return Err(ImageError::Short("program"));
        }
        let chunk = chunk.get(..read).unwrap_or_default();
        if std::mem::take(&mut first) {
            let machine = std::env::consts::ARCH;
            let found = super::elf::architecture(chunk);
            if found != Some(machine) {
                let image = found.unwrap_or("no program").to_owned();
                return Err(ImageError::Architecture { image, machine });
            }
        }
        hash.update(chunk);
        out.write_all(chunk).map_err(ImageError::Write)?;
        left -= read as u64;
    }
    let found = hex(&hash.finalize());
    if found != header.sha256 {
        let expected = header.sha256.clone();
        return Err(ImageError::Digest { found, expected });
    }
    match image.read(&mut [0]).map_err(ImageError::Read)? {
        0 => Ok(()),
        _ => Err(ImageError::Trailing),
    }
}

/// An image of `program`.
///
/// # Errors
/// The header does not fit.
pub fn make(
    key: &Ed25519KeyPair,
    version: &str,
    program: &[u8],
) -> Result<Vec<u8>, ImageError> {
    let architecture = super::elf::architecture(program);
    let architecture =
        architecture.ok_or_else(|| ImageError::Architecture {
            image: "no program".to_owned(),
            machine: std::env::consts::ARCH,
        })?;
    let header = Header {
        product: super::PRODUCT.to_owned(),
        version: version.to_owned(),
        architecture: architecture.to_owned(),
        size: program.len() as u64,
        sha256: hex(&Sha256::digest(program)),
    };
    if !is_version(version) {
        return Err(ImageError::Version(version.to_owned()));
    }
    if header.size > MAX_PROGRAM {
        return Err(ImageError::TooLarge(header.size));
    }
    let header = serde_json::to_vec(&header).map_err(ImageError::Header)?;
    let length = u32::try_from(header.len()).unwrap_or(u32::MAX);
    let mut image = MAGIC.to_vec();
    image.extend_from_slice(&length.to_be_bytes());
    image.extend_from_slice(&header);
    let signature = key.sign(&image);
    image.extend_from_slice(signature.as_ref());
    image.extend_from_slice(program);
    Ok(image)
}

/// Three numbers, and perhaps more: no longer than a line.
fn is_version(text: &str) -> bool {
    let core = text.split(['-', '+']).next().unwrap_or_default();
    let numbers = core.split('.').filter(|part| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit())
    });
    let safe = |c: char| c.is_ascii_alphanumeric() || ".-+".contains(c);
    numbers.count() == 3
        && core.split('.').count() == 3
        && text.len() <= 64
        && text.chars().all(safe)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn fill(
    image: &mut impl Read,
    buffer: &mut [u8],
    part: &'static str,
) -> Result<(), ImageError> {
    image.read_exact(buffer).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => ImageError::Short(part),
        _ => ImageError::Read(error),
    })
}

#[cfg(test)]
mod tests {
    use ring::{rand::SystemRandom, signature::KeyPair as _};

    use super::*;

    fn key() -> (Ed25519KeyPair, Trusted) {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new());
        let key = Ed25519KeyPair::from_pkcs8(pkcs8.unwrap().as_ref()).unwrap();
        let public = BASE64_STANDARD.encode(key.public_key().as_ref());
        (key, Trusted::parse(&[public]).unwrap())
    }

    fn program() -> Vec<u8> {
        let mut program = std::fs::read("/proc/self/exe").unwrap();
        // A test with all it takes to look for mistakes is longer than may be.
        program.truncate(1 << 20);
        program
    }

    fn take(image: &[u8], trusted: &Trusted) -> Result<Vec<u8>, ImageError> {
        let mut image = image;
        let front = Front::read(&mut image)?;
        let header = front.verify(trusted)?;
        let mut out = Vec::new();
        extract(header, &mut image, &mut out)?;
        Ok(out)
    }

    #[test]
    fn what_was_packed_comes_out_again() {
        let (key, trusted) = key();
        let program = program();
        let image = make(&key, "1.2.3-rc.1", &program).unwrap();
        assert!(take(&image, &trusted).unwrap() == program);
    }

    #[test]
    fn an_image_with_any_byte_of_its_front_changed_is_refused() {
        let (key, trusted) = key();
        let program = &program()[..4096];
        let image = make(&key, "1.2.3", program).unwrap();
        let front = image.len() - program.len();
        for at in 0..front {
            let mut image = image.clone();
            image[at] ^= 1;
            assert!(take(&image, &trusted).is_err(), "byte {at}");
        }
        for length in 0..image.len() {
            let cut = &image[..length];
            assert!(take(cut, &trusted).is_err(), "{length} bytes");
        }
        let mut longer = image.clone();
        longer.push(0);
        let refused = take(&longer, &trusted);
        assert!(matches!(refused, Err(ImageError::Trailing)));
        let mut altered = image.clone();
        *altered.last_mut().unwrap() ^= 1;
        let refused = take(&altered, &trusted);
        assert!(matches!(refused, Err(ImageError::Digest { .. })));
        let (_, others) = self::key();
        let refused = take(&image, &others);
        assert!(matches!(refused, Err(ImageError::Signature(1))));
    }

    #[test]
    fn a_key_that_is_none_is_named() {
        let bad = ["AAAA".to_owned()];
        assert_eq!(Trusted::parse(&bad).unwrap_err(), "AAAA");
    }
}
