//! How values are shown to people.

use std::str::FromStr;

use serde_json::Value;

/// How the values of a property are shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Format {
    /// As it is.
    #[default]
    Text,
    /// `yes`, `no`.
    Boolean,
    /// A number without a unit.
    Number,
    /// `1.5 GiB`.
    Bytes,
    /// `7.5 W`.
    Watts,
    /// `5.1 V`.
    Volts,
    /// `1.2 A`.
    Amperes,
    /// `48.3 °C`.
    Celsius,
    /// `3200 rpm`.
    Rpm,
    /// `42 %`.
    Percent,
    /// `1.5 GHz`.
    Hertz,
    /// Seconds, as `3d 4h`.
    Duration,
    /// A time, as how long ago it was.
    Ago,
    /// A time.
    Time,
    /// An internet address.
    Ip,
    /// A hardware address.
    Mac,
    /// An id of the fleet.
    Xid,
    /// A UUID.
    Uuid,
    /// An indicator: on or off.
    Led,
    /// A state with a tone.
    State,
    /// Names with values, or words.
    Tags,
    /// Many values.
    List,
    /// Something to be shown as JSON.
    Json,
    /// Text for machines: fingerprints, keys.
    Code,
    /// A link.
    Url,
    /// Shown once, where it was made.
    Secret,
    /// Shown nowhere.
    Hidden,
}

const NAMES: &[(&str, Format)] = &[
    ("text", Format::Text),
    ("boolean", Format::Boolean),
    ("number", Format::Number),
    ("bytes", Format::Bytes),
    ("watts", Format::Watts),
    ("volts", Format::Volts),
    ("amperes", Format::Amperes),
    ("celsius", Format::Celsius),
    ("rpm", Format::Rpm),
    ("percent", Format::Percent),
    ("hertz", Format::Hertz),
    ("duration", Format::Duration),
    ("ago", Format::Ago),
    ("time", Format::Time),
    ("ip", Format::Ip),
    ("mac", Format::Mac),
    ("xid", Format::Xid),
    ("uuid", Format::Uuid),
    ("led", Format::Led),
    ("state", Format::State),
    ("tags", Format::Tags),
    ("list", Format::List),
    ("json", Format::Json),
    ("code", Format::Code),
    ("url", Format::Url),
    ("secret", Format::Secret),
    ("hidden", Format::Hidden),
];

impl FromStr for Format {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let found = NAMES.iter().find(|(name, _)| *name == text);
        found.map(|(_, format)| *format).ok_or(())
    }
}

impl Format {
    /// Its name in the overlay.
    #[must_use]
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(_, f)| *f == self).map_or("text", |(n, _)| n)
    }

    /// `value` as people read it; nothing for null.
    #[must_use]
    pub fn show(self, value: &Value) -> String {
        match (self, value) {
            (_, Value::Null) | (Self::Hidden, _) => String::new(),
            (Self::Led, Value::Bool(on)) => word(*on, "on", "off"),
            (_, Value::Bool(yes)) => word(*yes, "yes", "no"),
            (Self::Time | Self::Ago, Value::String(text)) => time(text),
            (_, Value::String(text)) => text.clone(),
            (_, Value::Number(number)) => {
                number.as_f64().map_or_else(String::new, |n| self.number(n))
            }
            (Self::Json, value) => value.to_string(),
            (_, Value::Array(items)) => {
                let items: Vec<_> =
                    items.iter().map(|item| self.show(item)).collect();
                items.join(", ")
            }
            (_, Value::Object(map)) => {
                let entries: Vec<_> = map
                    .iter()
                    .map(|(name, value)| match self.show(value).as_str() {
                        "" => name.clone(),
                        value => format!("{name}={value}"),
                    })
                    .collect();
                entries.join(", ")
            }
        }
    }

    fn number(self, number: f64) -> String {
        match self {
            Self::Bytes => scaled(number, 1024.0, BINARY),
            Self::Hertz => scaled(number, 1000.0, DECIMAL),
            Self::Watts => format!("{} W", round(number)),
            Self::Volts => format!("{} V", round(number)),
            Self::Amperes => format!("{} A", round(number)),
            Self::Celsius => format!("{} °C", round(number)),
            Self::Rpm => format!("{number:.0} rpm"),
            Self::Percent => format!("{} %", round(number)),
            Self::Duration => duration(number),
            _ => round(number),
        }
    }
}

const BINARY: &[&str] = &["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
const SPANS: &[(&str, f64)] =
    &[("d", 86400.0), ("h", 3600.0), ("m", 60.0), ("s", 1.0)];
const DECIMAL: &[&str] = &["Hz", "kHz", "MHz", "GHz", "THz"];

/// A time to the second: `2026-11-22 15:53:47 UTC`.
fn time(text: &str) -> String {
    let plain = text.get(..19).filter(|_| text.ends_with('Z'));
    plain.map_or_else(
        || text.to_owned(),
        |plain| format!("{} UTC", plain.replace('T', " ")),
    )
}

fn word(yes: bool, then: &str, otherwise: &str) -> String {
    if yes { then } else { otherwise }.to_owned()
}

/// At most two digits after the point, and no zeros at the end.
fn round(number: f64) -> String {
    let text = format!("{number:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn scaled(mut number: f64, base: f64, units: &[&str]) -> String {
    let mut units = units.iter();
    let mut unit = units.next();
    while number.abs() >= base
        && let Some(next) = units.next()
    {
        number /= base;
        unit = Some(next);
    }
    let digits = usize::from(number.abs() < 100.0 && number.fract() != 0.0);
    format!("{number:.digits$} {}", unit.unwrap_or(&""))
}

fn duration(seconds: f64) -> String {
    if seconds < 60.0 {
        return format!("{}s", round(seconds));
    }
    let mut rest = seconds;
    let mut parts = Vec::new();
    for (unit, length) in SPANS {
        let count = (rest / length).floor();
        if count >= 1.0 {
            parts.push(format!("{count:.0}{unit}"));
            rest -= count * length;
        }
    }
    parts.truncate(2);
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn shows_numbers_with_their_units() {
        let show = |format: Format, number: f64| format.show(&json!(number));
        assert_eq!(show(Format::Bytes, 1_610_612_736.0), "1.5 GiB");
        assert_eq!(show(Format::Bytes, 512.0), "512 B");
        assert_eq!(show(Format::Hertz, 1.8e9), "1.8 GHz");
        assert_eq!(show(Format::Celsius, 48.312), "48.31 °C");
        assert_eq!(show(Format::Celsius, 40.0), "40 °C");
        assert_eq!(show(Format::Duration, 273_600.0), "3d 4h");
        assert_eq!(show(Format::Duration, 12.5), "12.5s");
        assert_eq!(show(Format::Number, 100.0), "100");
    }

    #[test]
    fn shows_times_to_the_second() {
        let show = |text| Format::Time.show(&json!(text));
        assert_eq!(
            show("2026-11-22T15:53:47.021239608Z"),
            "2026-11-22 15:53:47 UTC"
        );
        assert_eq!(
            show("2026-11-22T15:53:47+01:00"),
            "2026-11-22T15:53:47+01:00"
        );
    }

    #[test]
    fn shows_lists_and_tags_on_one_line() {
        let tags = json!({"row": "a", "lab": ""});
        assert_eq!(Format::Tags.show(&tags), "row=a, lab");
        assert_eq!(Format::List.show(&json!(["a", "b"])), "a, b");
        assert_eq!(Format::Text.show(&Value::Null), "");
    }

    #[test]
    fn every_name_reads_back() {
        for (name, format) in NAMES {
            assert_eq!(name.parse(), Ok(*format));
            assert_eq!(format.name(), *name);
        }
    }
}
