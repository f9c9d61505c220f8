//! The tunnel, with the real agent side and the real fleet side of it in one
//! process.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "what fails here fails the test"
)]

mod enrolment;
mod liveness;
mod network;
mod requests;
mod rig;
mod whole;
