//! A path that drops packets.
