//! What the HAT does by its own clock, even while its system is off: a table
//! of ten events and a clock, which a board file fills.
//!
//! Events and actions are those of `create_scheduled_event` in the vendor's
//! `sixfab-power-python-api`. The HAT says which events it has, not what they
//! are: so they are always written anew.

use chrono::{Datelike as _, NaiveTime, Utc, Weekday};
use serde::Deserialize;

use super::frame::{Error, Hat, TRIES};
use crate::{commands::ResetType, model::PowerSchedule};

const SET_CLOCK: u8 = 33;
const CREATE: u8 = 100;
const REMOVE: u8 = 101;
const REMOVE_ALL: u8 = 102;
const KNOWN: u8 = 103;

/// How many events a board file can name: the HAT keeps ten.
const MOST: usize = 9;
/// The last one is ours: it cuts the power of a machine whose agent has ended.
const CUT: u8 = 10;
/// The first year in which the machine's own clock can be right.
const PLAUSIBLE: i32 = 2026;
const EVERY_DAY: u8 = 0x7f;
/// What it can do, in the order of its numbers, which begin with 1.
const ACTIONS: [ResetType; 5] = [
    ResetType::On,
    ResetType::ForceOff,
    ResetType::GracefulShutdown,
    ResetType::ForceRestart,
    ResetType::GracefulRestart,
];

/// An event as a board file names it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    /// What is done, as Redfish calls it.
    action: String,
    /// At this time of the day, in UTC: `22:30`.
    at: Option<String>,
    /// On these days only.
    days: Option<Vec<String>>,
    /// Over and over after so many minutes.
    every_minutes: Option<u32>,
}

/// An event as the HAT takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Event {
    action: (u8, ResetType),
    when: When,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum When {
    /// At this second of the day, on these days: Monday is the lowest bit.
    Daily(u32, u8),
    /// After so many minutes.
    Interval(u32),
}

/// Checks what a board file says.
pub(super) fn events(entries: &[Entry]) -> Result<Vec<Event>, String> {
    if entries.len() > MOST {
        let count = entries.len();
        return Err(format!("`schedule` has {count} entries, at most {MOST}"));
    }
    entries.iter().map(event).collect()
}

fn event(entry: &Entry) -> Result<Event, String> {
    let action = (1..).zip(ACTIONS);
    let action = action.into_iter().find(|it| it.1.as_str() == entry.action);
    let action = action.ok_or_else(|| {
        let known = ACTIONS.map(ResetType::as_str).join(", ");
        let action = &entry.action;
        format!("`schedule`: the HAT knows no action `{action}`, but {known}")
    })?;
    let when = match (&entry.at, entry.every_minutes, &entry.days) {
        (Some(at), None, days) => {
            let time = NaiveTime::parse_from_str(at, "%H:%M");
            let time = time.map_err(|_| {
                format!("`schedule`: `at` is `{at}`, no time like `22:30`")
            })?;
            let second = time.signed_duration_since(NaiveTime::MIN);
            let second = second.num_seconds().unsigned_abs();
            let days = days.as_deref().map_or(Ok(EVERY_DAY), mask)?;
            When::Daily(u32::try_from(second).unwrap_or_default(), days)
        }
        (None, Some(minutes @ 1..), None) => When::Interval(minutes),
        (None, Some(0), None) => {
            return Err("`schedule`: `every_minutes` is 0".to_owned());
        }
        _ => {
            return Err("`schedule`: an entry has `at`, with `days` or \
                        without, or `every_minutes`"
                .to_owned());
        }
    };
    Ok(Event { action, when })
}

/// The days as bits.
fn mask(days: &[String]) -> Result<u8, String> {
    if days.is_empty() {
        return Err("`schedule`: `days` is empty".to_owned());
    }
    days.iter().try_fold(0, |mask, name| {
        let day: Weekday = name.parse().map_err(|_| {
            format!("`schedule`: `days` has `{name}`, no day like `Mon`")
        })?;
        Ok(mask | 1 << day.num_days_from_monday())
    })
}

impl Event {
    /// The ten bytes that make it the event `id`.
    fn bytes(&self, id: u8) -> [u8; 10] {
        // A time or an interval, repeated; the interval's unit is a minute.
        let (kind, number, unit, days) = match self.when {
            When::Daily(second, days) => (1, second, 1, days),
            When::Interval(minutes) => (2, minutes, 2, EVERY_DAY),
        };
        let [a, b, c, d] = number.to_be_bytes();
        [id, kind, 2, a, b, c, d, unit, days, self.action.0]
    }

    /// The same for people.
    pub(super) fn shown(&self, id: usize, kept_by: &str) -> PowerSchedule {
        const DAYS: [Weekday; 7] = [
            Weekday::Mon,
            Weekday::Tue,
            Weekday::Wed,
            Weekday::Thu,
            Weekday::Fri,
            Weekday::Sat,
            Weekday::Sun,
        ];
        let (second, days, every_minutes) = match self.when {
            When::Daily(second, days) => (Some(second), days, None),
            When::Interval(minutes) => (None, EVERY_DAY, Some(minutes)),
        };
        let on = |day: &Weekday| days >> day.num_days_from_monday() & 1 == 1;
        PowerSchedule {
            id: (id + 1).to_string().into(),
            kept_by: kept_by.into(),
            action: self.action.1,
            second_of_day: second,
            every_minutes,
            days: DAYS.into_iter().filter(on).collect(),
        }
    }
}

/// Sets the HAT's clock, if this machine's can be right.
pub(super) fn set_clock(hat: &Hat) -> Result<(), Error> {
    let now = Utc::now();
    let Ok(seconds) = u32::try_from(now.timestamp()) else { return Ok(()) };
    if now.year() < PLAUSIBLE {
        return Ok(());
    }
    hat.set(SET_CLOCK, &seconds.to_be_bytes())
}

/// The ids of the events that a board file may name and the HAT has, as bits:
/// bit 0 is the event 1.
pub(super) fn known(hat: &Hat) -> Result<i32, Error> {
    Ok(hat.number(KNOWN, TRIES)? & !(1 << (CUT - 1)))
}

/// The same for `events`.
pub(super) fn wanted(events: &[Event]) -> i32 {
    (0..events.len()).fold(0, |mask, at| mask | 1 << at)
}

/// Has the HAT cut the power once, `after` so many seconds.
pub(super) fn cut_later(hat: &Hat, after: u32) -> Result<(), Error> {
    let [a, b, c, d] = after.to_be_bytes();
    // An interval, once, in seconds; a hard shutdown.
    hat.set(CREATE, &[CUT, 2, 1, a, b, c, d, 1, EVERY_DAY, 2])
}

/// Takes that back, if it was said.
pub(super) fn keep_on(hat: &Hat) -> Result<(), Error> {
    if hat.number(KNOWN, TRIES)? >> (CUT - 1) & 1 == 0 {
        return Ok(());
    }
    hat.set(REMOVE, &[CUT])
}

/// Makes `events` all that the HAT does by itself.
///
/// # Errors
/// The HAT does not answer or takes no such event.
pub(super) fn write(hat: &Hat, events: &[Event]) -> Result<(), Error> {
    hat.set(REMOVE_ALL, &[])?;
    for (id, event) in (1..).zip(events) {
        hat.set(CREATE, &event.bytes(id))?;
    }
    let (found, wanted) = (known(hat)?, wanted(events));
    if found == wanted {
        return Ok(());
    }
    let place = hat.chip.place();
    Err(Error::Mask { command: KNOWN, place, found, wanted })
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::{
        bus::I2cBus,
        sim::{i2c::SimulatedI2c, sixfab_ups::SixfabUps},
    };

    fn read(text: &str) -> Result<Vec<Event>, String> {
        #[derive(Deserialize)]
        struct File {
            schedule: Vec<Entry>,
        }
        let file: File =
            toml::from_str(text).map_err(|error| error.to_string())?;
        events(&file.schedule)
    }

    #[test]
    fn events_are_as_the_vendor_makes_them() {
        let text = "[[schedule]]\nat = \"20:19\"\naction = \"ForceOff\"\n\
            days = [\"Mon\", \"tuesday\", \"Sun\"]\n\
            [[schedule]]\nevery_minutes = 300\naction = \"GracefulRestart\"\n";
        let events = read(text).unwrap();
        let bytes: Vec<_> = events.iter().map(|it| it.bytes(3)).collect();
        // 20:19 is the second 73140; Monday, Tuesday and Sunday are 67.
        let daily = [3, 1, 2, 0, 1, 0x1d, 0xb4, 1, 67, 2];
        assert_eq!(bytes, [daily, [3, 2, 2, 0, 0, 1, 44, 2, 127, 5]]);
    }

    #[test]
    fn a_cut_that_was_announced_is_taken_back() {
        let part = Arc::new(Mutex::new(SixfabUps::default()));
        let sim = SimulatedI2c::default();
        sim.attach(0x41, Arc::clone(&part));
        let bus = I2cBus::new("i2c-1", Box::new(sim));
        let hat = Hat { chip: bus.chip(0x41) };
        keep_on(&hat).unwrap();
        write(
            &hat,
            &read("[[schedule]]\nat = \"1:00\"\naction = \"On\"").unwrap(),
        )
        .unwrap();
        cut_later(&hat, 120).unwrap();
        let kept = part.lock().unwrap().schedule.clone();
        assert_eq!(kept[&10], [2, 1, 0, 0, 0, 120, 1, 127, 2]);
        assert_eq!(known(&hat).unwrap(), 1, "ours does not count");
        keep_on(&hat).unwrap();
        assert!(part.lock().unwrap().schedule.keys().eq([&1]));
    }

    #[test]
    fn what_the_hat_cannot_do_is_refused() {
        for (entry, said) in [
            (
                "action = \"PowerCycle\"\nat = \"1:00\"",
                "no action `PowerCycle`",
            ),
            ("action = \"On\"", "has `at`"),
            ("action = \"On\"\nat = \"25:00\"", "`at` is `25:00`"),
            ("action = \"On\"\nat = \"1:00\"\ndays = []", "`days` is empty"),
            ("action = \"On\"\nevery_minutes = 0", "`every_minutes` is 0"),
            ("action = \"On\"\nevery_minutes = 1\nat = \"1:00\"", "has `at`"),
            ("action = \"Dance\"\nat = \"1:00\"", "no action `Dance`"),
        ] {
            let error = read(&format!("[[schedule]]\n{entry}")).unwrap_err();
            assert!(error.contains(said), "{said}: {error}");
        }
        let many = "[[schedule]]\nat = \"1:00\"\naction = \"On\"\n".repeat(10);
        assert!(read(&many).unwrap_err().contains("10 entries, at most 9"));
    }
}
