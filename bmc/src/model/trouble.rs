//! Troubles: what is wrong with a part that no sensor measures.

use std::{collections::BTreeMap, sync::Arc};

use chrono::{DateTime, Utc};

use super::{Health, Id, Part, Snapshot};

/// Why a processor is slower than it could be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Throttle {
    /// It may not take more power.
    Power,
    /// It is too warm.
    Heat,
    /// Its clock is held down.
    Clock,
}

/// Something that is wrong with a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// A word for it that no other trouble of the part has: `UnderVoltage`.
    pub word: &'static str,
    /// What is wrong.
    pub text: Arc<str>,
    /// How bad it is.
    pub health: Health,
    /// How it slows the processors down, if it does.
    pub slows: Option<Throttle>,
    /// Whether it is over: it was so at some time since the part started.
    pub over: bool,
}

/// A trouble as the model has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// What is wrong.
    pub trouble: Trouble,
    /// Who said so.
    pub source: Id,
    /// Since when it is so, or is over.
    pub since: DateTime<Utc>,
}

/// What `source` says, in the place of what it said `before`: what is as it was
/// is so since then.
#[must_use]
pub(super) fn renew(
    before: &[Known],
    source: &Id,
    troubles: Vec<Trouble>,
) -> Vec<Known> {
    let others = before.iter().filter(|known| known.source != *source);
    let mut all: Vec<Known> = others.cloned().collect();
    for trouble in troubles {
        let mut olds = before.iter().filter(|known| known.source == *source);
        let same = |old: &&Known| {
            (old.trouble.word, old.trouble.over) == (trouble.word, trouble.over)
        };
        let since = olds.find(same).map_or_else(Utc::now, |old| old.since);
        all.push(Known { trouble, source: source.clone(), since });
    }
    all
}

/// What a listener has been told of.
#[derive(Debug, Default)]
pub struct Told(BTreeMap<(Part, &'static str), Arc<str>>);

/// Something that came, or is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Whose it is.
    pub part: Part,
    /// The word for it.
    pub word: &'static str,
    /// What is wrong, or was.
    pub text: Arc<str>,
    /// How bad it is; nothing for what is over.
    pub health: Option<Health>,
}

impl Told {
    /// What came and what went since the last call.
    pub fn turns(&mut self, snapshot: &Snapshot) -> Vec<Turn> {
        let mut turns = Vec::new();
        let mut now = BTreeMap::new();
        for part in snapshot.troubles.keys() {
            for known in snapshot.troubles(part) {
                let Trouble { word, text, health, .. } = &known.trouble;
                let key = (part.clone(), *word);
                if !self.0.contains_key(&key) {
                    turns.push(Turn {
                        part: part.clone(),
                        word,
                        text: Arc::clone(text),
                        health: Some(*health),
                    });
                }
                now.insert(key, Arc::clone(text));
            }
        }
        for ((part, word), text) in std::mem::take(&mut self.0) {
            if !now.contains_key(&(part.clone(), word)) {
                turns.push(Turn { part, word, text, health: None });
            }
        }
        self.0 = now;
        turns
    }
}
