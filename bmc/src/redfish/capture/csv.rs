//! A capture as comma-separated text: the time since the trigger in seconds,
//! the analog series in volts, the logic inputs as 0 and 1.

use std::fmt::Write as _;

use super::{lines, series};
use crate::model::Capture;

/// The text.
pub(super) fn text(capture: &Capture) -> String {
    let mut text = "seconds".to_owned();
    for (at, name) in series(capture).iter().enumerate() {
        let unit = if at < capture.analog.len() { " (V)" } else { "" };
        // Writing into a text cannot fail.
        let _ = write!(text, ",{name}{unit}");
    }
    text.push('\n');
    for value in 0..capture.values() {
        #[expect(clippy::cast_precision_loss, reason = "some thousands")]
        let seconds =
            (value as f64 - f64::from(capture.trigger)) / capture.rate;
        let _ = write!(text, "{seconds:.9}");
        for series in &capture.analog {
            let volts = series.volts.get(value).copied().unwrap_or_default();
            let _ = write!(text, ",{volts:.5}");
        }
        for series in &capture.logic {
            let bits = series.bits.get(value).copied().unwrap_or_default();
            for line in lines(capture) {
                text.push_str(if bits & 1 << line == 0 { ",0" } else { ",1" });
            }
        }
        text.push('\n');
    }
    text
}
