//! Durations as Redfish writes them: `PT60S`, `P1DT2H`.

use std::time::Duration;

/// The longest that telemetry deals with.
pub(crate) const LONGEST: Duration = Duration::from_hours(366 * 24);

/// The duration that `text` is, in the form of DSP0266, 8.2 (a part of
/// ISO 8601); none if it is negative, has no part, or is longer than a year.
pub(crate) fn parse(text: &str) -> Option<Duration> {
    let rest = text.strip_prefix('P')?;
    let (days, time) = match rest.split_once('T') {
        Some((days, time)) => (days, Some(time)),
        None => (rest, None),
    };
    let mut seconds = 0.0;
    let mut parts = 0;
    let mut take = |text: &mut &str, letter: char, factor: f64| {
        if let Some((number, rest)) = text.split_once(letter) {
            let plain = |c: char| c.is_ascii_digit() || c == '.';
            if number.is_empty() || !number.chars().all(plain) {
                return None;
            }
            seconds += number.parse::<f64>().ok()? * factor;
            parts += 1;
            *text = rest;
        }
        Some(())
    };
    let mut days = days;
    take(&mut days, 'D', 86_400.0)?;
    let mut time = time.unwrap_or_default();
    take(&mut time, 'H', 3_600.0)?;
    take(&mut time, 'M', 60.0)?;
    take(&mut time, 'S', 1.0)?;
    let whole = days.is_empty() && time.is_empty() && parts > 0;
    let duration = Duration::try_from_secs_f64(seconds).ok()?;
    (whole && duration <= LONGEST).then_some(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_the_specification_writes_them() {
        for (text, seconds) in [
            ("PT1S", 1.0),
            ("PT0.5S", 0.5),
            ("PT1M30S", 90.0),
            ("PT1H", 3600.0),
            ("P1DT1H", 90_000.0),
            ("PT0S", 0.0),
        ] {
            let parsed = parse(text).unwrap().as_secs_f64();
            assert!((parsed - seconds).abs() < 1e-9, "{text}");
        }
        for bad in ["", "P", "PT", "1S", "-PT1S", "PT1", "PT-1S", "P1S", "PTS"]
        {
            assert_eq!(parse(bad), None, "{bad}");
        }
        assert_eq!(parse("P999999999999D"), None);
    }
}
