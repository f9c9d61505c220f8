//! What people define, reports and triggers: made, changed and removed in one
//! way.

use std::collections::BTreeMap;

use onprem_redfish::message::Message;
use serde::{Serialize, de::DeserializeOwned};

use super::{
    DEFINITIONS, Definition, Kept, Refused, Resolver, TRIGGERS, Telemetry,
    Trigger,
    change::{Values, merge},
    check,
};

/// What people define.
pub(crate) trait Defined:
    Default + Serialize + DeserializeOwned
{
    /// The name of its schema.
    const KIND: &'static str;
    /// How many of them there may be.
    const MOST: usize;

    /// All of them, by id.
    fn all(kept: &mut Kept) -> &mut BTreeMap<String, Self>;

    fn id(&mut self) -> &mut String;

    /// Can it be served, beside those that are `kept`? What it does not say
    /// and follows from what it says is put in.
    ///
    /// # Errors
    /// What is wrong with it.
    fn check(
        &mut self,
        kept: &Kept,
        resolver: &Resolver<'_>,
    ) -> Result<(), Vec<Message>>;

    /// Leaves out what means nothing after a change.
    fn settle(&mut self) {}
}

impl Defined for Definition {
    const KIND: &'static str = "MetricReportDefinition";
    const MOST: usize = DEFINITIONS;

    fn all(kept: &mut Kept) -> &mut BTreeMap<String, Self> {
        &mut kept.definitions
    }

    fn id(&mut self) -> &mut String {
        &mut self.id
    }

    fn check(
        &mut self,
        kept: &Kept,
        resolver: &Resolver<'_>,
    ) -> Result<(), Vec<Message>> {
        check::definition(self, kept, resolver)
    }

    fn settle(&mut self) {
        // The limit cannot be written, and means nothing now.
        if !self.appends() {
            self.append_limit = None;
        }
    }
}

impl Defined for Trigger {
    const KIND: &'static str = "Triggers";
    const MOST: usize = TRIGGERS;

    fn all(kept: &mut Kept) -> &mut BTreeMap<String, Self> {
        &mut kept.triggers
    }

    fn id(&mut self) -> &mut String {
        &mut self.id
    }

    fn check(
        &mut self,
        kept: &Kept,
        resolver: &Resolver<'_>,
    ) -> Result<(), Vec<Message>> {
        check::trigger(self, kept, resolver)
    }
}

impl Telemetry {
    /// Makes the one with `id` from what a POST says.
    pub(crate) async fn define<T: Defined>(
        &self,
        resolver: &Resolver<'_>,
        id: &str,
        values: &Values,
    ) -> Result<(), Refused> {
        self.keep(|kept| {
            let all = T::all(kept);
            if all.contains_key(id) {
                return Err(Refused::Known);
            }
            if all.len() >= T::MOST {
                return Err(Refused::Full);
            }
            let made = merge(&T::default(), values);
            let mut made = made.map_err(Refused::Wrong)?;
            id.clone_into(made.id());
            insert(made, kept, resolver)
        })
        .await
    }

    /// Changes the one with `id` as a PATCH says.
    pub(crate) async fn redefine<T: Defined>(
        &self,
        resolver: &Resolver<'_>,
        id: &str,
        values: &Values,
    ) -> Result<(), Refused> {
        self.keep(|kept| {
            let now = T::all(kept).get(id).ok_or(Refused::Unknown)?;
            let mut merged = merge(now, values).map_err(Refused::Wrong)?;
            merged.settle();
            insert(merged, kept, resolver)
        })
        .await
    }

    /// Forgets the one with `id`, with its reports.
    pub(crate) async fn undefine<T: Defined>(
        &self,
        id: &str,
    ) -> Result<(), Refused> {
        self.keep(|kept| {
            T::all(kept).remove(id).ok_or(Refused::Unknown)?;
            kept.unlink();
            Ok(())
        })
        .await
    }
}

fn insert<T: Defined>(
    mut it: T,
    kept: &mut Kept,
    resolver: &Resolver<'_>,
) -> Result<(), Refused> {
    it.check(kept, resolver).map_err(Refused::Wrong)?;
    let id = it.id().clone();
    T::all(kept).insert(id, it);
    Ok(())
}
