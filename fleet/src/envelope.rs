//! A recording as a picture shows it: of each stretch of time the lowest and
//! the highest value. A million values are read line by line, and none kept.

use std::time::Duration;

use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tokio::time::timeout;

use crate::{
    api::{CaptureEnvelope, EnvelopeSeries},
    envelopes::{Envelopes, Key},
    error::Error,
    live::{Live, reason},
    tunnel::{self, TunnelError},
};

/// The most of a recording that is read, in bytes.
const MOST: usize = 256 << 20;

/// The longest line, in bytes.
const LONGEST: usize = 4096;

/// How long a device may take to hand out a recording.
const PATIENCE: Duration = Duration::from_mins(1);

/// What is told of a refusal, in bytes.
const REFUSAL: usize = 64 << 10;

impl Live {
    /// The lowest and the highest values of a recording in at most `points`
    /// stretches.
    ///
    /// # Errors
    /// There is no such recording; the device cannot be asked.
    pub(crate) async fn envelope(
        &self,
        envelopes: &Envelopes,
        id: &str,
        points: usize,
    ) -> Result<CaptureEnvelope, Error> {
        let capture = self.capture(id).await?;
        let path = capture.csv_path.as_deref();
        let path = path.ok_or_else(|| self.strange("no values as text"))?;
        let request = Request::builder().uri(path).body(tunnel::empty());
        let request = request.map_err(|error| self.failed(error.into()))?;
        let key = Key {
            device: self.device_id(),
            capture: capture.id,
            made_at: capture.made_at,
            points,
        };
        let reading = async {
            let reading = self.read_all(request, capture.values, points);
            timeout(PATIENCE, reading)
                .await
                .map_err(|_| self.failed(TunnelError::Timeout(PATIENCE)))?
        };
        envelopes.get(key, reading).await
    }

    async fn read_all(
        &self,
        request: Request<tunnel::Body>,
        values: Option<u64>,
        points: usize,
    ) -> Result<CaptureEnvelope, Error> {
        let answer = self.ask(request).await?;
        let status = answer.status();
        let most = if status == StatusCode::OK { MOST } else { REFUSAL };
        let mut body = answer.into_body();
        let values = values.and_then(|it| usize::try_from(it).ok());
        let mut reader = Reader::new(values.unwrap_or_default(), points);
        let (mut read, mut refusal) = (0, Vec::new());
        while let Some(frame) = body.frame().await {
            let broken = |_| self.strange("a recording that breaks off");
            let frame = frame.map_err(broken)?;
            let Some(bytes) = frame.data_ref() else { continue };
            read += bytes.len();
            if read > most {
                return Err(self.strange(format!("more than {most} bytes")));
            }
            if status == StatusCode::OK {
                reader.take(bytes).map_err(|text| self.strange(text))?;
            } else {
                refusal.extend_from_slice(bytes);
            }
        }
        if status != StatusCode::OK {
            let value: Value =
                serde_json::from_slice(&refusal).unwrap_or_default();
            return Err(self.refused(status, reason(&value)));
        }
        reader.end().map_err(|text| self.strange(text))
    }
}

/// Reads comma-separated text, whose first column is the time in seconds.
struct Reader {
    values: usize,
    points: usize,
    row: usize,
    line: Vec<u8>,
    seconds: Option<(f64, f64)>,
    series: Option<Vec<EnvelopeSeries>>,
}

impl Reader {
    fn new(values: usize, points: usize) -> Self {
        Self {
            values: values.max(1),
            points: points.clamp(1, values.max(1)),
            row: 0,
            line: Vec::new(),
            seconds: None,
            series: None,
        }
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), String> {
        let mut rest = bytes;
        while let Some(at) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, after) = rest.split_at(at);
            self.line.extend_from_slice(line);
            let line = std::mem::take(&mut self.line);
            self.read(&line)?;
            rest = after.get(1..).unwrap_or_default();
        }
        if self.line.len() + rest.len() > LONGEST {
            return Err(format!("a line of more than {LONGEST} bytes"));
        }
        self.line.extend_from_slice(rest);
        Ok(())
    }

    fn read(&mut self, line: &[u8]) -> Result<(), String> {
        let line = std::str::from_utf8(line).map_err(|_| "no text")?.trim();
        if line.is_empty() {
            return Ok(());
        }
        let Some(series) = &mut self.series else {
            self.series = Some(line.split(',').skip(1).map(series).collect());
            return Ok(());
        };
        let mut cells = line.split(',').map(|cell| cell.trim().parse::<f64>());
        let bad = || format!("no numbers in line {}", self.row + 2);
        let Some(Ok(seconds)) = cells.next() else { return Err(bad()) };
        let (first, _) = self.seconds.unwrap_or((seconds, seconds));
        self.seconds = Some((first, seconds));
        // What comes beyond what was said belongs to the last stretch.
        let at = self.row * self.points / self.values;
        let at = at.min(self.points - 1);
        for series in series.iter_mut() {
            let Some(Ok(value)) = cells.next() else { return Err(bad()) };
            let place = series.low.get_mut(at).zip(series.high.get_mut(at));
            if let Some((low, high)) = place {
                *low = low.min(value);
                *high = high.max(value);
            } else {
                series.low.push(value);
                series.high.push(value);
            }
        }
        self.row += 1;
        Ok(())
    }

    fn end(mut self) -> Result<CaptureEnvelope, String> {
        let last = std::mem::take(&mut self.line);
        self.read(&last)?;
        let series = self.series.ok_or("an empty recording")?;
        let (from, to) = self.seconds.unwrap_or_default();
        Ok(CaptureEnvelope {
            from_seconds: from,
            to_seconds: to,
            values: self.row as u64,
            series,
        })
    }
}

/// `A (V)` is a series `A` in volts; one without a unit is a logic input.
fn series(head: &str) -> EnvelopeSeries {
    let head = head.trim();
    let of = head.strip_suffix(')').and_then(|it| it.split_once(" ("));
    let (name, unit) = match of {
        Some((name, unit)) => (name, Some(unit.to_owned())),
        None => (head, None),
    };
    EnvelopeSeries {
        name: name.to_owned(),
        unit,
        low: Vec::new(),
        high: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    #[test]
    fn all_values_become_as_many_points_as_are_asked_for() {
        let mut reader = Reader::new(100_000, 500);
        reader.take(b"seconds,A (V),L0\n").unwrap();
        let mut text = String::new();
        for row in 0..100_000_u32 {
            // One glitch, of one value among all.
            let glitch = u32::from(row == 70_001);
            let _ = writeln!(text, "{row}e-6,{}.5,{glitch}", row % 10);
            if text.len() > 100_000 {
                // Lines end where frames do not.
                let (one, other) = text.split_at(text.len() - 3);
                reader.take(one.as_bytes()).unwrap();
                reader.take(other.as_bytes()).unwrap();
                text.clear();
            }
        }
        reader.take(text.as_bytes()).unwrap();
        let done = reader.end().unwrap();
        assert_eq!(done.values, 100_000);
        let [a, l0] = &done.series[..] else { panic!("{done:?}") };
        assert_eq!((a.name.as_str(), a.unit.as_deref()), ("A", Some("V")));
        assert_eq!((a.low.len(), l0.unit.as_deref()), (500, None));
        assert!(a.low.iter().all(|it| (*it - 0.5).abs() < 1e-9));
        assert!(a.high.iter().all(|it| (*it - 9.5).abs() < 1e-9));
        let high: Vec<usize> =
            (0..500).filter(|at| l0.high[*at] > 0.5).collect();
        assert_eq!(high, [350]);
        assert!((done.to_seconds - 0.099_999).abs() < 1e-9);
    }

    #[test]
    fn what_is_no_recording_is_told() {
        for text in [&b""[..], b"seconds,A (V)\nx,1\n", b"s,A\n0\n"] {
            let mut reader = Reader::new(10, 10);
            let read = reader.take(text);
            assert!(read.is_err() || reader.end().is_err(), "{text:?}");
        }
        let long = vec![b'1'; LONGEST + 1];
        assert!(Reader::new(1, 1).take(&long).is_err());
    }
}
