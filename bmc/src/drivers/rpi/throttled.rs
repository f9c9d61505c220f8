//! The word in which a Raspberry Pi says that it lacks power or is too warm.

use crate::model::{Health, Throttle, Trouble};

/// Where the bits begin that say what was so since the start.
const PAST: u32 = 16;

/// What the bits say: bit, word, sentence.
const BITS: [(u32, &str, &str); 4] = [
    (0, "UnderVoltage", "the input voltage is below 4.63 V"),
    (1, "FrequencyCapped", "the firmware holds the processor's clock down"),
    (2, "Throttled", "the firmware has slowed the processor down"),
    (
        3,
        "SoftTemperatureLimit",
        "the processor is slowed down for it is near its highest temperature",
    ),
];

/// What is wrong by `word`, and what was: what has come and gone since the look
/// before, at which `before` was said, is wrong for this once.
pub(super) fn troubles(word: u32, before: Option<u32>) -> Vec<Trouble> {
    let is = |bit: u32| word & (1 << bit) != 0;
    let under_voltage = is(0);
    let found = BITS.iter().filter_map(|(bit, name, text)| {
        let (now, ever) = (is(*bit), is(*bit + PAST));
        let new = before.is_some_and(|it| it & (1 << (*bit + PAST)) == 0);
        let brief = !now && ever && new;
        if !now && !ever {
            return None;
        }
        Some(Trouble {
            word: name,
            text: if brief {
                format!("for a moment, {text}").into()
            } else {
                (*text).into()
            },
            health: Health::Warning,
            slows: match bit {
                1 => Some(Throttle::Clock),
                2 if under_voltage => Some(Throttle::Power),
                2 | 3 => Some(Throttle::Heat),
                _ => None,
            },
            over: !now && !brief,
        })
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_what_is_so_from_what_was_and_from_what_came_and_went() {
        let said = |word, before| -> Vec<(&str, bool)> {
            let all = troubles(word, before).into_iter();
            all.map(|it| (it.word, it.over)).collect()
        };
        assert_eq!(said(0, None), []);
        let under = [("UnderVoltage", false), ("Throttled", false)];
        assert_eq!(said(0x5_0005, Some(0)), under);
        assert_eq!(
            troubles(0x5_0005, None)[1].slows,
            Some(Throttle::Power),
            "for lack of power"
        );
        let over = [("UnderVoltage", true), ("Throttled", true)];
        assert_eq!(said(0x5_0000, Some(0x5_0005)), over);
        // What was before the agent came is only noted.
        assert_eq!(said(0x1_0000, None), [("UnderVoltage", true)]);
        assert_eq!(said(0x1_0000, Some(0)), [("UnderVoltage", false)]);
        let brief = &troubles(0x1_0000, Some(0))[0];
        let text = "for a moment, the input voltage is below 4.63 V";
        assert_eq!(&*brief.text, text);
    }
}
