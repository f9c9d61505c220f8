//! What an expression says of a member.
//!
//! What a member lacks is null, as OData has it: null equals null and nothing
//! else, is neither more nor less than anything, and leaves `not`, `and` and
//! `or` undecided where it decides them.

use std::cmp::Ordering;

use chrono::DateTime;
use serde_json::{Map, Number, Value};

use super::{Comparison, Expression, Literal, Sense};

/// A value on its way through an expression.
enum Operand<'a> {
    Null,
    Boolean(bool),
    Number(&'a Number),
    Text(&'a str),
    /// An object or an array; it is like nothing else.
    Other,
}

/// True, false, or undecided.
pub(super) fn truth(
    expression: &Expression,
    member: &Map<String, Value>,
) -> Option<bool> {
    match expression {
        Expression::Any(terms) => {
            decide(terms.iter().map(|term| truth(term, member)), true)
        }
        Expression::All(terms) => {
            decide(terms.iter().map(|term| truth(term, member)), false)
        }
        Expression::Not { what, .. } => truth(what, member).map(|it| !it),
        Expression::Compare { left, how, right, sense, .. } => {
            let (left, right) = (operand(left, member), operand(right, member));
            Some(holds(&left, *how, &right, *sense))
        }
        Expression::Property { .. } | Expression::Literal { .. } => {
            match operand(expression, member) {
                Operand::Boolean(it) => Some(it),
                _ => None,
            }
        }
    }
}

/// One `decisive` term decides; without one, an undecided term leaves it open.
fn decide(
    terms: impl Iterator<Item = Option<bool>>,
    decisive: bool,
) -> Option<bool> {
    let mut open = false;
    for term in terms {
        match term {
            Some(it) if it == decisive => return Some(decisive),
            Some(_) => {}
            None => open = true,
        }
    }
    (!open).then_some(!decisive)
}

fn operand<'a>(
    expression: &'a Expression,
    member: &'a Map<String, Value>,
) -> Operand<'a> {
    match expression {
        Expression::Literal { value, .. } => match value {
            Literal::Text(text) => Operand::Text(text),
            Literal::Number(number) => Operand::Number(number),
            Literal::Boolean(it) => Operand::Boolean(*it),
            Literal::Null => Operand::Null,
        },
        Expression::Property { path, .. } => {
            let mut names = path.iter();
            let first = names.next().and_then(|name| member.get(name));
            match names.try_fold(first, |at, name| Some(at?.get(name))) {
                Some(Some(found)) => of_value(found),
                _ => Operand::Null,
            }
        }
        _ => truth(expression, member).map_or(Operand::Null, Operand::Boolean),
    }
}

fn of_value(value: &Value) -> Operand<'_> {
    match value {
        Value::Null => Operand::Null,
        Value::Bool(it) => Operand::Boolean(*it),
        Value::Number(number) => Operand::Number(number),
        Value::String(text) => Operand::Text(text),
        Value::Array(_) | Value::Object(_) => Operand::Other,
    }
}

fn holds(
    left: &Operand<'_>,
    how: Comparison,
    right: &Operand<'_>,
    sense: Sense,
) -> bool {
    let order = match (left, right) {
        (Operand::Null, Operand::Null) if !how.is_order() => {
            Some(Ordering::Equal)
        }
        (Operand::Boolean(a), Operand::Boolean(b)) if !how.is_order() => {
            Some(a.cmp(b))
        }
        (Operand::Number(a), Operand::Number(b)) => numbers(a, b),
        (Operand::Text(a), Operand::Text(b)) => texts(a, b, sense),
        _ => None,
    };
    match how {
        Comparison::Equal => order == Some(Ordering::Equal),
        Comparison::NotEqual => order != Some(Ordering::Equal),
        Comparison::Greater => order == Some(Ordering::Greater),
        Comparison::Less => order == Some(Ordering::Less),
        Comparison::GreaterOrEqual => order.is_some_and(Ordering::is_ge),
        Comparison::LessOrEqual => order.is_some_and(Ordering::is_le),
    }
}

fn numbers(a: &Number, b: &Number) -> Option<Ordering> {
    let whole = |it: &Number| it.as_i128();
    match (whole(a), whole(b)) {
        (Some(a), Some(b)) => Some(a.cmp(&b)),
        _ => a.as_f64()?.partial_cmp(&b.as_f64()?),
    }
}

fn texts(a: &str, b: &str, sense: Sense) -> Option<Ordering> {
    match sense {
        Sense::Plain => Some(a.cmp(b)),
        Sense::Time => {
            let time = |text| DateTime::parse_from_rfc3339(text).ok();
            Some(time(a)?.cmp(&time(b)?))
        }
        Sense::Duration => seconds(a)?.partial_cmp(&seconds(b)?),
        Sense::Uuid => {
            Some(a.to_ascii_lowercase().cmp(&b.to_ascii_lowercase()))
        }
    }
}

/// The length of an ISO 8601 duration without years and months.
pub(super) fn seconds(text: &str) -> Option<f64> {
    let (sign, text) = match text.strip_prefix('-') {
        Some(text) => (-1.0, text),
        None => (1.0, text),
    };
    let text = text.strip_prefix('P')?;
    let (days, times) = text.split_once('T').unwrap_or((text, ""));
    let mut rest = days;
    let mut total = part(&mut rest, 'D')? * 86_400.0;
    if !rest.is_empty() || text.is_empty() || text.ends_with('T') {
        return None;
    }
    let mut rest = times;
    for (unit, length) in [('H', 3_600.0), ('M', 60.0), ('S', 1.0)] {
        total += part(&mut rest, unit)? * length;
    }
    rest.is_empty().then_some(sign * total)
}

/// Takes the number before `unit` off `rest`; 0 where there is no such unit.
fn part(rest: &mut &str, unit: char) -> Option<f64> {
    let Some((number, after)) = rest.split_once(unit) else {
        return Some(0.0);
    };
    let digits = number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let number = digits.then(|| number.parse().ok()).flatten()?;
    *rest = after;
    Some(number)
}
