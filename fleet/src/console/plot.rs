//! What an instrument recorded, as a picture: drawn by the server, an SVG
//! without styles or scripts of its own.

use std::fmt::Write as _;

use askama::Template;
use serde_json::Value;

use super::card::Card;
use super::error::Refusal;
use super::made::rendered;
use super::place::Place;
use super::visit::Visit;

/// The size of the picture: what is left of the lanes for their names and
/// numbers, and how wide and high they are.
const LEFT: f64 = 72.0;
const WIDTH: f64 = 900.0;
const ANALOG: f64 = 150.0;
const LOGIC: f64 = 30.0;
const GAP: f64 = 16.0;
const TOP: f64 = 10.0;
/// What the numbers of the time take below.
const BELOW: f64 = 26.0;

/// One point for each unit of the width.
const POINTS: usize = 900;

#[derive(Debug, Template)]
#[template(path = "plot.html")]
struct Plot {
    width: f64,
    height: f64,
    says: String,
    times: Vec<Tick>,
    trigger: Option<f64>,
    lanes: Vec<Lane>,
    bottom: f64,
    files: Vec<(&'static str, String)>,
}

/// A number at an axis.
#[derive(Debug)]
struct Tick {
    at: f64,
    text: String,
}

/// One series.
#[derive(Debug)]
struct Lane {
    name: String,
    top: f64,
    middle: f64,
    height: f64,
    ticks: Vec<Tick>,
    points: String,
}

/// The picture of the recording at this place; why not, where it cannot be
/// drawn.
pub(crate) async fn card(
    visit: &Visit<'_>,
    place: &Place<'_>,
    item: &Value,
) -> Result<Option<Card>, Refusal> {
    let Some(operation) = visit.model.operation("device_capture_envelope")
    else {
        return Ok(None);
    };
    let path = format!("{}?points={POINTS}", place.fill(operation));
    let title = "Signals".to_owned();
    let envelope = match visit.api.get(&path).await {
        Ok(envelope) => envelope,
        Err(refusal) if refusal.asks_for_login() => return Err(refusal),
        Err(refusal) => {
            let note = Some(refusal.sentence());
            return Ok(Some(Card { title, note, ..Card::default() }));
        }
    };
    let device = place.items.first().map_or("", |(_, id)| id.as_str());
    let device = super::cell::escape(device);
    let file = |name: &str| {
        let path = item.get(name)?.as_str()?;
        Some(format!("/v1/devices/{device}{path}"))
    };
    let files = [("CSV", file("csvPath")), ("sigrok", file("sessionPath"))];
    let files =
        files.into_iter().filter_map(|(name, path)| Some((name, path?)));
    let plot = Plot::new(&envelope, files.collect());
    let table = Some(rendered(&plot)?);
    Ok(Some(Card { title, table, full: true, ..Card::default() }))
}

impl Plot {
    fn new(envelope: &Value, files: Vec<(&'static str, String)>) -> Self {
        let number = |name: &str| envelope.get(name).and_then(Value::as_f64);
        let from = number("fromSeconds").unwrap_or_default();
        let to = number("toSeconds").unwrap_or(from).max(from);
        let span = if to > from { to - from } else { 1.0 };
        let x = |seconds: f64| LEFT + (seconds - from) / span * WIDTH;
        let mut lanes = Vec::new();
        let mut top = TOP;
        let all = envelope.get("series").and_then(Value::as_array);
        for series in all.into_iter().flatten() {
            let lane = Lane::new(series, top);
            top += lane.height + GAP;
            lanes.push(lane);
        }
        let bottom = (top - GAP).max(TOP);
        let (scale, unit) = unit_of(from.abs().max(to.abs()));
        let times = ticks(from * scale, to * scale, 9);
        let times = times.into_iter().map(|(value, text)| Tick {
            at: x(value / scale),
            text: format!("{text} {unit}"),
        });
        let names: Vec<&str> =
            lanes.iter().map(|lane| lane.name.as_str()).collect();
        let values = envelope.get("values").and_then(Value::as_u64);
        Self {
            width: LEFT + WIDTH + 28.0,
            height: bottom + BELOW,
            says: format!(
                "{}: {} values from {} {unit} to {} {unit}",
                names.join(", "),
                values.unwrap_or_default(),
                short(from * scale),
                short(to * scale),
            ),
            times: times.collect(),
            trigger: (from < 0.0 && to > 0.0).then(|| x(0.0)),
            lanes,
            bottom,
            files,
        }
    }
}

impl Lane {
    fn new(series: &Value, top: f64) -> Self {
        let list = |name: &str| -> Vec<f64> {
            let all = series.get(name).and_then(Value::as_array);
            all.into_iter().flatten().filter_map(Value::as_f64).collect()
        };
        let (low, high) = (list("low"), list("high"));
        let unit = series.get("unit").and_then(Value::as_str);
        let name = series.get("name").and_then(Value::as_str);
        let name = name.unwrap_or_default().to_owned();
        let height = if unit.is_some() { ANALOG } else { LOGIC };
        let (mut least, mut most) = (0.0, 1.0);
        if unit.is_some() {
            least = low.iter().copied().fold(f64::INFINITY, f64::min);
            most = high.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            // A quiet input draws a quiet line, not its noise blown up.
            let room = ((most - least) * 0.05).max(0.05);
            (least, most) = (least - room, most + room);
        }
        if !least.is_finite() || !most.is_finite() {
            (least, most) = (0.0, 1.0);
        }
        let y = |value: f64| top + (most - value) / (most - least) * height;
        let ticks = match unit {
            Some(unit) => ticks(least, most, 5)
                .into_iter()
                .map(|(value, text)| Tick {
                    at: y(value),
                    text: format!("{text} {unit}"),
                })
                .collect(),
            None => Vec::new(),
        };
        let middle = top + height / 2.0;
        let points = outline(&low, &high, y);
        Self { name, top, middle, height, ticks, points }
    }
}

/// The outline of all that lies between `low` and `high`: there along the
/// top, back along the bottom. Where both are one, it is a line.
fn outline(low: &[f64], high: &[f64], y: impl Fn(f64) -> f64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "some hundreds")]
    let step = WIDTH / high.len().max(1) as f64;
    let mut points = String::new();
    let mut put = |index: usize, value: f64| {
        #[expect(clippy::cast_precision_loss, reason = "some hundreds")]
        let x = LEFT + step * index as f64;
        // Writing into a text cannot fail. A value is a step, not a slope.
        let _ = write!(points, "{x:.1},{:.1} ", y(value));
    };
    for (index, value) in high.iter().enumerate() {
        put(index, *value);
        put(index + 1, *value);
    }
    for (index, value) in low.iter().enumerate().rev() {
        put(index + 1, *value);
        put(index, *value);
    }
    points.truncate(points.trim_end().len());
    points
}

/// The unit in which people write such a time, and how many are a second.
fn unit_of(seconds: f64) -> (f64, &'static str) {
    match seconds {
        it if it >= 1.0 => (1.0, "s"),
        it if it >= 1e-3 => (1e3, "ms"),
        it if it >= 1e-6 => (1e6, "µs"),
        _ => (1e9, "ns"),
    }
}

/// About so many round numbers from `from` to `to`.
fn ticks(from: f64, to: f64, about: u32) -> Vec<(f64, String)> {
    let rough = (to - from) / f64::from(about);
    if !rough.is_finite() || rough <= 0.0 {
        return Vec::new();
    }
    let power = 10_f64.powf(rough.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|it| it * power);
    let step = steps.into_iter().find(|it| *it >= rough).unwrap_or(power);
    let mut found = Vec::new();
    let mut at = (from / step).ceil();
    while at * step <= to && found.len() < 32 {
        let value = at * step;
        found.push((value, short(value)));
        at += 1.0;
    }
    found
}

/// A number without what nobody reads.
fn short(value: f64) -> String {
    let text = format!("{value:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_picture_has_a_lane_a_series_and_round_numbers_at_its_axes() {
        let envelope = json!({
            "fromSeconds": -0.001, "toSeconds": 0.004, "values": 500,
            "series": [
                {"name": "A", "unit": "V", "low": [-1.0, 0.0], "high": [1.0, 2.0]},
                {"name": "<L0>", "low": [0.0, 1.0], "high": [1.0, 1.0]},
            ],
        });
        let plot = Plot::new(&envelope, vec![("CSV", "/v1/x".to_owned())]);
        assert_eq!(plot.lanes.len(), 2);
        let times: Vec<&str> =
            plot.times.iter().map(|tick| tick.text.as_str()).collect();
        assert_eq!(times.first(), Some(&"-1 ms"));
        assert!(times.contains(&"0 ms") && times.contains(&"4 ms"));
        let at = plot.trigger.unwrap();
        assert!((at - (LEFT + WIDTH / 5.0)).abs() < 1e-6, "{at}");
        let volts = &plot.lanes[0].ticks;
        assert!(volts.iter().any(|tick| tick.text == "1 V"), "{volts:?}");
        let svg = plot.render().unwrap();
        assert!(svg.contains("A, &#60;L0&#62;: 500 values"), "{svg}");
        assert!(!svg.contains("<L0>") && !svg.contains("style"), "{svg}");
        // However long a recording is, its picture is small.
        assert!(svg.len() < 4000, "{}", svg.len());
    }

    #[test]
    fn numbers_at_an_axis_are_round() {
        let texts = |from, to| -> Vec<String> {
            ticks(from, to, 5).into_iter().map(|(_, text)| text).collect()
        };
        assert_eq!(texts(-0.05, 1.05), ["0", "0.5", "1"]);
        assert_eq!(texts(3.1, 3.5), ["3.1", "3.2", "3.3", "3.4", "3.5"]);
        assert!(texts(1.0, 1.0).is_empty());
        assert!(texts(f64::NAN, 1.0).is_empty());
    }
}
