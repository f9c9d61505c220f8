//! Join tokens, and the devices that come with them.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use dropshot::ResultsPage;
use onprem_link::{
    enrol::{Fingerprint, JoinToken as Secret, Refusal},
    id::Xid,
};
use serde::{Deserialize, Serialize};

use crate::{
    api::{
        Device, DeviceState, EventKind, JoinToken, JoinTokenCreate,
        JoinTokenFilter, Page, PendingKey, Severity,
    },
    auth::Caller,
    devices::Devices,
    error::Error,
    events::{self, Events},
    name::Name,
    store::{Collection, Record, Store, StoreError, Table, Write},
    tunnel::{Admission, Directory, DirectoryError, Enrolment, Standing},
};

/// How long a token is kept after it ended: a device that was let in with it,
/// or that waits for approval, may ask again.
const KEPT_AFTER: TimeDelta = TimeDelta::days(30);

/// Join tokens that may be valid at the same time.
const MAX_TOKENS: usize = 10_000;

/// A join token as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct JoinTokenRecord {
    id: Xid,
    hash: Fingerprint,
    description: String,
    uses_left: u32,
    /// The keys that were let in, or wait.
    keys: Vec<Fingerprint>,
    created_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    created_by: String,
}

/// The writes that bar a key, and what becomes of the tokens by them.
type Barring = (Vec<Write>, Vec<(JoinTokenRecord, u64)>);

impl Record for JoinTokenRecord {
    const COLLECTION: Collection = Collection::JoinTokens;

    fn id(&self) -> String {
        self.id.to_string()
    }

    fn unique(&self) -> Vec<(&'static str, String)> {
        vec![("hash", self.hash.to_string())]
    }
}

impl JoinTokenRecord {
    fn is_open(&self, now: DateTime<Utc>) -> bool {
        self.uses_left > 0 && self.expires_at > now
    }
}

/// Who may join, and who belongs.
#[derive(Debug)]
pub struct JoinTokens {
    store: Arc<dyn Store>,
    tokens: Table<JoinTokenRecord>,
    devices: Arc<Devices>,
    events: Arc<Events>,
    /// One device joins at a time, so that token, name and UUID belong
    /// together.
    joining: tokio::sync::Mutex<()>,
}

impl JoinTokens {
    pub(crate) async fn open(
        store: Arc<dyn Store>,
        devices: Arc<Devices>,
        events: Arc<Events>,
    ) -> Result<Self, StoreError> {
        Ok(Self {
            tokens: Table::open(Arc::clone(&store)).await?,
            store,
            devices,
            events,
            joining: tokio::sync::Mutex::default(),
        })
    }

    /// The join tokens that still let somebody in.
    pub(crate) fn list(
        &self,
        page: &Page<JoinTokenFilter>,
    ) -> Result<ResultsPage<JoinToken>, Error> {
        let now = Utc::now();
        let open = self.tokens.all();
        let open = open.iter().filter(|token| token.is_open(now));
        page.page(
            open.map(|token| JoinToken {
                id: token.id,
                description: token.description.clone(),
                uses_left: token.uses_left,
                created_at: token.created_at,
                expires_at: token.expires_at,
                created_by: token.created_by.clone(),
            })
            .collect(),
        )
    }

    /// Makes a join token for the fleet with this CA.
    pub(crate) async fn create(
        &self,
        caller: &Caller,
        request: JoinTokenCreate,
        ca: Fingerprint,
    ) -> Result<(JoinToken, Secret), Error> {
        let JoinTokenCreate { description, uses, expires_in_seconds } = request;
        if description.chars().count() > 200 {
            let message = "a description has 200 characters at most";
            return Err(Error::invalid("/description", message));
        }
        if !(1..=1000).contains(&uses) {
            let message = format!("{uses} is not from 1 to 1000");
            return Err(Error::invalid("/uses", message));
        }
        if !(60..=2_592_000).contains(&expires_in_seconds) {
            let message =
                format!("{expires_in_seconds} is not from 60 to 2592000");
            return Err(Error::invalid("/expiresInSeconds", message));
        }
        if self.tokens.len() >= MAX_TOKENS {
            let message = format!("there are {MAX_TOKENS} tokens already");
            return Err(Error::Conflict { pointer: None, message });
        }
        let secret = Secret::new(ca);
        let now = Utc::now();
        let token = self
            .tokens
            .insert(JoinTokenRecord {
                id: Xid::new(),
                hash: secret.hash(),
                description,
                uses_left: uses,
                keys: Vec::new(),
                created_at: now,
                expires_at: now
                    + TimeDelta::seconds(i64::from(expires_in_seconds)),
                created_by: caller.account().to_owned(),
            })
            .await?;
        let token = JoinToken {
            id: token.id,
            description: token.description.clone(),
            uses_left: token.uses_left,
            created_at: token.created_at,
            expires_at: token.expires_at,
            created_by: token.created_by.clone(),
        };
        Ok((token, secret))
    }

    /// Deletes a join token.
    pub(crate) async fn delete(&self, id: &str) -> Result<(), Error> {
        if self.tokens.remove(id).await? {
            Ok(())
        } else {
            Err(Error::not_found("join token", id))
        }
    }

    /// The writes after which no token lets this key in any more, with what
    /// they make of the tokens.
    fn barring(&self, keys: &[Fingerprint]) -> Result<Barring, StoreError> {
        let (mut writes, mut tokens) = (Vec::new(), Vec::new());
        for token in self.tokens.all() {
            if token.keys.iter().any(|key| keys.contains(key)) {
                let mut token = JoinTokenRecord::clone(&token);
                token.keys.retain(|key| !keys.contains(key));
                let (write, version) = self.tokens.updating(&token)?;
                writes.push(write);
                tokens.push((token, version));
            }
        }
        Ok((writes, tokens))
    }

    /// Deletes a device, so that neither its certificate nor the token it
    /// came with lets it in again.
    pub(crate) async fn delete_device(
        &self,
        device: &Device,
    ) -> Result<(), Error> {
        let _one_at_a_time = self.joining.lock().await;
        let pending = device.pending_key.as_ref();
        let keys: Vec<_> = [
            device.key_fingerprint.as_deref(),
            pending.map(|key| key.fingerprint.as_str()),
        ]
        .into_iter()
        .flatten()
        .filter_map(|key| key.parse().ok())
        .collect();
        let (mut writes, tokens) = self.barring(&keys)?;
        writes.push(Table::<Device>::deleting(&device.id.to_string()));
        self.store.apply(writes).await?;
        for (token, version) in tokens {
            self.tokens.absorb(token, version);
        }
        self.devices.table.forget(&device.id.to_string());
        Ok(())
    }

    /// Forgets what ended long ago.
    pub(crate) async fn tidy(&self) -> Result<(), StoreError> {
        let now = Utc::now();
        for token in self.tokens.all() {
            let kept = if token.keys.is_empty() {
                TimeDelta::zero()
            } else {
                KEPT_AFTER
            };
            if token.expires_at + kept <= now {
                self.tokens.remove(&token.id.to_string()).await?;
            }
        }
        Ok(())
    }

    /// A name that no device has, as near to the host name as can be.
    fn free_name(&self, host_name: &str) -> Name {
        let first = host_name.split('.').next().unwrap_or_default();
        let wanted = Name::nearest(first).or_else(|| Name::nearest("device"));
        let taken = |name: &Name| self.devices.find(name.as_str()).is_some();
        let wanted = wanted.unwrap_or_else(|| Name::from_id(Xid::new()));
        if !taken(&wanted) {
            return wanted;
        }
        // There are fewer devices than numbers.
        (2..=u32::MAX)
            .map(|number| wanted.numbered(number))
            .find(|name| !taken(name))
            .unwrap_or_else(|| Name::from_id(Xid::new()))
    }

    async fn admit(
        &self,
        enrolment: Enrolment,
    ) -> Result<Admission, StoreError> {
        let _one_at_a_time = self.joining.lock().await;
        let now = Utc::now();
        let hash = enrolment.token.to_string();
        let Some(token) = self.tokens.find("hash", &hash) else {
            return Ok(Admission::Refused(Refusal::UnknownToken));
        };
        let mut token = JoinTokenRecord::clone(&token);
        let spent = token.keys.contains(&enrolment.key);
        if !spent {
            if token.uses_left == 0 {
                return Ok(Admission::Refused(Refusal::UsedToken));
            }
            if token.expires_at <= now {
                return Ok(Admission::Refused(Refusal::ExpiredToken));
            }
            token.uses_left -= 1;
            token.keys.push(enrolment.key);
        }
        let known =
            self.devices.table.find("uuid", &enrolment.uuid.to_string());
        let (device, admission) = match &known {
            None => {
                let device = self.new_device(&enrolment, now);
                let id = device.id;
                (Some(device), Admission::Accepted { device: id })
            }
            Some(known) => known_device(known, &enrolment, now),
        };

        let mut writes = Vec::new();
        let token = if spent {
            None
        } else {
            let (write, version) = self.tokens.updating(&token)?;
            writes.push(write);
            Some((token, version))
        };
        let device = match device {
            None => None,
            Some(device) if known.is_none() => {
                writes.push(self.devices.table.inserting(&device)?);
                Some((device, 1))
            }
            Some(device) => {
                let (write, version) = self.devices.table.updating(&device)?;
                writes.push(write);
                Some((device, version))
            }
        };
        if !writes.is_empty() {
            self.store.apply(writes).await?;
        }
        if let Some((token, version)) = token {
            self.tokens.absorb(token, version);
        }
        if let Some((device, version)) = device {
            let device = self.devices.table.absorb(device, version);
            self.tell(&device, admission).await;
        }
        Ok(admission)
    }

    fn new_device(&self, enrolment: &Enrolment, now: DateTime<Utc>) -> Device {
        let facts = &enrolment.facts;
        let text = |text: &str| {
            Some(text.trim().to_owned()).filter(|text| !text.is_empty())
        };
        Device {
            id: Xid::new(),
            name: self.free_name(&facts.hostname),
            manufacturer: text(&facts.manufacturer),
            model: text(&facts.model),
            serial_number: text(&facts.serial_number),
            uuid: enrolment.uuid,
            last_ip_addr: Some(enrolment.peer.ip().to_canonical()),
            tainted: false,
            tainted_reasons: Vec::new(),
            state: DeviceState::Offline,
            health: None,
            health_reasons: Vec::new(),
            power_state: None,
            host_name: text(&facts.hostname),
            asset_tag: None,
            tags: std::collections::BTreeMap::new(),
            last_seen: None,
            agent_version: text(&facts.agent_version),
            abilities: Vec::new(),
            created_at: now,
            key_fingerprint: Some(enrolment.key.to_string()),
            pending_key: None,
        }
    }

    async fn tell(&self, device: &Device, admission: Admission) {
        let (kind, severity, what) = match admission {
            Admission::Accepted { .. } => {
                (EventKind::DeviceEnrolled, Severity::Info, "joined")
            }
            Admission::Waiting { .. } => (
                EventKind::DeviceWaiting,
                Severity::Warning,
                "came with a new key, which waits for approval",
            ),
            Admission::Refused(_) => return,
        };
        let message = format!("{} {what}", device.name);
        self.events.tell(events::about(device, kind, severity, message)).await;
    }
}

/// What becomes of a known device that asks to join, if anything.
fn known_device(
    known: &Device,
    enrolment: &Enrolment,
    now: DateTime<Utc>,
) -> (Option<Device>, Admission) {
    let device = known.id;
    let key = enrolment.key.to_string();
    if known.key_fingerprint.as_ref() == Some(&key) {
        return (None, Admission::Accepted { device });
    }
    let waiting = Admission::Waiting { device };
    let pending = known.pending_key.as_ref();
    if pending.is_some_and(|pending| pending.fingerprint == key) {
        return (None, waiting);
    }
    let mut changed = known.clone();
    changed.pending_key = Some(PendingKey {
        fingerprint: key,
        since: now,
        address: Some(enrolment.peer.ip().to_canonical()),
    });
    (Some(changed), waiting)
}

impl Directory for JoinTokens {
    async fn enrol(
        &self,
        enrolment: Enrolment,
    ) -> Result<Admission, DirectoryError> {
        // Something else may change the device at the same time.
        for _ in 0..8 {
            match self.admit(enrolment.clone()).await {
                Err(StoreError::Conflict { .. } | StoreError::Taken { .. }) => {
                    tokio::task::yield_now().await;
                }
                Err(error) => return Err(DirectoryError(error.into())),
                Ok(admission) => return Ok(admission),
            }
        }
        Err(DirectoryError("the device changes all the time".into()))
    }

    async fn standing(
        &self,
        device: Xid,
        key: Fingerprint,
    ) -> Result<Standing, DirectoryError> {
        let device = self.devices.table.get(&device.to_string());
        let key = key.to_string();
        Ok(match device {
            Some(device) if device.key_fingerprint.as_ref() == Some(&key) => {
                Standing::Accepted { uuid: device.uuid }
            }
            _ => Standing::Unknown,
        })
    }
}
