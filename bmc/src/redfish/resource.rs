//! What a resource is: where it lives, what is in it, what can be done to it.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    pin::Pin,
    sync::Arc,
};

use http::{HeaderName, HeaderValue};
use onprem_link::grant::{Grant, known_as};
use onprem_redfish::{
    message::{Message, base},
    privilege::{Privilege, Privileges},
};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{Service, error::Error, task::Work};
use crate::{
    accounts::{Account, Book},
    model::{self, Health, SensorKind, Snapshot},
    server::Presented,
};

/// Where a request came in.
#[derive(Debug, Clone)]
pub enum Origin {
    /// On the TLS port, from this address.
    Tls {
        /// The address of the other end.
        peer: SocketAddr,
        /// What the other end showed, if it did.
        certificates: Option<Arc<Presented>>,
    },
    /// Through the tunnel, with a grant that was checked.
    Tunnel(Box<Grant>),
}

/// Who asks.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) name: String,
    pub(crate) privileges: Privileges,
    /// The session that vouches for the caller, if one does.
    pub(crate) session: Option<String>,
    /// A local account; who comes with a grant has none.
    pub(crate) account: bool,
    /// Tells the account from others that had its name before.
    pub(crate) key: Option<Uuid>,
    /// A client certificate vouches for the caller.
    pub(crate) certificate: bool,
    /// Nothing but a change of the password is allowed.
    pub(crate) must_change_password: bool,
}

impl Caller {
    pub(crate) fn of(
        account: &Account,
        book: &Book,
        session: Option<String>,
    ) -> Self {
        Self {
            name: account.user_name.clone(),
            privileges: book.privileges(&account.role),
            session,
            account: true,
            key: account.key,
            certificate: false,
            must_change_password: account.must_change_password(),
        }
    }

    /// Who it is, as others are told: an account here by its name, and whom
    /// the fleet vouches for so that he is not taken for that.
    pub(crate) fn known_as(&self) -> String {
        if self.account { self.name.clone() } else { known_as(&self.name) }
    }

    /// May the caller do what takes any one of these privileges, whatever it
    /// is done to?
    pub(crate) fn may_everywhere(&self, needed: Privileges) -> bool {
        let held = self.privileges.without(Privilege::ConfigureSelf);
        needed.met_by(held) && !self.must_change_password
    }
}

/// What a GET is made from.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) service: &'a Service,
    pub(crate) book: &'a Book,
}

impl<'a> View<'a> {
    /// The system that the first of `ids` names.
    pub(crate) fn system(&self, ids: &[&str]) -> Option<&'a model::System> {
        self.snapshot.system(ids.first()?)
    }

    /// The chassis that the first of `ids` names.
    pub(crate) fn chassis(&self, ids: &[&str]) -> Option<&'a model::Chassis> {
        self.snapshot.chassis(ids.first()?)
    }

    /// The manager that the first of `ids` names.
    pub(crate) fn manager(&self, ids: &[&str]) -> Option<&'a model::Manager> {
        let manager = &self.snapshot.inventory.manager;
        (&*manager.id == *ids.first()?).then_some(manager)
    }

    /// The drives of the systems whose first chassis is `chassis`.
    pub(crate) fn drives(
        &self,
        chassis: &'a model::Chassis,
    ) -> impl Iterator<
        Item = (&'a model::System, &'a model::Storage, &'a model::Drive),
    > {
        let systems = self.snapshot.inventory.systems.iter();
        systems
            .filter(|system| system.chassis.first() == Some(&chassis.id))
            .flat_map(|system| {
                let storage = system.storage.iter();
                storage.map(move |storage| (system, storage))
            })
            .flat_map(|(system, storage)| {
                let drives = storage.drives.iter();
                drives.map(move |drive| (system, storage, drive))
            })
    }

    /// The worst health among the sensors of these kinds in `chassis`.
    pub(crate) fn worst(
        &self,
        chassis: &model::Chassis,
        kinds: &[SensorKind],
    ) -> Health {
        let sensors = chassis.sensors.iter();
        let of_kind = sensors.filter(|sensor| kinds.contains(&sensor.kind));
        let health = of_kind.map(|sensor| self.snapshot.sensor_health(sensor));
        health.max().unwrap_or(Health::Ok)
    }
}

/// What is to be written, by JSON pointer.
pub(crate) type Values = BTreeMap<&'static str, Value>;

/// What a write has to go by.
pub(crate) struct Write<'a> {
    pub(crate) service: &'a Service,
    /// `None` only where a session is to be opened.
    pub(crate) caller: Option<&'a Caller>,
    pub(crate) ids: &'a [&'a str],
    /// By JSON pointer; checked against the schema and against what the
    /// resource writes.
    pub(crate) values: &'a Values,
    pub(crate) peer: Option<IpAddr>,
}

impl Write<'_> {
    /// The id at `index` of the URI.
    pub(crate) fn id(&self, index: usize) -> &str {
        self.ids.get(index).copied().unwrap_or_default()
    }

    /// The text at a JSON pointer.
    pub(crate) fn text(&self, pointer: &str) -> Option<&str> {
        self.values.get(pointer)?.as_str()
    }

    /// The boolean at a JSON pointer.
    pub(crate) fn flag(&self, pointer: &str) -> Option<bool> {
        self.values.get(pointer)?.as_bool()
    }

    /// Whether there is a value at a JSON pointer, which says that there is
    /// none.
    pub(crate) fn is_null(&self, pointer: &str) -> bool {
        self.values.get(pointer).is_some_and(Value::is_null)
    }

    /// The number at a JSON pointer, if it is in `range`.
    ///
    /// # Errors
    /// It is not.
    pub(crate) fn number_in(
        &self,
        pointer: &str,
        range: RangeInclusive<u32>,
    ) -> Result<Option<u32>, Error> {
        match self.number(pointer)? {
            Some(number) if !range.contains(&number) => {
                let name = pointer.trim_start_matches('/');
                let text = number.to_string();
                let message = base::property_value_out_of_range(text, name)
                    .resolved_by(format!(
                        "Send a number from {} to {}.",
                        range.start(),
                        range.end()
                    ));
                Err(Error::bad(vec![message.about(pointer)]))
            }
            number => Ok(number),
        }
    }

    /// The number at a JSON pointer.
    ///
    /// # Errors
    /// It is none that can be kept.
    pub(crate) fn number(&self, pointer: &str) -> Result<Option<u32>, Error> {
        let Some(value) = self.values.get(pointer) else { return Ok(None) };
        let number = value.as_u64().and_then(|n| u32::try_from(n).ok());
        number.map(Some).ok_or_else(|| {
            let name = pointer.trim_start_matches('/');
            let text = value.to_string();
            let message = base::property_value_out_of_range(text, name);
            Error::bad(vec![message.about(pointer)])
        })
    }

    /// The texts in the array at a JSON pointer.
    pub(crate) fn texts(&self, pointer: &str) -> Option<Vec<String>> {
        let items = self.values.get(pointer)?.as_array()?.iter();
        Some(items.filter_map(Value::as_str).map(str::to_owned).collect())
    }
}

/// How long what a GET said stays true.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// As long as the process runs.
    Static,
    /// As long as inventory, settings and power states.
    Fixed,
    /// Until the next reading of the sensor that the last id names.
    Reading,
    /// Until the next reading.
    Live,
    /// Until the next second, and as long as inventory, settings, power
    /// states, and what a write or [`Service::touch`] changes: it tells the
    /// time, or how the machine is doing.
    Second,
    /// It depends on more than all this: it is made for each request.
    Now,
}

impl Freshness {
    /// Does it depend on what is not in the model?
    pub(crate) fn is_beyond_model(self) -> bool {
        matches!(self, Self::Second | Self::Now)
    }
}

/// What a GET says.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) body: Map<String, Value>,
    /// Properties that change by themselves and do not count for the `ETag`.
    pub(crate) volatile: &'static [&'static str],
    /// Actions by name, with the values that a parameter can take.
    pub(crate) actions: Vec<(&'static str, Map<String, Value>)>,
}

impl Answer {
    /// Names an action, with annotations about its parameters.
    pub(crate) fn action(
        mut self,
        name: &'static str,
        about: Map<String, Value>,
    ) -> Self {
        self.actions.push((name, about));
        self
    }

    /// Leaves out of the `ETag` what changes by itself.
    pub(crate) fn volatile(self, names: &'static [&'static str]) -> Self {
        Self { volatile: names, ..self }
    }
}

/// The answer that `resource` is.
pub(crate) fn answer(resource: impl Into<Map<String, Value>>) -> Answer {
    let body = resource.into();
    Answer { body, volatile: &[], actions: Vec::new() }
}

/// What a POST to a collection made.
#[derive(Debug)]
pub(crate) struct Created {
    pub(crate) uri: String,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    /// Something the caller has to know.
    pub(crate) message: Option<Message>,
}

impl From<String> for Created {
    fn from(uri: String) -> Self {
        Self { uri, headers: Vec::new(), message: None }
    }
}

/// What an action led to.
#[derive(Debug)]
pub(crate) enum Acted {
    /// It is done, and there is nothing more to say.
    Done,
    /// It is done, and this is its answer.
    Answer(Map<String, Value>),
    /// It goes on as a task of the caller's.
    Task(Work),
}

/// An action: its name, and the JSON pointers of its parameters.
pub(crate) type Action = (&'static str, &'static [&'static str]);

/// A write under way.
pub(crate) type Pending<'a, T> =
    Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

/// One kind of resource. HEAD, `Allow`, `ETag`, `Link`, privileges, `$select`
/// and the checks of what is written are the router's.
pub(crate) trait Resource: Sync {
    /// The pattern of its URIs.
    fn uri(&self) -> &'static str;

    /// The name of its schema.
    fn kind(&self) -> &'static str;

    /// How long what `get` says stays true.
    fn freshness(&self) -> Freshness {
        Freshness::Fixed
    }

    /// Why it can only be read where `ids` say; nothing where it can be changed
    /// as it says of itself.
    fn closed(&self, view: &View<'_>, ids: &[&str]) -> Option<&'static str> {
        let _ = (view, ids);
        None
    }

    /// What is in it; `None` where there is none of these ids.
    fn get(&self, view: &View<'_>, ids: &[&str]) -> Option<Answer>;

    /// Up to `top` of its members after the first `skip`, where making all of
    /// them is dear; `Members@odata.count` counts all.
    fn page(
        &self,
        view: &View<'_>,
        ids: &[&str],
        skip: usize,
        top: Option<usize>,
    ) -> Option<Answer> {
        let _ = (view, ids, skip, top);
        None
    }

    /// Does it belong to `caller`, who may then do what `ConfigureSelf`
    /// allows?
    fn is_own(&self, view: &View<'_>, ids: &[&str], caller: &Caller) -> bool {
        let _ = (view, ids, caller);
        false
    }

    /// The JSON pointers of the properties that a PATCH may set.
    fn writable(&self) -> &'static [&'static str] {
        &[]
    }

    /// Those of them that a PATCH may set to null.
    fn clears(&self) -> &'static [&'static str] {
        &[]
    }

    /// Carries out a PATCH.
    fn patch<'a>(&'a self, write: &'a Write<'a>) -> Pending<'a, ()> {
        let _ = write;
        Box::pin(async { Err(Error::internal()) })
    }

    /// Whether a PATCH holds only for a while unless it is confirmed, and so
    /// is a task.
    fn stages(&self) -> bool {
        false
    }

    /// Carries out a PATCH that goes on as a task.
    fn stage<'a>(&'a self, write: &'a Write<'a>) -> Pending<'a, Work> {
        let _ = write;
        Box::pin(async { Err(Error::internal()) })
    }

    /// The JSON pointers of the properties that a POST may set, where it makes
    /// a member.
    fn creates(&self) -> Option<&'static [&'static str]> {
        None
    }

    /// Carries out a POST.
    fn create<'a>(&'a self, write: &'a Write<'a>) -> Pending<'a, Created> {
        let _ = write;
        Box::pin(async { Err(Error::internal()) })
    }

    /// May it be deleted?
    fn deletes(&self) -> bool {
        false
    }

    /// Carries out a DELETE.
    fn delete<'a>(&'a self, write: &'a Write<'a>) -> Pending<'a, ()> {
        let _ = write;
        Box::pin(async { Err(Error::internal()) })
    }

    /// Its actions by name, with the JSON pointers of their parameters.
    fn actions(&self) -> &'static [Action] {
        &[]
    }

    /// The property that an action writes, where whoever may write that may
    /// carry it out.
    fn writes(&self, action: &str) -> Option<&'static str> {
        let _ = action;
        None
    }

    /// Carries out an action.
    fn act<'a>(
        &'a self,
        write: &'a Write<'a>,
        action: &'a str,
    ) -> Pending<'a, Acted> {
        let _ = (write, action);
        Box::pin(async { Err(Error::internal()) })
    }
}
