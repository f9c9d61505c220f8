//! The API of a server that runs, as a caller sees it.

mod access;
mod audit;
mod crash;
mod devices;
mod errors;
mod lists;
mod session;
mod support;
