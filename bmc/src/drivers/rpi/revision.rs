//! The revision code of a Raspberry Pi: what it is, in one word (the page
//! "Raspberry Pi revision codes" of the maker's documentation).

use crate::model::MemoryKind;

/// Models by bits 4 to 11.
const MODELS: [(u32, &str); 19] = [
    (0x00, "A"),
    (0x01, "B"),
    (0x02, "A+"),
    (0x03, "B+"),
    (0x04, "2B"),
    (0x06, "Compute Module 1"),
    (0x08, "3B"),
    (0x09, "Zero"),
    (0x0a, "Compute Module 3"),
    (0x0c, "Zero W"),
    (0x0d, "3B+"),
    (0x0e, "3A+"),
    (0x10, "Compute Module 3 Plus"),
    (0x11, "4B"),
    (0x12, "Zero 2 W"),
    (0x13, "400"),
    (0x14, "Compute Module 4"),
    (0x17, "5B"),
    (0x18, "Compute Module 5"),
];
/// Who soldered it, by bits 16 to 19.
const MAKERS: [&str; 6] =
    ["Sony UK", "Egoman", "Embest", "Sony Japan", "Embest", "Stadium"];

/// What a revision code says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revision {
    /// `4B`; nothing for a model that is newer than this table.
    pub model: Option<&'static str>,
    /// The number after `Rev 1.`.
    pub minor: u32,
    /// Who soldered it.
    pub maker: Option<&'static str>,
    /// Memory in bytes.
    pub memory: u64,
    /// Its kind.
    pub memory_kind: MemoryKind,
}

impl Revision {
    /// Reads a code: bit 23 marks the new style, bits 20 to 22 are the size of
    /// the memory, 16 to 19 the maker, 12 to 15 the processor, 4 to 11 the
    /// model. Nothing for the style of boards before 2014.
    #[must_use]
    pub fn read(code: u32) -> Option<Self> {
        if code & (1 << 23) == 0 {
            return None;
        }
        let number = (code >> 4) & 0xff;
        let model = MODELS.iter().find(|(known, _)| *known == number);
        let maker = usize::try_from((code >> 16) & 15).ok()?;
        Some(Self {
            model: model.map(|(_, model)| *model),
            minor: code & 15,
            maker: MAKERS.get(maker).copied(),
            memory: (256 << 20) << ((code >> 20) & 7),
            memory_kind: match (code >> 12) & 15 {
                0..=2 => MemoryKind::Lpddr2,
                _ => MemoryKind::Lpddr4,
            },
        })
    }

    /// The model with its revision, as a device tree says it: `4B Rev 1.4`.
    #[must_use]
    pub fn name(&self) -> Option<String> {
        self.model.map(|model| format!("{model} Rev 1.{}", self.minor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_codes_of_known_boards() {
        let read = |code| Revision::read(code).unwrap();
        for (code, name, maker, gibibytes, kind) in [
            (0xd0_3114, "4B Rev 1.4", "Sony UK", 8, MemoryKind::Lpddr4),
            (0xc0_4170, "5B Rev 1.0", "Sony UK", 4, MemoryKind::Lpddr4),
            (0xa2_2082, "3B Rev 1.2", "Embest", 1, MemoryKind::Lpddr2),
            (
                0xb0_3140,
                "Compute Module 4 Rev 1.0",
                "Sony UK",
                2,
                MemoryKind::Lpddr4,
            ),
        ] {
            let revision = read(code);
            assert_eq!(revision.name().as_deref(), Some(name));
            assert_eq!(revision.maker, Some(maker), "{name}");
            assert_eq!(revision.memory, gibibytes << 30, "{name}");
            assert_eq!(revision.memory_kind, kind, "{name}");
        }
        assert_eq!(Revision::read(0x00_000e), None);
        let newer = read(0xb0_4ff0);
        assert_eq!((newer.name(), newer.memory), (None, 2 << 30));
    }
}
