//! `$skip` and `$top`, and the pages in which the service gives a large
//! collection on its own (DSP0266, "Resource collection requests").

use serde_json::{Map, Value};

/// How many members go into one answer.
pub(crate) const PAGE: usize = 1000;
/// How many members of a collection, or of one in it, are put in place.
pub(crate) const EXPANDED_PAGE: usize = 250;

/// What to show of a collection, and how to ask for the rest.
#[derive(Debug, Clone, Copy)]
pub(super) struct Page<'a> {
    pub(super) skip: usize,
    pub(super) top: Option<usize>,
    /// The most that is shown, whatever is asked for.
    pub(super) limit: usize,
    /// Where the collection is.
    pub(super) path: &'a str,
    /// The other parameters, which go for the rest as well.
    pub(super) others: &'a str,
}

impl Page<'_> {
    /// Leaves the members of this page, and says where the next one is.
    pub(super) fn cut(&self, body: &mut Map<String, Value>) {
        let Some(Value::Array(members)) = body.get_mut("Members") else {
            return;
        };
        let total = members.len();
        members.drain(..self.skip.min(total));
        members.truncate(self.size());
        let shown = members.len();
        self.lead_on(body, shown, total);
    }

    /// How many members fit.
    pub(super) fn size(&self) -> usize {
        self.top.unwrap_or(usize::MAX).min(self.limit)
    }

    /// Says where the members after the `shown` ones are, if there are any.
    pub(super) fn lead_on(
        &self,
        body: &mut Map<String, Value>,
        shown: usize,
        total: usize,
    ) {
        const NEXT: &str = "Members@odata.nextLink";
        body.shift_remove(NEXT);
        let next = self.skip.saturating_add(shown);
        if shown == 0 || next >= total {
            return;
        }
        let others = self.others;
        let joined = if others.is_empty() { "" } else { "&" };
        let top = self.top.map(|top| format!("&$top={top}"));
        let top = top.unwrap_or_default();
        let path = self.path;
        let link = format!("{path}?{others}{joined}$skip={next}{top}");
        body.insert(NEXT.to_owned(), link.into());
    }
}
