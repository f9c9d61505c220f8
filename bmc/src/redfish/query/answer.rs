//! The answer to a GET with a query.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Method, Response};
use serde_json::{Map, Value};

use super::{Query, Source};
use crate::redfish::{
    Body,
    error::Error,
    exchange::{Exchange, canonical},
    render::Rendered,
    resource::View,
    router::{Entry, Route},
};

impl Exchange<'_> {
    /// What `query` makes of the resource at `path`.
    pub(in crate::redfish) fn shaped(
        &self,
        query: &Query,
        entry: &Entry,
        path: &str,
        ids: &[&str],
    ) -> Result<Response<Body>, Error> {
        if let Some(expand) = query.expand_alone()
            && let Some(it) = self.service.render(entry.resource, path, ids)
            && let Some(bytes) = self.spliced(expand, &it)?
        {
            let mut response = Response::new(Body::from(Bytes::from(bytes)));
            entry.describe(response.headers_mut(), &it.etag, &it.link);
            return Ok(response);
        }
        let (body, etag, link) = self
            .service
            .object(entry.resource, path, ids)
            .ok_or_else(|| Error::not_found(path))?;
        if query.only
            && entry.resource.kind().ends_with("Collection")
            && let Some(answer) = self.only_member(&body)
        {
            return Ok(answer);
        }
        let source = Seen { exchange: self, entry, path, ids, etag: &etag };
        let kind = entry.resource.kind();
        let object = query.apply(kind, path, body, &source)?;
        let bytes = serde_json::to_vec(&object).unwrap_or_default();
        let mut response = Response::new(Body::from(Bytes::from(bytes)));
        entry.describe(response.headers_mut(), &etag, &link);
        Ok(response)
    }

    /// The member of a collection with one, if the caller may see it.
    fn only_member(&self, body: &Map<String, Value>) -> Option<Response<Body>> {
        let [member] = body.get("Members")?.as_array()?.as_slice() else {
            return None;
        };
        // The answer may hold one page of many.
        if body.get("Members@odata.count").is_some_and(|it| *it != 1) {
            return None;
        }
        let path = member.get("@odata.id")?.as_str()?;
        let (entry, _) = self.visible(path)?;
        Some(self.seen(path)?.answer(entry))
    }

    /// The resource at `uri`, if the caller may see it.
    pub(in crate::redfish) fn seen(&self, uri: &str) -> Option<Arc<Rendered>> {
        let (entry, ids) = self.visible(uri)?;
        let path = canonical(uri.strip_suffix('/').unwrap_or(uri));
        self.service.render(entry.resource, path, &ids)
    }

    /// The same where `entry` is known to lie there, mostly from what is kept.
    pub(in crate::redfish) fn seen_again(
        &self,
        entry: &Entry,
        uri: &str,
    ) -> Option<Arc<Rendered>> {
        let needed = entry.needs(&Method::GET, None);
        let caller = self.caller.as_ref();
        let may = caller.is_some_and(|it| it.may_everywhere(needed));
        may.then(|| self.service.kept(entry.resource, uri))
            .flatten()
            .or_else(|| self.seen(uri))
    }

    /// What lies at `uri`, if the caller may see it.
    fn visible<'u>(
        &self,
        uri: &'u str,
    ) -> Option<(&'static Entry, Vec<&'u str>)> {
        let path = uri.strip_suffix('/').unwrap_or(uri);
        let (route, ids) = self.service.routes.find(path)?;
        let Route::Resource(entry) = route else { return None };
        let needed = entry.needs(&Method::GET, None);
        self.holds(entry, &ids, needed).ok()?;
        Some((entry, ids))
    }
}

/// What the caller of an exchange may see.
struct Seen<'a> {
    exchange: &'a Exchange<'a>,
    entry: &'a Entry,
    path: &'a str,
    ids: &'a [&'a str],
    etag: &'a HeaderValue,
}

impl Source for Seen<'_> {
    fn fetch(&self, uri: &str) -> Option<Map<String, Value>> {
        let (entry, ids) = self.exchange.visible(uri)?;
        let path = canonical(uri.strip_suffix('/').unwrap_or(uri));
        let service = self.exchange.service;
        let found = service.object(entry.resource, path, &ids)?;
        Some(found.0)
    }
    fn page(
        &self,
        skip: usize,
        top: Option<usize>,
    ) -> Option<Map<String, Value>> {
        let service = self.exchange.service;
        let snapshot = service.model.snapshot();
        let book = service.accounts.book();
        let view = View { snapshot: &snapshot, service, book: &book };
        let answer = self.entry.resource.page(&view, self.ids, skip, top)?;
        let mut body = answer.body;
        body.insert("@odata.id".to_owned(), self.path.into());
        let etag = self.etag.to_str().unwrap_or_default();
        body.insert("@odata.etag".to_owned(), etag.into());
        Some(body)
    }
}
