//! Events as syslog messages (RFC 5424).

use chrono::SecondsFormat;
use serde_json::Value;

use super::{
    record::{Event, Record},
    subscription::SyslogFilter,
};

/// The facilities of Redfish, with their numbers.
const FACILITIES: [(&str, u8); 24] = [
    ("Kern", 0),
    ("User", 1),
    ("Mail", 2),
    ("Daemon", 3),
    ("Auth", 4),
    ("Syslog", 5),
    ("LPR", 6),
    ("News", 7),
    ("UUCP", 8),
    ("Cron", 9),
    ("Authpriv", 10),
    ("FTP", 11),
    ("NTP", 12),
    ("Security", 13),
    ("Console", 14),
    ("SolarisCron", 15),
    ("Local0", 16),
    ("Local1", 17),
    ("Local2", 18),
    ("Local3", 19),
    ("Local4", 20),
    ("Local5", 21),
    ("Local6", 22),
    ("Local7", 23),
];

/// The severities of Redfish, from the worst; `All` comes last.
const SEVERITIES: [&str; 9] = [
    "Emergency",
    "Alert",
    "Critical",
    "Error",
    "Warning",
    "Notice",
    "Informational",
    "Debug",
    "All",
];

/// The longest text that is sent, in characters: a datagram that any receiver
/// takes (RFC 5426) has room for it.
const LONGEST: usize = 1024;

/// What concerns accounts is the business of `authpriv`, the rest that of a
/// daemon.
fn facility(record: &Record) -> &'static str {
    let accounts = record.registry == "AccountSecurity"
        || matches!(
            record.kind.as_deref(),
            Some("ManagerAccount" | "AccountService" | "Session" | "Role")
        );
    if accounts { "Authpriv" } else { "Daemon" }
}

/// The number of the severity.
fn severity(record: &Record) -> u8 {
    match record.severity.as_deref() {
        Some("Critical") => 2,
        Some("Warning") => 4,
        _ => 6,
    }
}

/// Is the record among those that one of `filters` describes? All are, where
/// there is none.
pub(super) fn passes(filters: &[SyslogFilter], record: &Record) -> bool {
    let number = usize::from(severity(record));
    filters.is_empty()
        || filters.iter().any(|filter| {
            let facilities = &filter.facilities;
            let lowest = filter.lowest.as_deref();
            let lowest = lowest.and_then(|lowest| {
                SEVERITIES.iter().position(|it| *it == lowest)
            });
            (facilities.is_empty()
                || facilities.iter().any(|it| it == facility(record)))
                && lowest.is_none_or(|lowest| number <= lowest)
        })
}

/// The event as one message; nothing if it is no record.
pub(super) fn line(event: &Event, host: &str) -> Option<Vec<u8>> {
    let record = event.record()?;
    let number = facility(record);
    let number = FACILITIES.iter().find(|it| it.0 == number)?.1;
    let priority = number * 8 + severity(record);
    let at = event.at.to_rfc3339_opts(SecondsFormat::Millis, true);
    let host = word(host, 255);
    let process = std::process::id();
    let key = word(&record.key, 32);
    let version = env!("CARGO_PKG_VERSION");
    // RFC 5424, 7.3.1: from 1 to 2147483647, then from the start again.
    let sequence = event.id % 0x7fff_ffff + 1;
    let body = record.value();
    let text = body.get("Message").and_then(Value::as_str);
    let text = text.unwrap_or(&record.key);
    let origin = record.origin.as_deref().unwrap_or_default();
    let text: String = format!("{} {text} {origin}", record.registry)
        .chars()
        .map(|it| if it.is_control() { ' ' } else { it })
        .take(LONGEST)
        .collect();
    let line = format!(
        "<{priority}>1 {at} {host} onprem-bmc {process} {key} \
         [meta sequenceId=\"{sequence}\"][origin software=\"onprem-bmc\" \
         swVersion=\"{version}\"] \u{feff}{}",
        text.trim_end()
    );
    Some(line.into_bytes())
}

/// A word as the head of a message has them.
fn word(text: &str, longest: usize) -> String {
    let printable = text.chars().filter(char::is_ascii_graphic);
    let word: String = printable.take(longest).collect();
    if word.is_empty() { "-".to_owned() } else { word }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use serde_json::json;

    use super::{super::record::Content, *};

    fn event(id: &str, severity: &str, origin: &str) -> Event {
        let body = json!({"MessageId": id, "MessageSeverity": severity,
            "Message": "It is\nhot.",
            "OriginOfCondition": {"@odata.id": origin}});
        let Value::Object(body) = body else { unreachable!() };
        let at = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        let content = Content::Record(Record::new(body));
        Event { id: 6, at, content }
    }

    #[test]
    fn a_message_has_the_form_of_rfc_5424() {
        let event = event(
            "SensorEvent.1.1.SensorFailure",
            "Warning",
            "/redfish/v1/Chassis/c/Sensors/t",
        );
        let line = String::from_utf8(line(&event, "blade 1").unwrap()).unwrap();
        let start = "<28>1 2023-11-14T22:13:20.000Z blade1 onprem-bmc ";
        assert!(line.starts_with(start), "{line}");
        let end = "\u{feff}SensorEvent It is hot. \
                   /redfish/v1/Chassis/c/Sensors/t";
        assert!(line.ends_with(end), "{line}");
        assert!(line.contains(" SensorFailure [meta sequenceId=\"7\"]["));
    }

    #[test]
    fn a_filter_is_by_facility_and_severity() {
        let filters = |filters: Value| -> Vec<SyslogFilter> {
            serde_json::from_value(filters).unwrap()
        };
        let hot = event("SensorEvent.1.1.A", "Warning", "/redfish/v1/Chassis");
        let passes = |it: Value| passes(&filters(it), hot.record().unwrap());
        assert!(passes(json!([])));
        assert!(passes(json!([{"LowestSeverity": "Warning"}])));
        assert!(passes(json!([{"LowestSeverity": "All"}])));
        assert!(!passes(json!([{"LowestSeverity": "Error"}])));
        assert!(passes(json!([{"LogFacilities": ["Daemon"]}])));
        assert!(!passes(json!([{"LogFacilities": ["Authpriv"]}])));
        assert!(passes(json!([{"LowestSeverity": "Alert"},
            {"LogFacilities": ["Daemon"]}])));
    }
}
