//! The device tree: what a Raspberry Pi, a Jetson or another board with it
//! says about itself.

use super::{rpi::revision::Revision, tree::Tree};
use crate::model::{BoardIdentity, MemoryKind};

/// The kernel shows it at both places; containers may hide the first.
const FOLDERS: [&str; 2] =
    ["/proc/device-tree", "/sys/firmware/devicetree/base"];

/// What the device tree says about the board.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Board {
    /// Who made it.
    pub identity: BoardIdentity,
    /// Memory soldered on, in bytes, and its kind, where the board says so.
    pub memory: Option<(u64, MemoryKind)>,
}

/// Reads the device tree; nothing where there is none.
#[must_use]
pub fn read(tree: &Tree) -> Option<Board> {
    let folder = FOLDERS
        .into_iter()
        .find(|folder| tree.exists(&format!("{folder}/model")))?;
    let model = tree.text(&format!("{folder}/model"))?;
    let (manufacturer, model) = split(&model);
    let serial = tree.text(&format!("{folder}/serial-number"));
    let identity = BoardIdentity {
        manufacturer: Some(manufacturer),
        model: Some(model),
        serial_number: serial.filter(|s| super::dmi::is_meaningful(s)),
        part_number: part_number(tree, folder),
        sku: None,
    };
    let revision = tree.bytes(&format!("{folder}/system/linux,revision")).ok();
    let revision = revision.and_then(|b| b.try_into().ok());
    let code = revision.map(u32::from_be_bytes);
    let revision = code.and_then(Revision::read);
    let memory = revision.map(|it| (it.memory, it.memory_kind));
    Some(Board { identity, memory })
}

/// What the board calls itself.
#[must_use]
pub fn model(tree: &Tree) -> Option<String> {
    property(tree, "model")
}

/// Whether the board says that it is compatible with something whose name
/// begins like this: `raspberrypi,`.
#[must_use]
pub fn is_compatible(tree: &Tree, begin: &str) -> bool {
    let names = property(tree, "compatible").unwrap_or_default();
    names.split('\0').any(|name| name.starts_with(begin))
}

/// Whether it is a Jetson: the processor is NVIDIA's.
#[must_use]
pub fn is_jetson(tree: &Tree) -> bool {
    is_compatible(tree, "nvidia,tegra")
}

fn property(tree: &Tree, name: &str) -> Option<String> {
    let mut folders = FOLDERS.into_iter();
    folders.find_map(|folder| tree.text(&format!("{folder}/{name}")))
}

/// Maker and model: `Raspberry Pi 4 Model B Rev 1.4` is a `4B Rev 1.4` of
/// `Raspberry Pi`.
fn split(text: &str) -> (String, String) {
    if let Some(rest) = text.strip_prefix("Raspberry Pi ") {
        let rest = rest.replace(" Model ", "").replace("B Plus", "B+");
        return ("Raspberry Pi".into(), rest.replace("A Plus", "A+"));
    }
    // What follows names the kit it was sold in, not the machine.
    let text = text.split(" Developer Kit").next().unwrap_or(text);
    let text = text.split(" Engineering Reference").next().unwrap_or(text);
    match text.split_once(' ') {
        Some((maker, model)) => (maker.to_owned(), model.trim().to_owned()),
        None => (text.to_owned(), text.to_owned()),
    }
}

/// A Jetson module's part: `p3448-0000` in `nvidia,p3448-0000`, or in the name
/// of the file that the device tree was made of,
/// `tegra194-p3668-0000-p3509-0000.dts`.
fn part_number(tree: &Tree, folder: &str) -> Option<String> {
    let names = tree.text(&format!("{folder}/compatible"))?;
    let parts = names.split('\0').filter_map(|n| n.split_once(",p"));
    let mut parts = parts.map(|(_, rest)| format!("p{rest}"));
    let known = parts.find_map(|name| {
        // A carrier comes first: `p3768-0000+p3767-0005`.
        let module = name.split('+').next_back()?.to_owned();
        is_part(module.split('-').next()?).then_some(module)
    });
    known.or_else(|| {
        let file = tree.text(&format!("{folder}/nvidia,dtsfilename"))?;
        let file = file.rsplit('/').next()?.split('.').next()?;
        let mut words = file.split('-').skip_while(|word| !is_part(word));
        let (board, version) = (words.next()?, words.next()?);
        let plain = |c: char| c.is_ascii_alphanumeric();
        let version = version.split('+').next()?;
        version.chars().all(plain).then(|| format!("{board}-{version}"))
    })
}

/// Whether `word` is how a part number of NVIDIA's begins: `p3448`.
fn is_part(word: &str) -> bool {
    let digits = word.strip_prefix('p').unwrap_or_default();
    digits.len() == 4 && digits.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_the_maker_from_the_model() {
        for (text, maker, model) in [
            ("Raspberry Pi 4 Model B Rev 1.4", "Raspberry Pi", "4B Rev 1.4"),
            ("Raspberry Pi 5 Model B Rev 1.0", "Raspberry Pi", "5B Rev 1.0"),
            (
                "Raspberry Pi 3 Model B Plus Rev 1.3",
                "Raspberry Pi",
                "3B+ Rev 1.3",
            ),
            (
                "Raspberry Pi Compute Module 4 Rev 1.0",
                "Raspberry Pi",
                "Compute Module 4 Rev 1.0",
            ),
            ("NVIDIA Jetson Nano Developer Kit", "NVIDIA", "Jetson Nano"),
            (
                "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super",
                "NVIDIA",
                "Jetson Orin Nano",
            ),
            ("Radxa ROCK 5B", "Radxa", "ROCK 5B"),
            ("Board", "Board", "Board"),
        ] {
            assert_eq!(split(text), (maker.into(), model.into()), "{text}");
        }
    }
}
