//! The text format of Prometheus, version 0.0.4.

use std::fmt::{Display, Write as _};

/// How a metric moves.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Counter,
    Gauge,
}

/// A scrape's body in the making.
#[derive(Debug, Default)]
pub(super) struct Text {
    text: String,
}

impl Text {
    /// Begins the metric `name`; `help` is one sentence.
    pub(super) fn begin(&mut self, name: &str, kind: Kind, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        self.put(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    /// A line of the metric `name`.
    pub(super) fn line(
        &mut self,
        name: &str,
        labels: &[(&str, &str)],
        value: impl Display,
    ) {
        self.text.push_str(name);
        for (index, (label, text)) in labels.iter().enumerate() {
            self.text.push(if index == 0 { '{' } else { ',' });
            self.put(format_args!("{label}=\""));
            for c in text.chars() {
                match c {
                    '\\' => self.text.push_str("\\\\"),
                    '"' => self.text.push_str("\\\""),
                    '\n' => self.text.push_str("\\n"),
                    c => self.text.push(c),
                }
            }
            self.text.push('"');
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        self.put(format_args!(" {value}\n"));
    }

    /// A metric of one line without labels.
    pub(super) fn single(
        &mut self,
        name: &str,
        kind: Kind,
        help: &str,
        value: impl Display,
    ) {
        self.begin(name, kind, help);
        self.line(name, &[], value);
    }

    pub(super) fn finish(self) -> String {
        self.text
    }

    fn put(&mut self, words: std::fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _ = self.text.write_fmt(words);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_what_would_end_a_label() {
        let mut text = Text::default();
        text.line("m", &[("a", "x\"y\\z\n"), ("b", "")], 1.5);
        assert_eq!(text.finish(), "m{a=\"x\\\"y\\\\z\\n\",b=\"\"} 1.5\n");
    }
}
