//! Power models: budgets between which a machine can be switched while it
//! runs, as its maker calls them.

use std::{cmp::Reverse, sync::Arc};

/// What Redfish says of a power model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PowerMode {
    /// The one that allows most.
    MaximumPerformance,
    /// The one that allows least.
    PowerSaving,
    /// One between them.
    Oem,
}

/// The power models of a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PowerModels {
    /// The one that it runs in, where that is known.
    pub now: Option<Arc<str>>,
    /// All of them, in the maker's order.
    pub all: Vec<Arc<str>>,
    /// Whether another may be chosen.
    pub settable: bool,
}

impl PowerModels {
    /// What Redfish says of the one that it runs in.
    #[must_use]
    pub fn mode(&self) -> Option<PowerMode> {
        let now = self.now.as_ref()?;
        let is = |mode| self.of(mode) == Some(now);
        Some(if is(PowerMode::MaximumPerformance) {
            PowerMode::MaximumPerformance
        } else if is(PowerMode::PowerSaving) {
            PowerMode::PowerSaving
        } else {
            PowerMode::Oem
        })
    }

    /// The model that `mode` stands for, where it stands for one.
    #[must_use]
    pub fn of(&self, mode: PowerMode) -> Option<&Arc<str>> {
        // The first of those that are alike.
        let most = || self.all.iter().min_by_key(|it| Reverse(budget(it)));
        match mode {
            PowerMode::MaximumPerformance => most(),
            PowerMode::PowerSaving => {
                let least = self.all.iter().min_by_key(|it| budget(it));
                least.filter(|it| Some(*it) != most())
            }
            PowerMode::Oem => None,
        }
    }
}

/// What a name promises: whether it has no limit, watts, cores.
fn budget(name: &str) -> (bool, u32, u32) {
    let before = |unit: &str| {
        let mut words = name.split(['_', ' ', '-']);
        words.find_map(|word| word.strip_suffix(unit)?.parse().ok())
    };
    let cores = before("CORE").unwrap_or(u32::MAX);
    (name.starts_with("MAXN"), before("W").unwrap_or(0), cores)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn models(now: &str, all: &[&str]) -> PowerModels {
        let all = all.iter().map(|it| Arc::from(*it)).collect();
        PowerModels { now: Some(now.into()), all, settable: false }
    }

    #[test]
    fn the_words_of_redfish_stand_for_the_ends_of_the_scale() {
        use PowerMode::{MaximumPerformance, Oem, PowerSaving};
        let nano: &[&str] = &["MAXN", "5W"];
        let orin: &[&str] = &["15W", "25W", "MAXN_SUPER", "7W"];
        let xavier: &[&str] = &[
            "MODE_15W_2CORE",
            "MODE_15W_6CORE",
            "MODE_10W_2CORE",
            "MODE_10W_4CORE",
            "MODE_20W_6CORE",
            "MODE_20W_2CORE",
        ];
        for (now, all, mode) in [
            ("MAXN", nano, MaximumPerformance),
            ("5W", nano, PowerSaving),
            ("MAXN_SUPER", orin, MaximumPerformance),
            ("25W", orin, Oem),
            ("7W", orin, PowerSaving),
            ("MODE_20W_6CORE", xavier, MaximumPerformance),
            ("MODE_20W_2CORE", xavier, Oem),
            ("MODE_10W_2CORE", xavier, PowerSaving),
            ("ONE", &["ONE"], MaximumPerformance),
        ] {
            assert_eq!(models(now, all).mode(), Some(mode), "{now}");
        }
        assert_eq!(PowerModels::default().mode(), None);
    }
}
