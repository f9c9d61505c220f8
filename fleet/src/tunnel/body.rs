//! The bodies of requests to devices and of their answers.

use std::{
    error::Error,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt as _, Empty, Full, combinators::UnsyncBoxBody};
use tokio::sync::OwnedSemaphorePermit;

/// The body of a request to a device.
pub type Body = UnsyncBoxBody<Bytes, BodyError>;

/// The body of a request could not be read to its end.
#[derive(Debug, thiserror::Error)]
#[error("the body of the request broke off")]
pub struct BodyError(#[source] pub Box<dyn Error + Send + Sync>);

/// A request body with nothing in it.
#[must_use]
pub fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// A request body that is all there.
#[must_use]
pub fn full(content: impl Into<Bytes>) -> Body {
    Full::new(content.into()).map_err(|never| match never {}).boxed_unsync()
}

/// The body of a device's answer, as it arrives. Dropping it ends the request.
#[derive(Debug)]
pub struct Incoming {
    body: hyper::body::Incoming,
    _place: OwnedSemaphorePermit,
}

impl Incoming {
    pub(super) fn new(
        body: hyper::body::Incoming,
        place: OwnedSemaphorePermit,
    ) -> Self {
        Self { body, _place: place }
    }
}

impl http_body::Body for Incoming {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
