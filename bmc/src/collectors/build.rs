//! Which agent this is.

use super::{
    Scrape,
    text::{Kind, Text},
};

pub(super) fn collect(_: &Scrape<'_>, text: &mut Text) {
    let name = "onprem_build_info";
    text.begin(name, Kind::Gauge, "The version of the agent; always 1.");
    text.line(name, &[("version", env!("CARGO_PKG_VERSION"))], 1);
}
