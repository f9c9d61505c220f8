//! Names in a board file that stand for something else on the board, and what
//! is said where nothing is called so.

use std::fmt::Write as _;

use strsim::levenshtein;

use crate::model::{Id, Inventory};

/// How many names are told where one is wrong.
const MOST: usize = 24;

/// Checks that `name` is one of the names `known` of what is a `what`.
///
/// # Errors
/// It is not: which comes nearest, and which there are.
pub fn check<'a>(
    what: &str,
    name: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Result<(), String> {
    let known: Vec<&str> = known.into_iter().collect();
    if known.contains(&name) {
        return Ok(());
    }
    let mut reason = format!("no {what} `{name}`");
    if let Some(near) = nearest(name, &known) {
        let _ = write!(reason, " (did you mean `{near}`?)");
    }
    Err(format!("{reason}; {}", list(known)))
}

/// What there is, in words.
pub fn list<'a>(known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    let shown = known.get(..MOST).unwrap_or(&known).join(", ");
    match known.len() {
        0 => "there is none".to_owned(),
        1 => format!("there is {shown}"),
        more if more > MOST => {
            format!("there are {shown} and {} more", more - MOST)
        }
        _ => format!("there are {shown}"),
    }
}

/// The one of `known` that is nearly `name`, in whatever letters.
fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let name = name.to_lowercase();
    let far = |word: &str| levenshtein(&name, &word.to_lowercase());
    let near = *known.iter().min_by_key(|word| far(word))?;
    (far(near) <= near.len() / 3).then_some(near)
}

/// Something of the board that a part names in its options.
#[derive(Clone, Debug)]
pub struct Reference {
    /// The option that names it.
    pub key: &'static str,
    /// What it is.
    pub to: Referred,
    /// What it is called.
    pub name: Id,
}

/// What parts can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Referred {
    /// A sensor, in whatever chassis.
    Sensor,
    /// An output that people switch.
    Output,
    /// A system.
    System,
}

impl Reference {
    /// The sensor `name`, named by the option `key`.
    #[must_use]
    pub fn sensor(key: &'static str, name: &Id) -> Self {
        Self { key, to: Referred::Sensor, name: name.clone() }
    }

    /// Looks for it in `inventory`.
    ///
    /// # Errors
    /// It is not there: see [`check`].
    pub fn find(&self, inventory: &Inventory) -> Result<(), String> {
        let chassis = inventory.chassis.iter();
        let (what, known): (_, Vec<&Id>) = match self.to {
            Referred::Sensor => {
                let all = chassis.flat_map(|it| &it.sensors);
                ("sensor", all.map(|it| &it.id).collect())
            }
            Referred::Output => {
                let all = chassis.flat_map(|it| &it.switches);
                ("output", all.map(|it| &it.id).collect())
            }
            Referred::System => {
                let all = inventory.systems.iter();
                ("system", all.map(|it| &it.id).collect())
            }
        };
        let found = check(what, &self.name, known.into_iter().map(|id| &**id));
        found.map_err(|reason| format!("`{}`: {reason}", self.key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_nearly_right_is_offered_and_what_there_is_told() {
        let known = ["CPU_Temperature", "Input_Power", "fan"];
        let said = |name| check("sensor", name, known).unwrap_err();
        assert!(check("sensor", "fan", known).is_ok());
        assert_eq!(
            said("cpu_temprature"),
            "no sensor `cpu_temprature` (did you mean `CPU_Temperature`?); \
             there are CPU_Temperature, Input_Power, fan"
        );
        assert_eq!(
            said("exhaust"),
            "no sensor `exhaust`; there are CPU_Temperature, Input_Power, fan"
        );
        assert_eq!(
            check("bus", "i2c-1", []).unwrap_err(),
            "no bus `i2c-1`; there is none"
        );
        let many: Vec<String> = (0..30).map(|it| format!("s{it}")).collect();
        let said = check("sensor", "x", many.iter().map(|it| &**it));
        let said = said.unwrap_err();
        assert!(said.ends_with("s22, s23 and 6 more"), "{said}");
    }
}
