//! The values of a capture, as a file.

use bytes::Bytes;
use http::{
    HeaderValue, Response,
    header::{ALLOW, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE},
};
use onprem_link::task::blocking;

use super::{csv, sigrok};
use crate::redfish::{
    Body,
    error::Error,
    exchange::{Exchange, accepts, is_write},
    render,
    router::Route,
    uri,
};

impl Exchange<'_> {
    /// Hands out the values of the capture with these ids.
    pub(in crate::redfish) async fn captured(
        &self,
        path: &str,
        ids: &[&str],
    ) -> Result<Response<Body>, Error> {
        let of = uri::of(uri::TELEMETRY_DATUM, ids);
        let Some((Route::Resource(entry), _)) = self.service.routes.find(&of)
        else {
            return Err(Error::internal());
        };
        self.authorize(entry, ids, None)?;
        self.must_exist(entry, &of, ids)?;
        let allow = HeaderValue::from_static("GET, HEAD");
        if is_write(&self.parts.method) {
            return Err(Error::method_not_allowed(allow));
        }
        let is_csv = path.rsplit('.').next() == Some("csv");
        let (kind, end) = if is_csv {
            ("text/csv", "csv")
        } else {
            ("application/octet-stream", "sr")
        };
        accepts(&self.parts.headers, kind)?;
        let id = ids.first().copied().unwrap_or_default();
        let capture = self.service.captures.read(id).await;
        let capture = capture.ok_or_else(|| Error::not_found(path))?;
        let bytes = blocking(move || {
            if is_csv {
                csv::text(&capture).into_bytes()
            } else {
                sigrok::session(&capture)
            }
        });
        let bytes = bytes.await.map_err(|_| Error::internal())?;
        let mut response = Response::new(Body::from(Bytes::from(bytes)));
        let headers = response.headers_mut();
        let name = format!("attachment; filename=\"capture-{id}.{end}\"");
        headers.insert(CONTENT_DISPOSITION, render::header(&name));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(ALLOW, allow);
        Ok(response)
    }
}
