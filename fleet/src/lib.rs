//! The on-prem fleet server: one API for every device.
