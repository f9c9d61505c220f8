//! Small charts, drawn by the server.

use std::collections::VecDeque;
use std::fmt::Write as _;

/// How many points a chart has at most: two minutes of one a second.
pub(crate) const POINTS: usize = 120;

/// So many points fill the width; fewer begin further right.
const FEW: usize = 30;

/// A line without axes, as the points of an SVG of 120 × 26.
#[derive(Debug, Clone, Default)]
pub(crate) struct Spark {
    pub(crate) line: String,
    pub(crate) area: String,
    pub(crate) says: String,
}

impl Spark {
    /// The chart of `values`, oldest first, the newest at the right edge.
    pub(crate) fn new(values: &VecDeque<f64>) -> Option<Self> {
        if values.len() < 2 {
            return None;
        }
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        // A quiet sensor draws a quiet line, not its noise blown up.
        let span = (high - low).max(high.abs() * 0.02).max(0.1);
        let floor = f64::midpoint(low, high) - span / 2.0;
        let width = values.len().max(FEW) - 1;
        let mut line = String::new();
        let mut start = 0.0;
        for (index, value) in values.iter().enumerate() {
            let behind = values.len() - 1 - index;
            #[expect(clippy::cast_precision_loss, reason = "at most 120")]
            let x = 120.0 - 120.0 * behind as f64 / width as f64;
            let y = 24.0 - (value - floor) / span * 22.0;
            if index == 0 {
                start = x;
            } else {
                line.push(' ');
            }
            let _ = write!(line, "{x:.1},{y:.1}");
        }
        let area = format!("{start:.1},26 {line} 120,26");
        let says = format!("between {low:.2} and {high:.2}");
        Some(Self { line, area, says })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_ends_at_the_right_edge_and_stays_inside() {
        let spark = Spark::new(&[40.0, 45.5, 50.0].into()).unwrap();
        let points: Vec<(f64, f64)> = spark
            .line
            .split(' ')
            .map(|point| {
                let (x, y) = point.split_once(',').unwrap();
                (x.parse().unwrap(), y.parse().unwrap())
            })
            .collect();
        assert!((points.last().unwrap().0 - 120.0).abs() < 0.1);
        assert!(points.iter().all(|(_, y)| (0.0..=26.0).contains(y)));
    }

    #[test]
    fn one_point_is_no_line() {
        assert!(Spark::new(&[1.0].into()).is_none());
    }
}
