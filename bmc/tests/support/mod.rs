//! What the tests through the agent's interfaces share.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test crate uses its own part of this"
)]
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test may panic"
)]

pub mod image;
pub mod process;
pub mod rig;
pub mod served;
pub mod tree;
pub mod wait;
