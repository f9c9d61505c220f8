//! Which of two versions is newer.

use std::cmp::Ordering;

/// Compares two versions such as `1.4.0` and `1.5.0-rc.1` by the rules of
/// semantic versioning, build metadata aside.
#[must_use]
pub fn compare(one: &str, other: &str) -> Ordering {
    let (numbers, ahead) = parse(one);
    let (other_numbers, other_ahead) = parse(other);
    numbers.cmp(&other_numbers).then_with(|| match (ahead, other_ahead) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Greater,
        (Some(_), None) => Ordering::Less,
        (Some(one), Some(other)) => identifiers(one, other),
    })
}

/// The numbers, and what is said of a version that comes before them.
fn parse(text: &str) -> ([u64; 3], Option<&str>) {
    let text = text.split('+').next().unwrap_or_default();
    let (core, ahead) = match text.split_once('-') {
        Some((core, ahead)) => (core, Some(ahead)),
        None => (text, None),
    };
    let mut parts = core.split('.').map(|part| part.parse().unwrap_or(0));
    (std::array::from_fn(|_| parts.next().unwrap_or(0)), ahead)
}

fn identifiers(one: &str, other: &str) -> Ordering {
    let (mut one, mut other) = (one.split('.'), other.split('.'));
    loop {
        let (a, b) = match (one.next(), other.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(a), Some(b)) => (a, b),
        };
        let order = match (a.parse::<u64>(), b.parse::<u64>()) {
            (Ok(a), Ok(b)) => a.cmp(&b),
            (Ok(_), Err(_)) => Ordering::Less,
            (Err(_), Ok(_)) => Ordering::Greater,
            (Err(_), Err(_)) => a.cmp(b),
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_come_in_their_order() {
        let order = [
            "0.9.10",
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-rc.2",
            "1.0.0-rc.10",
            "1.0.0",
            "1.0.1",
            "1.10.0",
            "2.0.0",
        ];
        for (index, one) in order.iter().enumerate() {
            for (other_index, other) in order.iter().enumerate() {
                let expected = index.cmp(&other_index);
                assert_eq!(compare(one, other), expected, "{one} {other}");
            }
        }
        assert_eq!(compare("1.0.0+a", "1.0.0+b"), Ordering::Equal);
    }
}
