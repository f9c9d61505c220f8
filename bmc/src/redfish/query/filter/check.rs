//! Whether an expression makes sense for the type of the members, and what
//! the texts in it mean.

use chrono::DateTime;
use onprem_redfish::csdl::{Kind, Object, Type};

use super::{Expression, Fault, Literal, Sense, evaluate::seconds};

/// What an expression amounts to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Boolean,
    Number,
    Text(Sense),
    Null,
    /// It takes the member to know.
    Unknown,
}

/// Checks `expression` for members of the type, and notes what its texts mean.
pub(super) fn check(
    expression: &mut Expression,
    of: Option<&Type>,
) -> Result<(), Fault> {
    let object = of.map(|it| it.object);
    condition(expression, object)
}

/// It must be true or false.
fn condition(
    expression: &mut Expression,
    of: Option<&Object>,
) -> Result<(), Fault> {
    match class(expression, of)? {
        Class::Boolean | Class::Unknown | Class::Null => Ok(()),
        Class::Number | Class::Text(_) => {
            let text = "this is neither true nor false";
            Err(Fault::new(place(expression), text))
        }
    }
}

fn class(
    expression: &mut Expression,
    of: Option<&Object>,
) -> Result<Class, Fault> {
    match expression {
        Expression::Any(terms) | Expression::All(terms) => {
            terms.iter_mut().try_for_each(|term| condition(term, of))?;
            Ok(Class::Boolean)
        }
        Expression::Not { what, .. } => {
            condition(what, of)?;
            Ok(Class::Boolean)
        }
        Expression::Property { at, path } => property(*at, path, of),
        Expression::Literal { value, .. } => Ok(match value {
            Literal::Text(_) => Class::Text(Sense::Plain),
            Literal::Number(_) => Class::Number,
            Literal::Boolean(_) => Class::Boolean,
            Literal::Null => Class::Null,
        }),
        Expression::Compare { at, left, how, right, sense } => {
            let classes = (class(left, of)?, class(right, of)?);
            *sense = together(*at, how.is_order(), classes)?;
            understood(left, *sense)?;
            understood(right, *sense)?;
            Ok(Class::Boolean)
        }
    }
}

/// What two compared things have in common.
fn together(
    at: usize,
    order: bool,
    classes: (Class, Class),
) -> Result<Sense, Fault> {
    match classes {
        (Class::Boolean, Class::Boolean) if order => {
            Err(Fault::new(at, "true and false have no order"))
        }
        (Class::Text(a), Class::Text(b)) if a == b => Ok(a),
        (Class::Text(Sense::Plain), Class::Text(it))
        | (Class::Text(it), Class::Text(Sense::Plain)) => Ok(it),
        (Class::Unknown | Class::Null, _)
        | (_, Class::Unknown | Class::Null) => Ok(Sense::Plain),
        (a, b) if a == b => Ok(Sense::Plain),
        (a, b) => {
            let text = format!("{} is compared with {}", name(a), name(b));
            Err(Fault::new(at, text))
        }
    }
}

fn name(class: Class) -> &'static str {
    match class {
        Class::Boolean => "true or false",
        Class::Number => "a number",
        Class::Text(Sense::Plain) => "a text",
        Class::Text(Sense::Time) => "a point in time",
        Class::Text(Sense::Duration) => "a duration",
        Class::Text(Sense::Uuid) => "a UUID",
        Class::Null => "null",
        Class::Unknown => "something",
    }
}

/// Can a literal be what its text has to be?
fn understood(operand: &Expression, sense: Sense) -> Result<(), Fault> {
    let Expression::Literal { at, value: Literal::Text(text) } = operand else {
        return Ok(());
    };
    let (right, what) = match sense {
        Sense::Time => (
            DateTime::parse_from_rfc3339(text).is_ok(),
            "point in time as RFC 3339 has it",
        ),
        Sense::Duration => {
            (seconds(text).is_some(), "duration as ISO 8601 has it")
        }
        Sense::Uuid => (uuid::Uuid::try_parse(text).is_ok(), "UUID"),
        Sense::Plain => (true, ""),
    };
    if right {
        Ok(())
    } else {
        Err(Fault::new(*at, format!("'{text}' is no {what}")))
    }
}

/// What the schema says of a property.
fn property(
    at: usize,
    path: &[String],
    of: Option<&Object>,
) -> Result<Class, Fault> {
    let Some(mut object) = of else { return Ok(Class::Unknown) };
    let mut names = path.iter();
    while let Some(name) = names.next() {
        if name.contains(['@', '#']) {
            return Ok(Class::Unknown);
        }
        let Some(found) = object.property(name) else {
            if object.open {
                return Ok(Class::Unknown);
            }
            let text = format!("there is no property {}", path.join("/"));
            return Err(Fault::new(at, text));
        };
        if found.collection {
            let text = format!("{name} is an array");
            return Err(Fault::new(at, text));
        }
        let last = names.len() == 0;
        object = match found.kind {
            Kind::Object(inner) | Kind::Excerpt(inner) if !last => inner,
            Kind::Link(_) if !last => {
                // The URI of what it links to can be asked for.
                return Ok(Class::Unknown);
            }
            Kind::Object(_) | Kind::Excerpt(_) | Kind::Link(_) => {
                let text = format!("{name} is an object");
                return Err(Fault::new(at, text));
            }
            _ if !last => {
                let text = format!("{name} has nothing in it");
                return Err(Fault::new(at, text));
            }
            Kind::Boolean => return Ok(Class::Boolean),
            Kind::Integer | Kind::Number => return Ok(Class::Number),
            Kind::Text | Kind::Enum(_) => {
                return Ok(Class::Text(Sense::Plain));
            }
            Kind::Time => return Ok(Class::Text(Sense::Time)),
            Kind::Duration => return Ok(Class::Text(Sense::Duration)),
            Kind::Uuid => return Ok(Class::Text(Sense::Uuid)),
            Kind::Primitive => return Ok(Class::Unknown),
        };
    }
    Ok(Class::Unknown)
}

fn place(expression: &Expression) -> usize {
    match expression {
        Expression::Any(terms) | Expression::All(terms) => {
            terms.first().map_or(1, place)
        }
        Expression::Not { at, .. }
        | Expression::Compare { at, .. }
        | Expression::Property { at, .. }
        | Expression::Literal { at, .. } => *at,
    }
}
