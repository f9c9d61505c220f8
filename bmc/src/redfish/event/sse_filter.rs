//! `$filter` on the stream of events (DSP0266, "Event stream filters"): it
//! speaks of events and not of properties of a resource, and the version in a
//! `MessageId` does not count.

use super::{
    filter::{lies, named},
    record::{Content, Event},
};

/// The longest expression, in bytes.
const LONGEST: usize = 4096;
/// How deep parentheses may go.
const DEEPEST: usize = 32;

/// A condition on events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Expression {
    condition: Condition,
    /// What lies below an `OriginResource` counts as well.
    subordinate: bool,
    /// It says which of events and reports it speaks of; else of events.
    of_format: bool,
    /// It names metric reports.
    of_reports: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Condition {
    Any(Vec<Self>),
    All(Vec<Self>),
    Not(Box<Self>),
    Is(Property, String),
    /// `SubordinateResources`, which changes what others mean.
    True,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Property {
    EventFormatType,
    MessageId,
    MetricReportDefinition,
    OriginResource,
    RegistryPrefix,
    ResourceType,
}

const PROPERTIES: [(&str, Property); 6] = [
    ("EventFormatType", Property::EventFormatType),
    ("MessageId", Property::MessageId),
    ("MetricReportDefinition", Property::MetricReportDefinition),
    ("OriginResource", Property::OriginResource),
    ("RegistryPrefix", Property::RegistryPrefix),
    ("ResourceType", Property::ResourceType),
];

impl Expression {
    /// Reads an expression.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.len() > LONGEST {
            return Err(format!("it is longer than {LONGEST} bytes"));
        }
        let tokens = tokens(text)?;
        let mut parser = Parser {
            tokens: tokens.into_iter().peekable(),
            subordinate: false,
            of_format: false,
            of_reports: false,
        };
        let condition = parser.any(0)?;
        if let Some(rest) = parser.tokens.next() {
            return Err(format!("`and` or `or` is missing before {rest}"));
        }
        let Parser { subordinate, of_format, of_reports, .. } = parser;
        Ok(Self { condition, subordinate, of_format, of_reports })
    }

    /// Does it ask for metric reports?
    pub(super) fn of_reports(&self) -> bool {
        self.of_reports
    }

    /// Is this wanted?
    pub(super) fn admits(&self, event: &Event) -> bool {
        let record = matches!(event.content, Content::Record(_));
        (self.of_format || record) && self.holds(&self.condition, event)
    }

    fn holds(&self, condition: &Condition, event: &Event) -> bool {
        match condition {
            Condition::Any(all) => all.iter().any(|it| self.holds(it, event)),
            Condition::All(all) => all.iter().all(|it| self.holds(it, event)),
            Condition::Not(it) => !self.holds(it, event),
            Condition::Is(property, value) => self.is(*property, value, event),
            Condition::True => true,
        }
    }

    fn is(&self, property: Property, value: &str, event: &Event) -> bool {
        let record = match (&event.content, property) {
            (Content::Record(_), Property::EventFormatType) => {
                return value == "Event";
            }
            (Content::Report { .. }, Property::EventFormatType) => {
                return value == "MetricReport";
            }
            (
                Content::Report { definition, .. },
                Property::MetricReportDefinition,
            ) => return value == definition,
            (Content::Report { .. }, _) => return false,
            (Content::Record(record), _) => record,
        };
        match property {
            Property::MessageId => named(value, record.id()),
            Property::OriginResource => record
                .origin
                .as_deref()
                .is_some_and(|it| lies(it, value, self.subordinate)),
            Property::RegistryPrefix => record.registry == value,
            Property::ResourceType => record.kind.as_deref() == Some(value),
            Property::EventFormatType | Property::MetricReportDefinition => {
                false
            }
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Open,
    Close,
    Word(String),
    Text(String),
}

impl std::fmt::Display for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Open => f.write_str("`(`"),
            Self::Close => f.write_str("`)`"),
            Self::Word(word) => write!(f, "`{word}`"),
            Self::Text(text) => write!(f, "`'{text}'`"),
        }
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut found = Vec::new();
    let mut rest = text.chars().peekable();
    while let Some(&first) = rest.peek() {
        if first.is_whitespace() {
            rest.next();
        } else if first == '(' || first == ')' {
            rest.next();
            found.push(if first == '(' { Token::Open } else { Token::Close });
        } else if first == '\'' {
            rest.next();
            let mut value = String::new();
            loop {
                match rest.next() {
                    // Twice, it stands for itself.
                    Some('\'') if rest.peek() == Some(&'\'') => {
                        rest.next();
                        value.push('\'');
                    }
                    Some('\'') => break,
                    Some(other) => value.push(other),
                    None => return Err("a `'` is missing".to_owned()),
                }
            }
            found.push(Token::Text(value));
        } else {
            let mut word = String::new();
            while let Some(&next) = rest.peek() {
                if next.is_whitespace() || "()'".contains(next) {
                    break;
                }
                word.push(next);
                rest.next();
            }
            found.push(Token::Word(word));
        }
    }
    Ok(found)
}

struct Parser {
    tokens: std::iter::Peekable<std::vec::IntoIter<Token>>,
    subordinate: bool,
    of_format: bool,
    of_reports: bool,
}

impl Parser {
    /// Takes the next token, if it is this word.
    fn word(&mut self, wanted: &str) -> bool {
        let is = |it: &Token| matches!(it, Token::Word(it) if it == wanted);
        self.tokens.next_if(is).is_some()
    }

    fn any(&mut self, depth: usize) -> Result<Condition, String> {
        let mut all = vec![self.all(depth)?];
        while self.word("or") {
            all.push(self.all(depth)?);
        }
        Ok(Condition::Any(all))
    }

    fn all(&mut self, depth: usize) -> Result<Condition, String> {
        let mut all = vec![self.one(depth)?];
        while self.word("and") {
            all.push(self.one(depth)?);
        }
        Ok(Condition::All(all))
    }

    fn one(&mut self, depth: usize) -> Result<Condition, String> {
        if depth > DEEPEST {
            return Err("the parentheses go too deep".to_owned());
        }
        if self.word("not") {
            return Ok(Condition::Not(Box::new(self.one(depth + 1)?)));
        }
        if self.tokens.next_if_eq(&Token::Open).is_some() {
            let inner = self.any(depth + 1)?;
            let closed = self.tokens.next_if_eq(&Token::Close);
            closed.ok_or("a `)` is missing")?;
            return Ok(inner);
        }
        self.comparison()
    }

    fn comparison(&mut self) -> Result<Condition, String> {
        let name = match self.tokens.next() {
            Some(Token::Word(name)) => name,
            Some(other) => return Err(format!("{other} is no property")),
            None => return Err("a condition is missing".to_owned()),
        };
        let equal = self.word("eq");
        if !equal && !self.word("ne") {
            return Err(format!("`eq` or `ne` is missing after `{name}`"));
        }
        if name == "SubordinateResources" {
            let yes = self.word("true");
            if !yes && !self.word("false") {
                return Err(format!("`{name}` is `true` or `false`"));
            }
            self.subordinate = yes == equal;
            return Ok(Condition::True);
        }
        let property = PROPERTIES.iter().find(|it| it.0 == name);
        let property = property
            .ok_or_else(|| format!("events cannot be filtered by `{name}`"))?;
        let Some(Token::Text(value)) = self.tokens.next() else {
            return Err(format!("a text in `'` is missing for `{name}`"));
        };
        let report = match property.1 {
            Property::EventFormatType => {
                if !["Event", "MetricReport"].contains(&&*value) {
                    return Err(format!("`{value}` is no {name}"));
                }
                self.of_format = true;
                (value == "MetricReport") == equal
            }
            Property::MetricReportDefinition => {
                self.of_format = true;
                true
            }
            _ => false,
        };
        self.of_reports |= report;
        let is = Condition::Is(property.1, value);
        Ok(if equal { is } else { Condition::Not(Box::new(is)) })
    }
}

#[cfg(test)]
mod tests {
    use chrono::Utc;
    use serde_json::{Value, json};

    use super::{super::record::Record, *};

    fn event() -> Event {
        let body = json!({"MessageId": "SensorEvent.1.1.SensorFailure",
            "OriginOfCondition":
                {"@odata.id": "/redfish/v1/Chassis/c/Sensors/t"}});
        let Value::Object(body) = body else { unreachable!() };
        let content = Content::Record(Record::new(body));
        Event { id: 1, at: Utc::now(), content }
    }

    fn report() -> Event {
        let content =
            Content::Report { definition: "/d".to_owned(), body: "{}".into() };
        Event { id: 2, at: Utc::now(), content }
    }

    #[test]
    fn conditions_are_put_together() {
        for (text, of_event, of_report) in [
            ("RegistryPrefix eq 'SensorEvent'", true, false),
            ("RegistryPrefix ne 'SensorEvent'", false, false),
            ("MessageId eq 'SensorEvent.1.0.SensorFailure'", true, false),
            ("ResourceType eq 'Fan' or ResourceType eq 'Sensor'", true, false),
            (
                "ResourceType eq 'Sensor' and RegistryPrefix eq 'B'",
                false,
                false,
            ),
            ("not (RegistryPrefix eq 'Base')", true, false),
            ("OriginResource eq '/redfish/v1/Chassis/c'", false, false),
            (
                "(OriginResource eq '/redfish/v1/Chassis/c') and \
                 (SubordinateResources eq true)",
                true,
                false,
            ),
            ("EventFormatType eq 'MetricReport'", false, true),
            ("MetricReportDefinition eq '/d'", false, true),
            ("MetricReportDefinition eq '/e'", false, false),
            (
                "EventFormatType eq 'Event' or EventFormatType eq \
                 'MetricReport'",
                true,
                true,
            ),
            // `and` binds closer.
            (
                "ResourceType eq 'Sensor' or ResourceType eq 'A' and \
                 ResourceType eq 'B'",
                true,
                false,
            ),
        ] {
            let expression = Expression::parse(text).unwrap();
            assert_eq!(expression.admits(&event()), of_event, "{text}");
            assert_eq!(expression.admits(&report()), of_report, "{text}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let deep = format!("{}MessageId eq 'a'", "(".repeat(100));
        for text in [
            "",
            "MessageId",
            "MessageId eq",
            "MessageId eq a",
            "MessageId eq 'a",
            "MessageId gt 'a'",
            "MessageId eq 'a' MessageId eq 'b'",
            "MessageId eq 'a' and",
            "(MessageId eq 'a'",
            "MessageId eq 'a')",
            "Colour eq 'red'",
            "SubordinateResources eq 'true'",
            "EventFormatType eq 'Tape'",
            &deep,
            &"x".repeat(LONGEST + 1),
        ] {
            assert!(Expression::parse(text).is_err(), "{text}");
        }
    }
}
