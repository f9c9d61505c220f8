//! Random expressions, and what they mean in the simplest possible terms.

use std::cmp::Ordering;

use rand::{Rng as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};
use serde_json::{Map, Value, json};

use super::Filter;

/// An expression as a test thinks of it.
#[derive(Debug, Clone)]
pub(in crate::redfish::query) enum Node {
    Or(Box<Node>, Box<Node>),
    And(Box<Node>, Box<Node>),
    Not(Box<Node>),
    Compare(Box<Node>, &'static str, Box<Node>),
    Path(&'static str),
    Literal(Value),
}

const PATHS: [&str; 7] = ["A", "B", "C", "S", "S/A", "S/B", "Missing/A"];
const EQUALITIES: [&str; 2] = ["eq", "ne"];
const ORDERS: [&str; 4] = ["gt", "ge", "lt", "le"];

pub(in crate::redfish::query) fn value(random: &mut StdRng) -> Value {
    match random.random_range(0..7) {
        0 => Value::Null,
        1 => random.random::<bool>().into(),
        2 | 3 => random.random_range(-2..3).into(),
        4 => (f64::from(random.random_range(-4..5)) / 2.0).into(),
        _ => {
            let all = ["", "a", "b", "it's", "Größe", "a b", "("];
            (*all.choose(random).unwrap()).into()
        }
    }
}

/// A resource with some of the properties.
pub(in crate::redfish::query) fn member(
    random: &mut StdRng,
) -> Map<String, Value> {
    let mut member = Map::new();
    for name in ["A", "B", "C"] {
        if random.random_bool(0.8) {
            member.insert(name.to_owned(), value(random));
        }
    }
    if random.random_bool(0.7) {
        let inner = json!({"A": value(random), "B": value(random)});
        member.insert("S".to_owned(), inner);
    }
    member
}

pub(in crate::redfish::query) fn node(
    random: &mut StdRng,
    depth: usize,
) -> Node {
    let inner =
        |random: &mut StdRng| Box::new(node(random, depth.saturating_sub(1)));
    let kinds = if depth == 0 { 2 } else { 8 };
    match random.random_range(0..kinds) {
        0 => Node::Path(PATHS.choose(random).unwrap()),
        1 => Node::Literal(value(random)),
        2 => Node::Or(inner(random), inner(random)),
        3 => Node::And(inner(random), inner(random)),
        4 => Node::Not(inner(random)),
        5 | 6 => {
            let how = EQUALITIES.choose(random).unwrap();
            Node::Compare(inner(random), how, inner(random))
        }
        _ => {
            let how = ORDERS.choose(random).unwrap();
            Node::Compare(inner(random), how, inner(random))
        }
    }
}

impl Node {
    /// How much it binds.
    fn level(&self) -> u8 {
        match self {
            Self::Or(..) => 1,
            Self::And(..) => 2,
            Self::Compare(_, how, _) if EQUALITIES.contains(how) => 3,
            Self::Compare(..) => 4,
            Self::Not(_) => 5,
            Self::Path(_) | Self::Literal(_) => 6,
        }
    }

    /// The expression as a client may write it.
    pub(in crate::redfish::query) fn print(
        &self,
        random: &mut StdRng,
        least: u8,
    ) -> String {
        let level = self.level();
        let mut pair = |left: &Self, word: &str, right: &Self| {
            let space = " ".repeat(random.random_range(1..3));
            let left = left.print(random, level);
            let right = right.print(random, level + 1);
            format!("{left}{space}{word} {right}")
        };
        let text = match self {
            Self::Or(left, right) => pair(left, "or", right),
            Self::And(left, right) => pair(left, "and", right),
            Self::Compare(left, how, right) => pair(left, how, right),
            Self::Not(what) => format!("not {}", what.print(random, level)),
            Self::Path(path) => (*path).to_owned(),
            Self::Literal(Value::String(text)) => {
                format!("'{}'", text.replace('\'', "''"))
            }
            Self::Literal(other) => other.to_string(),
        };
        let needed = level < least;
        if needed || random.random_bool(0.1) {
            format!("({text})")
        } else {
            text
        }
    }

    /// What it says of a member; null is undecided.
    pub(in crate::redfish::query) fn of(
        &self,
        member: &Map<String, Value>,
    ) -> Value {
        let three = |value: Value| value.as_bool();
        let undecided = |it: Option<bool>| it.map_or(Value::Null, Value::Bool);
        match self {
            Self::Literal(value) => value.clone(),
            Self::Path(path) => {
                let pointer = format!("/{path}");
                let member = Value::Object(member.clone());
                member.pointer(&pointer).cloned().unwrap_or_default()
            }
            Self::Not(what) => undecided(three(what.of(member)).map(|it| !it)),
            Self::And(left, right) => {
                let sides = [three(left.of(member)), three(right.of(member))];
                undecided(match sides {
                    [Some(false), _] | [_, Some(false)] => Some(false),
                    [Some(true), Some(true)] => Some(true),
                    _ => None,
                })
            }
            Self::Or(left, right) => {
                let sides = [three(left.of(member)), three(right.of(member))];
                undecided(match sides {
                    [Some(true), _] | [_, Some(true)] => Some(true),
                    [Some(false), Some(false)] => Some(false),
                    _ => None,
                })
            }
            Self::Compare(left, how, right) => {
                compare(&left.of(member), how, &right.of(member)).into()
            }
        }
    }
}

fn compare(left: &Value, how: &str, right: &Value) -> bool {
    let same = |same| if same { Some(Ordering::Equal) } else { None };
    let order = match (left, right) {
        (Value::Number(a), Value::Number(b)) => {
            a.as_f64().unwrap().partial_cmp(&b.as_f64().unwrap())
        }
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        (Value::Bool(a), Value::Bool(b)) if how == "eq" || how == "ne" => {
            same(a == b)
        }
        (Value::Null, Value::Null) if how == "eq" || how == "ne" => same(true),
        _ => None,
    };
    let any =
        |wanted: &[Ordering]| order.is_some_and(|it| wanted.contains(&it));
    match how {
        "eq" => any(&[Ordering::Equal]),
        "ne" => !any(&[Ordering::Equal]),
        "gt" => any(&[Ordering::Greater]),
        "lt" => any(&[Ordering::Less]),
        "ge" => any(&[Ordering::Greater, Ordering::Equal]),
        _ => any(&[Ordering::Less, Ordering::Equal]),
    }
}

#[test]
fn what_is_written_means_what_was_meant() {
    let mut wanted = 0;
    for seed in 0..3000 {
        let mut random = StdRng::seed_from_u64(seed);
        let depth = random.random_range(0..6);
        let meant = node(&mut random, depth);
        let text = meant.print(&mut random, 0);
        let filter = Filter::parse(&text)
            .unwrap_or_else(|fault| panic!("{seed}: {text}: {fault:?}"));
        for _ in 0..5 {
            let member = member(&mut random);
            let expected = meant.of(&member) == Value::Bool(true);
            wanted += usize::from(expected);
            let found = filter.admits(&member);
            assert_eq!(found, expected, "{seed}: {text}: {member:?}");
        }
    }
    assert!((1000..14_000).contains(&wanted), "{wanted} of 15000");
}

#[test]
fn whatever_is_written_is_read_or_refused() {
    let parts = [
        "(", ")", "not ", "and", " or ", "eq", " gt ", "'", "''", "a/b", "1",
        "-", ".", "1e9", "null", "true", " ", "é", "\u{0}", "/", "@", "2026-",
    ];
    for seed in 0..3000 {
        let mut random = StdRng::seed_from_u64(seed);
        let count = random.random_range(0..12);
        let text: String =
            (0..count).map(|_| *parts.choose(&mut random).unwrap()).collect();
        if let Err(fault) = Filter::parse(&text) {
            assert!((1..=text.chars().count() + 1).contains(&fault.at));
        }
    }
}

#[test]
fn the_type_of_a_property_says_how_it_is_compared() {
    use onprem_redfish::csdl;

    let member = json!({
        "ReadingTime": "2026-11-22T10:00:00+01:00",
        "SensingInterval": "PT90S",
        "Reading": 9_007_199_254_740_993_i64,
        "Oem": {"OnPrem": {"Deep": "x"}},
    });
    let member = member.as_object().unwrap();
    let sensor = csdl::type_named("Sensor");
    for (text, expected) in [
        ("ReadingTime eq '2026-11-22T09:00:00Z'", true),
        ("ReadingTime eq 2026-11-22T09:00:00.000Z", true),
        ("ReadingTime gt '2026-11-22T09:30:00Z'", false),
        ("SensingInterval eq 'PT1M30S'", true),
        ("SensingInterval gt 'PT1H'", false),
        ("SensingInterval lt 'P1DT0.5S'", true),
        ("Reading gt 9007199254740992", true),
        ("Reading eq null", false),
        ("ReadingUnits eq null", true),
        ("Oem/OnPrem/Deep eq 'x'", true),
        ("null eq ReadingUnits and not (Reading eq 1)", true),
    ] {
        let filter = Filter::parse(text).unwrap().of_members(sensor).unwrap();
        assert_eq!(filter.admits(member), expected, "{text}");
    }
    let wrong = Filter::parse("SensingInterval eq 'PT'").unwrap();
    assert_eq!(wrong.of_members(sensor).unwrap_err().at, 20);
}
