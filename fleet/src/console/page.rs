//! What all pages share: the frame around them, and how they are sent.

use std::io::Write as _;

use askama::Template;
use bytes::Bytes;
use dropshot::Body;
use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use onprem_description::PageModel;

use super::asset;
use super::error::Refusal;

/// The cookie that holds the session.
pub(crate) const SESSION: &str = "onprem_session";
/// The cookie that holds the chosen colours.
pub(crate) const THEME: &str = "onprem_theme";

/// Nothing but our own files, and no script or style within a page.
const POLICY: &str = "default-src 'none'; script-src 'self'; \
    style-src 'self'; img-src 'self' data:; connect-src 'self'; \
    form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// What stands around a page.
#[derive(Debug, Clone, Default)]
pub(crate) struct Frame {
    pub(crate) title: String,
    /// `light`, `dark`, or empty for what the browser prefers.
    pub(crate) theme: String,
    /// The address of this page.
    pub(crate) here: String,
    pub(crate) user: Option<String>,
    pub(crate) nav: Vec<Group>,
    pub(crate) crumbs: Vec<Link>,
    /// Where this page's changes are streamed from.
    pub(crate) live: Option<String>,
    pub(crate) commands: Vec<Command>,
    /// The same page as JSON.
    pub(crate) json: Option<String>,
}

/// A part of the navigation.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    pub(crate) title: String,
    pub(crate) items: Vec<Link>,
}

/// A link with its text.
#[derive(Debug, Clone, Default)]
pub(crate) struct Link {
    pub(crate) title: String,
    pub(crate) href: String,
    pub(crate) current: bool,
}

impl Link {
    pub(crate) fn new(
        title: impl Into<String>,
        href: impl Into<String>,
    ) -> Self {
        Self { title: title.into(), href: href.into(), current: false }
    }
}

/// What gives on a command line what the page shows.
#[derive(Debug, Clone)]
pub(crate) struct Command {
    pub(crate) title: &'static str,
    pub(crate) text: String,
}

/// A remark above a page.
#[derive(Debug, Clone)]
pub(crate) struct Notice {
    pub(crate) tone: &'static str,
    pub(crate) text: String,
}

/// The remarks above a page.
#[derive(Debug, Default, Template)]
#[template(path = "notices.html")]
pub(crate) struct Notices {
    pub(crate) notices: Vec<Notice>,
}

impl Notice {
    /// Why a part of the page is missing.
    pub(crate) fn missing(refusal: &Refusal) -> Self {
        Self { tone: "warn", text: refusal.sentence() }
    }
}

impl Frame {
    /// Where an embedded file is, if it is.
    #[expect(clippy::unused_self, reason = "templates call it on the frame")]
    pub(crate) fn asset(&self, name: &str) -> Option<String> {
        asset::path(name)
    }

    pub(crate) fn is_theme(&self, theme: &str) -> bool {
        self.theme == theme || self.theme.is_empty() && theme == "auto"
    }
}

/// The navigation: what the model has at its top, in its groups.
pub(crate) fn nav(model: &PageModel, path: &str) -> Vec<Group> {
    let first = path.split('/').nth(1).unwrap_or_default();
    let first = first.strip_suffix("-new").unwrap_or(first);
    let mut groups = vec![Group {
        title: String::new(),
        items: vec![Link {
            title: "Overview".into(),
            href: "/".into(),
            current: first.is_empty(),
        }],
    }];
    for resource in model.children(None) {
        if resource.hidden || resource.list.is_none() {
            continue;
        }
        let link = Link {
            title: resource.title.clone(),
            href: format!("/{}", resource.segment),
            current: resource.segment == first,
        };
        let title = resource.group.clone().unwrap_or_default();
        match groups.iter_mut().find(|group| group.title == title) {
            Some(group) => group.items.push(link),
            None => groups.push(Group { title, items: vec![link] }),
        }
    }
    let api = Link {
        title: "API".into(),
        href: "/api".into(),
        current: first == "api",
    };
    groups.push(Group { title: "Reference".into(), items: vec![api] });
    groups
}

/// Whether the browser takes gzip.
pub(crate) fn takes_gzip(headers: &HeaderMap) -> bool {
    headers
        .get(header::ACCEPT_ENCODING)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| {
            value.split(',').any(|part| {
                let mut words = part.split(';').map(str::trim);
                words.next() == Some("gzip")
                    && !words.any(|word| matches!(word, "q=0" | "q=0.0"))
            })
        })
}

/// A page as it is sent.
pub(crate) fn html(
    status: StatusCode,
    template: &impl Template,
    gzip: bool,
) -> Response<Body> {
    match template.render() {
        Ok(text) => send(status, "text/html; charset=utf-8", text.into(), gzip),
        Err(error) => {
            tracing::error!(%error, "a page could not be rendered");
            send(
                StatusCode::INTERNAL_SERVER_ERROR,
                "text/plain; charset=utf-8",
                Bytes::from_static(b"This page could not be made.\n"),
                gzip,
            )
        }
    }
}

/// Bytes with the headers that all pages carry.
pub(crate) fn send(
    status: StatusCode,
    kind: &'static str,
    bytes: Bytes,
    gzip: bool,
) -> Response<Body> {
    let packed = (gzip && bytes.len() > 1024).then(|| pack(&bytes)).flatten();
    let is_packed = packed.is_some();
    let mut answer = Response::new(Body::from(packed.unwrap_or(bytes)));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    if is_packed {
        headers
            .insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    secure(headers);
    answer
}

fn secure(headers: &mut HeaderMap) {
    let all = [
        (header::CACHE_CONTROL, "no-store"),
        (header::VARY, "accept, accept-encoding, cookie"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "same-origin"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ];
    for (name, value) in all {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

fn pack(bytes: &[u8]) -> Option<Bytes> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(bytes).ok()?;
    gzip.finish().ok().map(Bytes::from)
}

/// Sends the browser to another page of ours.
pub(crate) fn see_other(path: &str) -> Response<Body> {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::SEE_OTHER;
    let headers = answer.headers_mut();
    let place = HeaderValue::from_str(path)
        .unwrap_or_else(|_| HeaderValue::from_static("/"));
    headers.insert(header::LOCATION, place);
    secure(headers);
    answer
}

/// `next` if it is a page of ours; another site must not be reached by a
/// link to our login.
pub(crate) fn local(next: &str) -> &str {
    let is_path = next.starts_with('/')
        && !next.starts_with("//")
        && !next.contains('\\')
        && next.bytes().all(|byte| byte.is_ascii_graphic());
    if is_path { next } else { "/" }
}

/// The value of a cookie.
pub(crate) fn cookie<'a>(
    headers: &'a HeaderMap,
    name: &str,
) -> Option<&'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(own, _)| *own == name)
        .map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_leads_to_local_pages_only() {
        for local_path in ["/", "/devices?q=a%20b&sort=name", "/tasks/x"] {
            assert_eq!(local(local_path), local_path);
        }
        for hostile in [
            "https://example.com",
            "//example.com",
            "/\\example.com",
            "/\t/example.com",
            "javascript:alert(1)",
            "",
        ] {
            assert_eq!(local(hostile), "/");
        }
    }

    #[test]
    fn gzip_is_used_when_it_is_taken() {
        let headers = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(
                header::ACCEPT_ENCODING,
                HeaderValue::from_static(value),
            );
            headers
        };
        assert!(takes_gzip(&headers("br, gzip;q=0.5")));
        assert!(!takes_gzip(&headers("gzip;q=0, br")));
        assert!(!takes_gzip(&HeaderMap::new()));
    }

    #[test]
    fn one_cookie_among_many_is_found() {
        let mut headers = HeaderMap::new();
        headers.insert(
            header::COOKIE,
            HeaderValue::from_static("a=b; onprem_session=opt_x; c=d"),
        );
        assert_eq!(cookie(&headers, SESSION), Some("opt_x"));
        assert_eq!(cookie(&headers, "d"), None);
    }
}
