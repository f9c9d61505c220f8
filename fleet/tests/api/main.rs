//! The API of a server that runs, as a caller sees it.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "what fails here fails the test"
)]

mod access;
mod audit;
mod console;
mod crash;
mod devices;
mod errors;
mod lists;
mod live;
mod nodes;
mod ports;
mod rack;
mod session;
mod stream;
mod support;
