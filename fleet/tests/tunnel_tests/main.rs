//! The tunnel, with the real agent side and the real fleet side of it in one
//! process.

mod enrolment;
mod liveness;
mod network;
mod requests;
mod rig;
