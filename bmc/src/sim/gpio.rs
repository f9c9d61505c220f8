//! Simulated GPIO lines.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::bus::gpio::{Edge, GpioLines, Input, LineName, Output, Polarity};

/// Lines whose far side a test or a simulated part has. Cheap to clone; all
/// clones are one.
#[derive(Clone, Debug)]
pub struct SimulatedGpio {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    lines: Mutex<BTreeMap<String, Line>>,
    changed: Condvar,
    began: Instant,
}

#[derive(Debug, Default)]
struct Line {
    high: bool,
    taken: bool,
    edges: Vec<(bool, Duration)>,
    /// It goes up and down by itself: so long for one of them.
    pulse: Option<Duration>,
    /// When it last did.
    pulsed: Duration,
    /// Edges were lost.
    lost: bool,
}

/// How many edges a line keeps for who is slow, as the kernel's event buffer.
const EDGES: usize = 16;

impl SimulatedGpio {
    /// Lines with these names, all low.
    #[must_use]
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let lines = names
            .into_iter()
            .map(|name| (name.to_owned(), Line::default()))
            .collect();
        let shared = Shared {
            lines: Mutex::new(lines),
            changed: Condvar::new(),
            began: Instant::now(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// What its lines are called.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.lock().keys().cloned().collect()
    }

    /// Takes the line `name` away, as where its chip is pulled out.
    pub fn unplug(&self, name: &str) {
        self.lock().remove(name);
        self.shared.changed.notify_all();
    }

    /// Brings it back.
    pub fn plug(&self, name: &str) {
        self.lock().entry(name.to_owned()).or_default();
    }

    /// Puts a voltage on the line `name`, as what is wired to it does.
    pub fn pull(&self, name: &str, high: bool) {
        let at = self.shared.began.elapsed();
        let mut lines = self.lock();
        let Some(line) = lines.get_mut(name) else { return };
        if line.high != high {
            line.high = high;
            if line.edges.len() < EDGES {
                line.edges.push((high, at));
            } else {
                line.lost = true;
            }
        }
        self.shared.changed.notify_all();
    }

    /// Lets the line `name` go up and down so many times a second, or stay.
    pub fn pulse(&self, name: &str, hertz: f64) {
        let half = (hertz > 0.0).then(|| 0.5 / hertz);
        if let Some(line) = self.lock().get_mut(name) {
            line.pulse = half.map(Duration::from_secs_f64);
        }
    }

    /// Whether the line `name` is high.
    #[must_use]
    pub fn is_high(&self, name: &str) -> bool {
        self.lock().get(name).is_some_and(|line| line.high)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Line>> {
        self.shared.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, line: &LineName, polarity: Polarity) -> io::Result<Held> {
        let name = line.to_string();
        let mut lines = self.lock();
        let Some(found) = lines.get_mut(&name) else {
            return Err(gone(&name));
        };
        if found.taken {
            let reason = format!("line {name} is taken by somebody else");
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, reason));
        }
        found.taken = true;
        found.edges.clear();
        drop(lines);
        let inverted = polarity == Polarity::ActiveLow;
        let period = Duration::ZERO;
        Ok(Held { lines: self.clone(), name, inverted, period })
    }
}

fn gone(name: &str) -> io::Error {
    let reason = format!("line {name} is on no chip of this machine");
    io::Error::new(io::ErrorKind::NotFound, reason)
}

impl GpioLines for SimulatedGpio {
    fn output(
        &self,
        line: &LineName,
        polarity: Polarity,
        active: bool,
    ) -> io::Result<Box<dyn Output>> {
        let mut held = self.take(line, polarity)?;
        held.set(active)?;
        Ok(Box::new(held))
    }

    fn input(
        &self,
        line: &LineName,
        polarity: Polarity,
    ) -> io::Result<Box<dyn Input>> {
        Ok(Box::new(self.take(line, polarity)?))
    }

    fn debounced(
        &self,
        line: &LineName,
        polarity: Polarity,
        period: Duration,
    ) -> io::Result<(Box<dyn Input>, bool)> {
        let mut held = self.take(line, polarity)?;
        held.period = period;
        Ok((Box::new(held), true))
    }
}

/// A line that somebody has.
#[derive(Debug)]
struct Held {
    lines: SimulatedGpio,
    name: String,
    inverted: bool,
    /// What does not last so long is left out.
    period: Duration,
}

impl Output for Held {
    fn set(&mut self, active: bool) -> io::Result<()> {
        self.lines.pull(&self.name, active != self.inverted);
        Ok(())
    }
}

impl Input for Held {
    fn level(&mut self) -> io::Result<bool> {
        let mut lines = self.lines.lock();
        let Some(line) = lines.get_mut(&self.name) else {
            return Err(gone(&self.name));
        };
        // What may yet bounce back is not so.
        let first = line.edges.first().filter(|_| !self.period.is_zero());
        let high = first.map_or(line.high, |(high, _)| !high);
        Ok(high != self.inverted)
    }

    fn edge(&mut self, patience: Duration) -> io::Result<Option<Edge>> {
        let still = |lines: &mut BTreeMap<String, Line>| {
            lines.get(&self.name).is_none_or(|line| {
                line.edges.is_empty() && line.pulse.is_none()
            })
        };
        let waited = self.lines.shared.changed.wait_timeout_while(
            self.lines.lock(),
            patience,
            still,
        );
        let (mut lines, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let Some(line) = lines.get_mut(&self.name) else {
            return Err(gone(&self.name));
        };
        if let (true, Some(half)) = (line.edges.is_empty(), line.pulse) {
            // Nobody waits for what is as regular as this.
            line.high = !line.high;
            line.pulsed += half;
            let active = line.high != self.inverted;
            return Ok(Some(Edge { active, at: line.pulsed }));
        }
        let now = self.lines.shared.began.elapsed();
        // What bounced back did not change.
        while let [(_, first), (_, second), ..] = line.edges[..]
            && second.saturating_sub(first) < self.period
        {
            line.edges.drain(..2);
        }
        let lasts = |(_, at): &(bool, Duration)| {
            line.edges.len() > 1 || now.saturating_sub(*at) >= self.period
        };
        if !line.edges.first().is_some_and(lasts) {
            return Ok(None);
        }
        let (high, at) = line.edges.remove(0);
        Ok(Some(Edge { active: high != self.inverted, at }))
    }

    fn lost(&mut self) -> bool {
        let mut lines = self.lines.lock();
        let line = lines.get_mut(&self.name);
        line.is_some_and(|line| std::mem::take(&mut line.lost))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(line) = self.lines.lock().get_mut(&self.name) {
            line.taken = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_bounces_back_is_left_out_where_that_is_wanted() {
        let lines = SimulatedGpio::new(["GPIO4"]);
        let name = LineName::Named("GPIO4".into());
        let period = Duration::from_millis(20);
        let taken = lines.debounced(&name, Polarity::ActiveHigh, period);
        let (mut input, by_kernel) = taken.unwrap();
        assert!(by_kernel);
        let put = async |high, ms| {
            lines.pull("GPIO4", high);
            tokio::time::advance(Duration::from_millis(ms)).await;
        };
        put(true, 2).await;
        put(false, 1).await;
        put(true, 10).await;
        assert_eq!(input.edge(Duration::ZERO).unwrap(), None);
        assert!(!input.level().unwrap(), "it may yet bounce back");
        tokio::time::advance(period).await;
        assert!(input.edge(Duration::ZERO).unwrap().unwrap().active);
        assert!(input.level().unwrap());
        // More edges than there is room for are known to be lost.
        assert!(!input.lost());
        for high in [false, true].into_iter().cycle().take(EDGES + 2) {
            put(high, 30).await;
        }
        assert!(input.lost());
        assert!(!input.lost());
    }

    #[test]
    fn a_line_has_one_owner_and_keeps_edges_until_they_are_asked_for() {
        let lines = SimulatedGpio::new(["GPIO4"]);
        let name = LineName::Named("GPIO4".into());
        let low = Polarity::ActiveLow;
        let mut input = lines.input(&name, low).unwrap();
        assert!(input.level().unwrap());
        let error = lines.output(&name, low, false).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ResourceBusy);
        lines.pull("GPIO4", true);
        lines.pull("GPIO4", false);
        let soon = Duration::from_millis(10);
        assert!(!input.edge(soon).unwrap().unwrap().active);
        assert!(input.edge(soon).unwrap().unwrap().active);
        assert_eq!(input.edge(soon).unwrap(), None);
        drop(input);
        lines.output(&name, low, true).unwrap();
        assert!(!lines.is_high("GPIO4"));
        let absent = LineName::Named("GPIO40".into());
        let error = lines.input(&absent, low).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
