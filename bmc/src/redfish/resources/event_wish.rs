//! What a client asks of a subscription, checked.

use std::collections::BTreeMap;

use http::{HeaderName, HeaderValue, Uri, header};
use onprem_redfish::{
    csdl,
    message::{Message, Registry, base},
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::event_service::resource_types;
use crate::redfish::{
    error::Error,
    event::{Filter, Format, Protocol, Subscription, SyslogFilter, registries},
    resource::Write,
};

/// What a POST may set.
pub(super) const ON_CREATE: &[&str] = &[
    "/Destination",
    "/Protocol",
    "/Context",
    "/SubscriptionType",
    "/EventFormatType",
    "/DeliveryRetryPolicy",
    "/RegistryPrefixes",
    "/ExcludeRegistryPrefixes",
    "/MessageIds",
    "/ExcludeMessageIds",
    "/ResourceTypes",
    "/OriginResources",
    "/SubordinateResources",
    "/Severities",
    "/MetricReportDefinitions",
    "/IncludeOriginOfCondition",
    "/HttpHeaders",
    "/VerifyCertificate",
    "/SyslogFilters",
    "/BackupDestinations",
    "/SendHeartbeat",
    "/HeartbeatIntervalMinutes",
];

/// What a PATCH may set.
pub(super) const ON_PATCH: &[&str] = &[
    "/Context",
    "/DeliveryRetryPolicy",
    "/HttpHeaders",
    "/VerifyCertificate",
    "/SyslogFilters",
    "/BackupDestinations",
];

/// How long a context, a destination or a header may be, in characters.
const LONGEST: u16 = 1024;
/// How many there may be of anything that is a list.
const MOST: usize = 32;
/// The most minutes between two signs of life: a week.
const LONGEST_SILENCE: u32 = 7 * 24 * 60;

/// Headers that the service sets itself.
const RESERVED: [HeaderName; 6] = [
    header::HOST,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// The values of a POST or PATCH.
pub(super) struct Wish<'a>(&'a Write<'a>);

impl<'a> Wish<'a> {
    pub(super) fn of(write: &'a Write<'a>) -> Self {
        Self(write)
    }

    /// The subscription that a POST asks for.
    pub(super) fn subscription(&self) -> Result<Subscription, Error> {
        let write = self.0;
        let protocol: Protocol =
            self.one("Protocol")?.unwrap_or(Protocol::Redfish);
        let kind = match protocol {
            Protocol::Redfish => "RedfishEvent",
            _ => "Syslog",
        };
        match write.text("/SubscriptionType") {
            Some(given) if given != kind => {
                return Err(not_in_list(given, "SubscriptionType"));
            }
            _ => {}
        }
        let to = write.text("/Destination").unwrap_or_default();
        self.destination(to, protocol, "Destination")?;
        let mut subscription = Subscription {
            protocol,
            destination: Some(to.to_owned()),
            filter: self.filter()?,
            include_origin: write
                .flag("/IncludeOriginOfCondition")
                .unwrap_or_default(),
            heartbeat_minutes: self.heartbeat()?,
            ..Subscription::default()
        };
        let reports = subscription.filter.format == Format::MetricReport;
        if subscription.is_syslog() && reports {
            return Err(not_in_list("MetricReport", "EventFormatType"));
        }
        self.change(&mut subscription)?;
        Ok(subscription)
    }

    /// Puts in what a PATCH may change.
    pub(super) fn change(&self, it: &mut Subscription) -> Result<(), Error> {
        let write = self.0;
        if let Some(context) = write.text("/Context") {
            short(context, "Context")?;
            it.context = Some(context.to_owned());
        }
        if let Some(policy) = self.one("DeliveryRetryPolicy")? {
            it.policy = policy;
        }
        if let Some(verify) = write.flag("/VerifyCertificate") {
            it.verify = verify;
        }
        if let Some(headers) = self.items("HttpHeaders")? {
            if it.is_syslog() && !headers.is_empty() {
                return Err(wrong("HttpHeaders"));
            }
            it.headers = parse_headers(&headers)?;
        }
        if let Some(filters) = self.items("SyslogFilters")? {
            if !it.is_syslog() && !filters.is_empty() {
                return Err(wrong("SyslogFilters"));
            }
            let filters = filters.into_iter().map(|filter| {
                serde_json::from_value::<SyslogFilter>(filter)
                    .map_err(|_| wrong("SyslogFilters"))
            });
            it.syslog = filters.collect::<Result<_, _>>()?;
        }
        if let Some(uris) = self.texts("BackupDestinations")? {
            for uri in &uris {
                self.destination(uri, it.protocol, "BackupDestinations")?;
            }
            it.backups = Some(uris);
        }
        Ok(())
    }

    fn filter(&self) -> Result<Filter, Error> {
        let known = |value: &str| registries().any(|it| it == value);
        let prefixes = |name| self.listed(name, known);
        let messages = |name| self.listed(name, is_message);
        let severity = |value: &str| csdl_severities().contains(&value);
        let served =
            |value: &str| resource_types().any(|served| served == value);
        let definitions = "/redfish/v1/TelemetryService/\
                           MetricReportDefinitions/";
        Ok(Filter {
            format: self.one("EventFormatType")?.unwrap_or_default(),
            registry_prefixes: prefixes("RegistryPrefixes")?,
            exclude_registry_prefixes: prefixes("ExcludeRegistryPrefixes")?,
            message_ids: messages("MessageIds")?,
            exclude_message_ids: messages("ExcludeMessageIds")?,
            resource_types: self.listed("ResourceTypes", served)?,
            origin_resources: self.links("OriginResources", |uri| {
                let path = uri.split('#').next().unwrap_or_default();
                csdl::resource_at(path).is_some()
            })?,
            subordinate_resources: self
                .0
                .flag("/SubordinateResources")
                .unwrap_or_default(),
            severities: self.listed("Severities", severity)?,
            metric_report_definitions: self
                .links("MetricReportDefinitions", |uri| {
                    uri.starts_with(definitions)
                })?,
        })
    }

    fn heartbeat(&self) -> Result<Option<u32>, Error> {
        let name = "HeartbeatIntervalMinutes";
        let minutes = match self.0.values.get("/HeartbeatIntervalMinutes") {
            None | Some(Value::Null) => None,
            Some(_) => self.0.number("/HeartbeatIntervalMinutes")?,
        };
        let wanted = self.0.flag("/SendHeartbeat").unwrap_or_default();
        match (wanted, minutes) {
            (true, Some(minutes)) if minutes > LONGEST_SILENCE => {
                let text = minutes.to_string();
                let message = base::property_value_out_of_range(text, name);
                Err(Error::bad(vec![message.about(format!("/{name}"))]))
            }
            (true, minutes) => Ok(Some(minutes.unwrap_or(1).max(1))),
            (false, Some(_)) => Err(wrong(name)),
            (false, None) => Ok(None),
        }
    }

    /// A value of an enum; refused if the service does not do it.
    fn one<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, Error> {
        let value = self.0.values.get(&*format!("/{name}"));
        let Some(value) = value.filter(|value| !value.is_null()) else {
            return Ok(None);
        };
        let found = serde_json::from_value(value.clone());
        let text = value.as_str().unwrap_or_default();
        found.map(Some).map_err(|_| not_in_list(text, name))
    }

    /// The elements of an array.
    fn items(&self, name: &'static str) -> Result<Option<Vec<Value>>, Error> {
        let value = self.0.values.get(&*format!("/{name}"));
        let Some(items) = value.and_then(Value::as_array) else {
            return Ok(None);
        };
        if items.len() > MOST {
            let most = u32::try_from(MOST).unwrap_or_default();
            let message = base::array_size_too_long(name, most);
            return Err(Error::bad(vec![message.about(format!("/{name}"))]));
        }
        let items = items.iter().filter(|item| !item.is_null());
        Ok(Some(items.cloned().collect()))
    }

    fn texts(&self, name: &'static str) -> Result<Option<Vec<String>>, Error> {
        let Some(items) = self.items(name)? else { return Ok(None) };
        let mut texts = Vec::new();
        for text in items.iter().filter_map(Value::as_str) {
            short(text, name)?;
            texts.push(text.to_owned());
        }
        Ok(Some(texts))
    }

    fn listed(
        &self,
        name: &'static str,
        known: impl Fn(&str) -> bool,
    ) -> Result<Vec<String>, Error> {
        let texts = self.texts(name)?.unwrap_or_default();
        match texts.iter().find(|text| !known(text)) {
            Some(unknown) => Err(not_in_list(unknown, name)),
            None => Ok(texts),
        }
    }

    fn links(
        &self,
        name: &'static str,
        known: impl Fn(&str) -> bool,
    ) -> Result<Vec<String>, Error> {
        let items = self.items(name)?.unwrap_or_default();
        let mut uris = Vec::new();
        for item in &items {
            let uri = item.get("@odata.id").and_then(Value::as_str);
            let uri = uri.unwrap_or_default();
            short(uri, name)?;
            if !known(uri) {
                return Err(not_in_list(uri, name));
            }
            uris.push(uri.to_owned());
        }
        Ok(uris)
    }

    /// Is this somewhere to send events?
    fn destination(
        &self,
        text: &str,
        protocol: Protocol,
        name: &str,
    ) -> Result<(), Error> {
        let refused = |resolution: &'static str| {
            let message = base::property_value_format_error(text, name);
            let message = message.about(format!("/{name}"));
            Error::bad(vec![message.resolved_by(resolution)])
        };
        short(text, name)?;
        let uri: Option<Uri> = text.parse().ok();
        let uri = uri.filter(|_| !text.contains('#'));
        let uri = uri.ok_or_else(|| refused(FORM))?;
        let authority = uri.authority().ok_or_else(|| refused(FORM))?;
        let port = authority.as_str().rsplit_once(':').map(|(_, port)| port);
        let port = port.filter(|port| !port.ends_with(']'));
        let bad_port =
            port.is_some() && authority.port_u16().is_none_or(|it| it == 0);
        if authority.host().is_empty() || bad_port {
            return Err(refused(FORM));
        }
        // A password in it would be shown to every reader, and logged.
        if authority.as_str().contains('@') {
            return Err(refused(CREDENTIALS));
        }
        match (protocol, uri.scheme_str()) {
            (Protocol::Redfish, Some("https")) => Ok(()),
            (Protocol::Redfish, Some("http")) => {
                let plain = self.0.service.allow_http_events;
                if plain || is_loopback(authority.host()) {
                    Ok(())
                } else {
                    Err(refused(PLAIN))
                }
            }
            (Protocol::Redfish, _) => Err(refused(FORM)),
            (_, Some("syslog")) if matches!(uri.path(), "" | "/") => Ok(()),
            _ => Err(refused(SYSLOG)),
        }
    }
}

const FORM: &str = "Send a URI like `https://host:port/path`.";
const SYSLOG: &str = "Send a URI like `syslog://host:port`.";
const CREDENTIALS: &str =
    "Leave user and password out, and send them in HttpHeaders.";
const PLAIN: &str = "Use https, or set `allow_http_events = true` in the \
    configuration of the agent.";

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let address = bare.parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|it| it.is_loopback())
}

/// `Registry.Key`, or with a version in between.
fn is_message(id: &str) -> bool {
    let prefix = id.split('.').next().unwrap_or_default();
    let key = id.rsplit('.').next().unwrap_or_default();
    id.contains('.')
        && Registry::named(prefix)
            .is_some_and(|registry| registry.template(key).is_some())
}

fn csdl_severities() -> &'static [&'static str] {
    &["OK", "Warning", "Critical"]
}

/// Names and values of headers; a value is never repeated in an error.
fn parse_headers(items: &[Value]) -> Result<BTreeMap<String, String>, Error> {
    let mut headers = BTreeMap::new();
    let pairs = items.iter().filter_map(Value::as_object).flatten();
    for (name, value) in pairs.filter(|(name, _)| !name.contains('@')) {
        let text = value.as_str().filter(|it| it.len() <= LONGEST.into());
        let parsed = name.parse::<HeaderName>();
        let fits = parsed.is_ok_and(|it| !RESERVED.contains(&it))
            && text.is_some_and(|it| it.parse::<HeaderValue>().is_ok());
        let (true, Some(text)) = (fits, text) else {
            let mut message = wrong_value("HttpHeaders");
            message = message.resolved_by(format!(
                "Send another name or value for the header `{}`.",
                name.chars().take(80).collect::<String>()
            ));
            return Err(Error::bad(vec![message]));
        };
        headers.insert(name.to_ascii_lowercase(), text.to_owned());
    }
    if headers.len() > MOST {
        let most = u32::try_from(MOST).unwrap_or_default();
        let message = base::array_size_too_long("HttpHeaders", most);
        return Err(Error::bad(vec![message.about("/HttpHeaders")]));
    }
    Ok(headers)
}

fn short(text: &str, name: &str) -> Result<(), Error> {
    if text.chars().count() <= LONGEST.into() {
        return Ok(());
    }
    let start: String = text.chars().take(40).collect();
    let message = base::string_value_too_long(start, LONGEST);
    Err(Error::bad(vec![message.about(format!("/{name}"))]))
}

fn not_in_list(value: &str, property: &str) -> Error {
    let message = base::property_value_not_in_list(value, property);
    Error::bad(vec![message.about(format!("/{property}"))])
}

fn wrong_value(property: &str) -> Message {
    base::property_value_error(property).about(format!("/{property}"))
}

fn wrong(property: &str) -> Error {
    Error::bad(vec![wrong_value(property)])
}
