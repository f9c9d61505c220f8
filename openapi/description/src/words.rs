//! Words made from other words.

use std::fmt::Write as _;

/// `DeviceSensor`, `device_sensor` → `device-sensor`.
#[must_use]
pub fn kebab(text: &str) -> String {
    words(text).join("-")
}

/// `lastIpAddr`, `join_token` → `Last IP addr`, `Join token`.
#[must_use]
pub fn title(text: &str) -> String {
    const LETTERS: &[&str] = &[
        "api", "bmc", "cpu", "dns", "id", "ip", "led", "mac", "mtu", "os",
        "sku", "tls", "url", "uuid",
    ];
    let mut out = String::new();
    for word in words(text) {
        if !out.is_empty() {
            out.push(' ');
        }
        if LETTERS.contains(&word.as_str()) {
            out.push_str(&word.to_uppercase());
        } else if out.is_empty() {
            out.push_str(&capital(&word));
        } else {
            out.push_str(&word);
        }
    }
    out
}

/// `join-token` → `JoinToken`.
pub(crate) fn pascal(text: &str) -> String {
    words(text).iter().map(|word| capital(word)).collect()
}

/// `device` → `devices`, `entry` → `entries`.
pub(crate) fn many(text: &str) -> String {
    if let Some(stem) = text.strip_suffix('y')
        && !stem.ends_with(['a', 'e', 'o', 'u'])
    {
        format!("{stem}ies")
    } else if text.ends_with('s') {
        text.to_owned()
    } else {
        format!("{text}s")
    }
}

/// `devices` → `device`, `entries` → `entry`.
pub(crate) fn one(text: &str) -> String {
    if let Some(stem) = text.strip_suffix("ies") {
        format!("{stem}y")
    } else if text.ends_with("ss") {
        text.to_owned()
    } else {
        text.strip_suffix('s').unwrap_or(text).to_owned()
    }
}

/// `text` as one segment of a path.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        let plain = byte.is_ascii_alphanumeric() || b"-._~:@".contains(&byte);
        // A segment of dots alone would mean another path.
        if plain && !(byte == b'.' && text.bytes().all(|b| b == b'.')) {
            out.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut before = ' ';
    let mut fresh = true;
    for letter in text.chars() {
        if letter.is_alphanumeric() {
            let turns = letter.is_uppercase() && before.is_lowercase();
            if fresh || turns {
                words.push(String::new());
            }
            if let Some(word) = words.last_mut() {
                word.extend(letter.to_lowercase());
            }
            fresh = false;
        } else {
            fresh = true;
        }
        before = letter;
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn makes_words_of_names() {
        assert_eq!(title("lastIpAddr"), "Last IP addr");
        assert_eq!(title("join_token"), "Join token");
        assert_eq!(kebab("DeviceSensor"), "device-sensor");
        assert_eq!(pascal("join-token"), "JoinToken");
        assert_eq!(many("power-supply"), "power-supplies");
        assert_eq!(one("entries"), "entry");
        assert_eq!(one("devices"), "device");
    }

    #[test]
    fn a_segment_stays_one_segment() {
        assert_eq!(escape("a/b c%"), "a%2Fb%20c%25");
        assert_eq!(escape(".."), "%2E%2E");
        assert_eq!(escape("c001.b8"), "c001.b8");
    }
}
