//! Lists of what a device says of itself now: the shape that they share.

use std::marker::PhantomData;

use dropshot::{HttpResponseOk, Path, RequestContext, ResultsPage};
use schemars::{
    JsonSchema,
    r#gen::SchemaGenerator,
    schema::{InstanceType, Schema, SchemaObject},
};
use serde::{Deserialize, Serialize};

use super::{
    call::{Answer, answer},
    device::DevicePath,
    page::{Listed, Listing, Sorted, sorts},
};
use crate::{Fleet, auth::Role, error::Error, live::Live};

/// A part of a device that is read from it when somebody asks.
pub trait Part:
    Listed + Clone + Serialize + JsonSchema + Send + Sync + 'static
{
    /// All that the device has.
    ///
    /// # Errors
    /// The device cannot be asked.
    fn all(
        live: &Live,
    ) -> impl Future<Output = Result<Vec<Self>, Error>> + Send;
}

/// How to list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, bound = "")]
pub struct By<I> {
    /// What to sort by; with `-` before it, downwards. By `id` unless said.
    pub sort: Option<String>,
    #[serde(skip)]
    of: PhantomData<fn() -> I>,
}

impl<I> Default for By<I> {
    fn default() -> Self {
        Self { sort: None, of: PhantomData }
    }
}

/// What `By` is for all items, but for what they can be sorted by.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "it is a schema only")]
struct ByWhat {
    /// What to sort by; with `-` before it, downwards. By `id` unless said.
    sort: Option<String>,
}

impl<I: Part> JsonSchema for By<I> {
    fn schema_name() -> String {
        format!("By{}", I::schema_name())
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let keys = sorts::<I>(generator).into_object().enum_values;
        let mut schema = ByWhat::json_schema(generator).into_object();
        if let Some(Schema::Object(sort)) =
            schema.object().properties.get_mut("sort")
        {
            *sort = SchemaObject {
                instance_type: Some(InstanceType::String.into()),
                enum_values: keys,
                metadata: sort.metadata.take(),
                ..SchemaObject::default()
            };
        }
        schema.into()
    }
}

impl<I> Sorted for By<I> {
    fn sort(&self) -> Option<&str> {
        self.sort.as_deref()
    }
}

/// Implements [`Listed`] for what is sorted by its id or its name; what tells
/// items apart is said.
macro_rules! named {
    ($($item:ty: $id:expr;)*) => {
        $(impl $crate::api::page::Listed for $item {
            const DEFAULT_SORT: &'static str = "id";
            const SORTS: &'static [&'static str] = &["id", "name"];

            fn key(&self, sort: &str) -> $crate::api::page::Key {
                $crate::api::page::Key::text(match sort {
                    "name" => &self.name,
                    _ => &self.id,
                })
            }

            fn id(&self) -> String {
                let id: fn(&Self) -> String = $id;
                id(self)
            }
        })*
    };
}
pub(super) use named;

/// Answers with a page of what the device has now.
pub(super) async fn list<I: Part>(
    rqctx: RequestContext<Fleet>,
    path: Path<DevicePath>,
    listing: Listing<By<I>>,
) -> Answer<HttpResponseOk<ResultsPage<I>>> {
    answer(rqctx, Role::Readonly, |call| async move {
        let listing = listing.get()?;
        let live = call.live(&path.into_inner().device)?;
        Ok(HttpResponseOk(listing.page(I::all(&live).await?)?))
    })
    .await
}
