//! A page that was made, and what of it may change while somebody watches.

use askama::Template;
use dropshot::Body;
use http::{Response, StatusCode};
use serde_json::Value;

use super::error::Refusal;

/// What a visit leads to.
pub(crate) enum Outcome {
    Page(Made),
    Json(Value),
    Go(String),
    Raw(Response<Body>),
}

/// A page.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) status: StatusCode,
    pub(crate) html: String,
    /// The parts that may change, by their ids.
    pub(crate) parts: Vec<(&'static str, String)>,
    /// The readings in it, for the charts.
    pub(crate) readings: Vec<((String, String), f64)>,
}

impl Made {
    pub(crate) fn new(template: &impl Template) -> Result<Self, Refusal> {
        Ok(Self {
            status: StatusCode::OK,
            html: rendered(template)?,
            parts: Vec::new(),
            readings: Vec::new(),
        })
    }

    pub(crate) fn with(mut self, parts: Vec<(&'static str, String)>) -> Self {
        self.parts = parts;
        self
    }
}

/// The template as text.
pub(crate) fn rendered(template: &impl Template) -> Result<String, Refusal> {
    template.render().map_err(|error| {
        tracing::error!(%error, "a page could not be rendered");
        Refusal::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "this page could not be made",
        )
    })
}
