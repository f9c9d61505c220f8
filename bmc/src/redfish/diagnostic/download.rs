//! `AdditionalDataURI` of an entry: the diagnostic data themselves.

use http::{
    HeaderValue, Response,
    header::{ALLOW, CACHE_CONTROL, CONTENT_DISPOSITION},
};
use onprem_redfish::privilege::{Privilege, Privileges};

use crate::{
    log::Kind,
    redfish::{
        Body, JSON,
        error::Error,
        exchange::{Exchange, accepts, is_write},
        render,
        router::Route,
        uri,
    },
};

impl Exchange<'_> {
    /// Hands out what is attached to the entry with these ids.
    pub(in crate::redfish) async fn attachment(
        &self,
        path: &str,
        ids: &[&str],
    ) -> Result<Response<Body>, Error> {
        let of = uri::of(uri::MANAGER_LOG_ENTRY, ids);
        let Some((Route::Resource(entry), _)) = self.service.routes.find(&of)
        else {
            return Err(Error::internal());
        };
        // More is in it than everybody who may log in can see in one place.
        let needed = Privileges::of(&[Privilege::ConfigureManager]);
        self.holds(entry, ids, needed)?;
        self.must_exist(entry, &of, ids)?;
        let allow = HeaderValue::from_static("GET, HEAD");
        if is_write(&self.parts.method) {
            return Err(Error::method_not_allowed(allow));
        }
        accepts(&self.parts.headers, "application/json")?;
        let not_there = || Error::not_found(path);
        let [_, log, id] = ids else { return Err(not_there()) };
        if *log != Kind::Dump.id() {
            return Err(not_there());
        }
        let number = id.parse().map_err(|_| not_there())?;
        let bytes = self.service.dumps.read(number).await;
        let bytes = bytes.ok_or_else(not_there)?;
        let mut response = Response::new(Body::from(bytes::Bytes::from(bytes)));
        let headers = response.headers_mut();
        let name = format!("attachment; filename=\"diagnostic-{id}.json\"");
        headers.insert(CONTENT_DISPOSITION, render::header(&name));
        headers.insert(http::header::CONTENT_TYPE, JSON);
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(ALLOW, allow);
        Ok(response)
    }
}
