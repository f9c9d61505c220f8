//! The agent's own update: signed images, two slots to run from, and a trial
//! before a new one is believed.

pub mod elf;
pub mod fetch;
pub mod image;
pub mod launch;
pub mod probe;
pub mod record;
pub mod slots;
pub mod tool;
pub mod trial;
pub mod version;

/// What images of this program name as their product.
pub const PRODUCT: &str = "onprem-bmc";
/// The version of the running program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
