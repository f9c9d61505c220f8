//! Lists: filter, sort, and pages.

use std::{cmp::Ordering, fmt};

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use dropshot::{
    ApiEndpointBodyContentType, ExtractorMetadata, HttpError, PaginationParams,
    Query, RequestContext, ResultsPage, ServerContext, SharedExtractor,
};
use schemars::{
    JsonSchema,
    r#gen::SchemaGenerator,
    schema::{InstanceType, Schema, SchemaObject},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::json;

use crate::error::Error;

/// Items on a page, unless said.
const DEFAULT_LIMIT: usize = 100;

/// Items on a page at most.
const MAX_LIMIT: usize = 1000;

/// A value to sort by.
#[derive(Clone, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
pub enum Key {
    /// No value; comes first.
    None,
    /// A number, a time, or yes and no.
    Number(f64),
    /// A text; upper and lower case are the same.
    Text(String),
}

impl Key {
    /// The key of a text.
    #[must_use]
    pub fn text(text: impl fmt::Display) -> Self {
        Self::Text(text.to_string().to_lowercase())
    }

    /// The key of a text that may be missing.
    #[must_use]
    pub fn maybe(text: Option<&impl fmt::Display>) -> Self {
        text.map_or(Self::None, Self::text)
    }

    /// The key of a time that may be missing.
    #[must_use]
    pub fn time(time: Option<chrono::DateTime<chrono::Utc>>) -> Self {
        #[expect(
            clippy::cast_precision_loss,
            reason = "milliseconds since 1970 fit into 53 bits"
        )]
        time.map_or(Self::None, |t| Self::Number(t.timestamp_millis() as f64))
    }
}

/// What can be listed page by page.
pub trait Listed {
    /// What to sort by unless said.
    const DEFAULT_SORT: &'static str;

    /// What can be sorted by.
    const SORTS: &'static [&'static str];

    /// The value to sort by, for a name in `SORTS`.
    fn key(&self, sort: &str) -> Key;

    /// What tells items apart that sort the same.
    fn id(&self) -> String;
}

/// A filter that may say what to sort by.
pub trait Sorted {
    /// What to sort by.
    fn sort(&self) -> Option<&str>;
}

/// Implements [`Sorted`] for filters with a field `sort`.
macro_rules! sorted {
    ($($filter:ty),* $(,)?) => {
        $(impl $crate::api::page::Sorted for $filter {
            fn sort(&self) -> Option<&str> {
                self.sort.as_deref()
            }
        })*
    };
}
pub(super) use sorted;

/// The schema of a parameter `sort`.
pub(super) fn sorts<I: Listed>(_: &mut SchemaGenerator) -> Schema {
    let names = I::SORTS.iter();
    SchemaObject {
        instance_type: Some(InstanceType::String.into()),
        enum_values: Some(
            names
                .flat_map(|name| [json!(name), json!(format!("-{name}"))])
                .collect(),
        ),
        ..Default::default()
    }
    .into()
}

/// One page of a list that is asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Page<T> {
    /// What to list, and how.
    pub filter: T,
    /// Items at most.
    #[serde(skip)]
    pub limit: usize,
    /// The last item of the page before.
    pub after: Option<(Key, String)>,
}

impl<T: Clone + Serialize> Page<T> {
    /// A page of `items`, and the token for the next one when `more` follow.
    ///
    /// # Errors
    /// The token cannot be made.
    pub fn answer<I>(
        &self,
        items: Vec<I>,
        more: Option<(Key, String)>,
    ) -> Result<ResultsPage<I>, Error> {
        let next_page = more
            .map(|after| {
                let next = Page {
                    filter: self.filter.clone(),
                    limit: 0,
                    after: Some(after),
                };
                serde_json::to_vec(&next).map(|t| URL_SAFE_NO_PAD.encode(t))
            })
            .transpose()
            .map_err(|error| Error::Internal(error.into()))?;
        Ok(ResultsPage { next_page, items })
    }

    /// Sorts `items` and takes this page of them.
    ///
    /// # Errors
    /// They cannot be sorted in the way that is asked for.
    pub fn page<I: Listed>(
        &self,
        items: Vec<I>,
    ) -> Result<ResultsPage<I>, Error>
    where
        T: Sorted,
    {
        let sort = self.filter.sort().unwrap_or(I::DEFAULT_SORT);
        let (name, down) = match sort.strip_prefix('-') {
            Some(name) => (name, true),
            None => (sort, false),
        };
        if !I::SORTS.contains(&name) {
            return Err(Error::invalid(
                "?sort",
                format!(
                    "cannot sort by `{name}`; one of {} expected",
                    I::SORTS.join(", ")
                ),
            ));
        }
        let order = |a: &(Key, String), b: &(Key, String)| {
            let order = a.partial_cmp(b).unwrap_or(Ordering::Equal);
            if down { order.reverse() } else { order }
        };
        let mut keyed: Vec<_> = items
            .into_iter()
            .map(|item| ((item.key(name), item.id()), item))
            .filter(|(key, _)| match &self.after {
                Some(after) => order(key, after) == Ordering::Greater,
                None => true,
            })
            .collect();
        keyed.sort_by(|(a, _), (b, _)| order(a, b));
        let more = keyed.len() > self.limit;
        keyed.truncate(self.limit);
        let last = keyed.last().map(|(key, _)| key.clone());
        let items = keyed.into_iter().map(|(_, item)| item).collect();
        self.answer(items, last.filter(|_| more))
    }
}

/// The query of a list: its filter, `limit` and `page_token`.
#[derive(Debug)]
pub(super) struct Listing<T>(Result<Page<T>, Error>);

impl<T> Listing<T> {
    /// The page that is asked for.
    pub(super) fn get(self) -> Result<Page<T>, Error> {
        self.0
    }
}

#[async_trait]
impl<T> SharedExtractor for Listing<T>
where
    T: JsonSchema + Serialize + DeserializeOwned + Send + Sync + 'static,
{
    async fn from_request<Context: ServerContext>(
        rqctx: &RequestContext<Context>,
    ) -> Result<Self, HttpError> {
        Ok(Self(parse(rqctx.request.uri().query().unwrap_or_default())))
    }

    fn metadata(content: ApiEndpointBodyContentType) -> ExtractorMetadata {
        <Query<PaginationParams<T, Page<T>>> as SharedExtractor>::metadata(
            content,
        )
    }
}

fn parse<T: DeserializeOwned>(query: &str) -> Result<Page<T>, Error> {
    let mut limit = DEFAULT_LIMIT;
    let mut token = None;
    let mut filter = form_urlencoded::Serializer::new(String::new());
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match (&*name, &*value) {
            ("limit", value) => {
                limit = match value.parse() {
                    Ok(0) | Err(_) => {
                        return Err(Error::invalid(
                            "?limit",
                            format!("`{value}` is no number of items"),
                        ));
                    }
                    Ok(limit) => MAX_LIMIT.min(limit),
                }
            }
            // A form sends its empty fields too.
            (_, "") => {}
            ("page_token", token_) => token = Some(token_.to_owned()),
            (name, value) => {
                filter.append_pair(name, value);
            }
        }
    }
    let filter = filter.finish();
    let filter = serde_urlencoded::Deserializer::new(form_urlencoded::parse(
        filter.as_bytes(),
    ));
    let filter = serde_path_to_error::deserialize(filter).map_err(|error| {
        let name = error.path().to_string();
        let name = if name == "." { String::new() } else { name };
        Error::invalid(format!("?{name}"), error.inner().to_string())
    })?;
    let Some(token) = token else {
        return Ok(Page { filter, limit, after: None });
    };
    // The token says all that the first page was asked for.
    let page: Option<Page<T>> = URL_SAFE_NO_PAD
        .decode(token)
        .ok()
        .and_then(|token| serde_json::from_slice(&token).ok());
    match page {
        Some(page) => Ok(Page { limit, ..page }),
        None => Err(Error::invalid(
            "?page_token",
            "not a token that this list gave out",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Debug, Default, Serialize, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Filter {
        even: Option<bool>,
        sort: Option<String>,
    }
    sorted!(Filter);

    impl Listed for u32 {
        const DEFAULT_SORT: &'static str = "digits";
        const SORTS: &'static [&'static str] = &["digits", "value"];

        fn key(&self, sort: &str) -> Key {
            match sort {
                "digits" => Key::Number(f64::from(self.ilog10())),
                _ => Key::Number(f64::from(*self)),
            }
        }

        fn id(&self) -> String {
            format!("{self:010}")
        }
    }

    fn all(query: &str) -> Vec<u32> {
        let mut found = Vec::new();
        let mut query = query.to_owned();
        loop {
            let page: Page<Filter> = parse(&query).unwrap();
            let answer = page.page((1..=25).rev().collect()).unwrap();
            assert!(answer.items.len() <= 7);
            found.extend(answer.items);
            match answer.next_page {
                Some(token) => query = format!("limit=7&page_token={token}"),
                None => return found,
            }
        }
    }

    #[test]
    fn pages_hold_each_item_once_and_in_order() {
        assert_eq!(all("limit=7"), (1..=25).collect::<Vec<_>>());
        let down: Vec<_> = (1..=25).rev().collect();
        assert_eq!(all("limit=7&sort=-value"), down);
    }

    #[test]
    fn an_error_names_the_parameter() {
        let pointer = |query| {
            let error = parse::<Filter>(query).unwrap_err();
            (error.pointer().unwrap_or_default().to_owned(), error.to_string())
        };
        assert_eq!(pointer("even=maybe").0, "?even");
        assert_eq!(pointer("limit=0").0, "?limit");
        assert_eq!(pointer("page_token=x").0, "?page_token");
        let (_, message) = pointer("odd=1");
        assert!(message.contains("unknown field `odd`"), "{message}");
        assert!(parse::<Filter>("even=").unwrap().filter.even.is_none());
    }
}
