//! One look at one page: who, what, how.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use chrono::Utc;
use http::{HeaderMap, Method, Uri};
use onprem_description::{Operation, PageModel, Resource};
use percent_encoding::percent_decode_str;

use super::Console;
use super::api::Api;
use super::cell::{Cells, escape};
use super::error::Refusal;
use super::page::{self, Command, Frame};

/// One look at one page.
#[derive(Debug)]
pub(crate) struct Visit<'a> {
    pub(crate) console: &'a Console,
    pub(crate) model: &'a PageModel,
    pub(crate) api: Api,
    pub(crate) post: bool,
    /// The address without its query.
    pub(crate) path: String,
    pub(crate) segments: Vec<String>,
    pub(crate) query: Vec<(String, String)>,
    /// What was filled in.
    pub(crate) form: Vec<(String, String)>,
    pub(crate) theme: String,
    pub(crate) gzip: bool,
    pub(crate) json: bool,
    /// What a cookie says more where the browser came by TLS.
    pub(crate) secure: &'static str,
}

impl<'a> Visit<'a> {
    pub(crate) fn new(
        console: &'a Console,
        address: SocketAddr,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        form: &[u8],
    ) -> Self {
        let session = page::cookie(headers, page::SESSION);
        let theme = page::cookie(headers, page::THEME)
            .filter(|theme| matches!(*theme, "light" | "dark"));
        let accept = headers
            .get(http::header::ACCEPT)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let (path, suffix) = match uri.path().strip_suffix(".json") {
            Some(path) => (path, true),
            None => (uri.path(), false),
        };
        Self {
            console,
            model: console.model(),
            api: Api::new(address, session.map(str::to_owned)),
            post: method == Method::POST,
            path: path.to_owned(),
            segments: path
                .split('/')
                .filter(|segment| !segment.is_empty())
                .map(decode)
                .collect(),
            query: pairs(uri.query().unwrap_or_default()),
            form: pairs(&String::from_utf8_lossy(form)),
            theme: theme.unwrap_or_default().to_owned(),
            gzip: page::takes_gzip(headers),
            json: suffix || accept.starts_with("application/json"),
            secure: "",
        }
    }

    /// The same with what is known of the browser's connection.
    pub(crate) fn from(mut self, source: IpAddr, secure: bool) -> Self {
        self.api = self.api.on_behalf_of(source);
        self.secure = if secure { "Secure; " } else { "" };
        self
    }

    /// The segments of the address, as they are needed to find a file.
    pub(crate) fn asset_segments(&self) -> Vec<&str> {
        self.segments.iter().map(String::as_str).collect()
    }

    /// The value of a word of the query, or nothing.
    pub(crate) fn asked(&self, name: &str) -> &str {
        value(&self.query, name)
    }

    /// What was filled in under this name.
    pub(crate) fn filled(&self, name: &str) -> &str {
        value(&self.form, name)
    }

    /// The address with its query.
    pub(crate) fn here(&self) -> String {
        with_query(&self.path, &self.query)
    }

    /// The address with these words of the query changed; an empty value
    /// drops the word.
    pub(crate) fn here_with(&self, changes: &[(&str, &str)]) -> String {
        let mut query: Vec<(String, String)> = self
            .query
            .iter()
            .filter(|(name, value)| {
                !value.is_empty()
                    && changes.iter().all(|(changed, _)| changed != name)
            })
            .cloned()
            .collect();
        for (name, value) in changes {
            if !value.is_empty() {
                query.push(((*name).to_owned(), (*value).to_owned()));
            }
        }
        with_query(&self.path, &query)
    }

    pub(crate) fn cells(&self) -> Cells<'_> {
        let owner = match &self.segments[..] {
            [segment, name, ..] => Some((segment.as_str(), name.as_str())),
            _ => None,
        };
        Cells { model: self.model, now: Utc::now(), owner }
    }

    /// The frame of a page with this title, and who is signed in.
    pub(crate) async fn frame(&self, title: &str) -> Result<Frame, Refusal> {
        let who = self.api.get("/v1/whoami").await?;
        let user = who.get("account").and_then(serde_json::Value::as_str);
        Ok(Frame {
            title: title.to_owned(),
            theme: self.theme.clone(),
            here: self.here(),
            user: user.map(str::to_owned),
            nav: page::nav(self.model, &self.path),
            ..Frame::default()
        })
    }

    /// What gives the answer of `operation` on a command line.
    pub(crate) fn commands(
        &self,
        resource: &Resource,
        operation: &Operation,
        values: &[&str],
        query: &[(String, String)],
    ) -> Vec<Command> {
        let mut onprem = self.model.command(resource, operation, values);
        for (name, value) in query {
            let flag = onprem_description::kebab(name);
            let _ = write!(onprem, " --{flag} {}", quoted(value));
        }
        let path = with_query(&operation.fill(values), query);
        let method = match operation.method.as_str() {
            "GET" => String::new(),
            method => format!(" -X {method}"),
        };
        let body = if operation.body.is_some() {
            " -H 'Content-Type: application/json' -d '{…}'"
        } else {
            ""
        };
        let curl = format!(
            "curl{method} -H \"Authorization: Bearer $ONPREM_TOKEN\"{body} \
             \"$ONPREM_URL{path}\""
        );
        vec![
            Command { title: "onprem", text: onprem },
            Command { title: "curl", text: curl },
        ]
    }
}

/// `text` as a shell takes it for one word.
pub(crate) fn quoted(text: &str) -> String {
    let is_plain = !text.is_empty()
        && text.bytes().all(|byte| {
            byte.is_ascii_alphanumeric() || b"-_./:=@,".contains(&byte)
        });
    if is_plain {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

fn value<'a>(pairs: &'a [(String, String)], name: &str) -> &'a str {
    pairs
        .iter()
        .find(|(own, _)| own == name)
        .map_or("", |(_, value)| value.as_str())
}

pub(crate) fn with_query(path: &str, query: &[(String, String)]) -> String {
    let words: Vec<_> = query
        .iter()
        .map(|(name, value)| format!("{}={}", escape(name), escape(value)))
        .collect();
    if words.is_empty() {
        path.to_owned()
    } else {
        format!("{path}?{}", words.join("&"))
    }
}

fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// The names and values of a query or a form.
fn pairs(text: &str) -> Vec<(String, String)> {
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let pair = pair.replace('+', " ");
            let (name, value) = pair.split_once('=').unwrap_or((&pair, ""));
            (decode(name), decode(value))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_survives_the_way_there_and_back() {
        let query = vec![
            ("q".to_owned(), "a b&c=d/ü".to_owned()),
            ("sort".to_owned(), "-name".to_owned()),
        ];
        let path = with_query("/devices", &query);
        let (_, text) = path.split_once('?').unwrap();
        assert_eq!(pairs(text), query);
        assert_eq!(pairs("q=a+b"), [("q".to_owned(), "a b".to_owned())]);
    }

    #[test]
    fn a_command_quotes_what_a_shell_would_read() {
        assert_eq!(quoted("blade-1"), "blade-1");
        assert_eq!(quoted("a b; rm 'x'"), r"'a b; rm '\''x'\'''");
    }
}
