//! UEFI variables: where the firmware can start from, and where it will next
//! (UEFI 2.10, section 3.1; `Documentation/filesystems/efivarfs.rst`).

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::PathBuf,
};

use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};

use super::tree::Tree;
use crate::model::BootSource;

const FOLDER: &str = "/sys/firmware/efi/efivars";
/// The owner of the variables that the specification names (section 3.3).
const GLOBAL: &str = "8be4df61-93ca-11d2-aa0d-00e098032b8c";
/// `NON_VOLATILE`, `BOOTSERVICE_ACCESS`, `RUNTIME_ACCESS` (section 8.2).
const ATTRIBUTES: u32 = 0x7;
/// `LOAD_OPTION_ACTIVE` (section 3.1.3).
const ACTIVE: u32 = 0x1;
/// `EFI_OS_INDICATIONS_BOOT_TO_FW_UI` (section 8.5.4).
const TO_SETUP: u64 = 0x1;

/// Whether UEFI started this machine and lets its variables be seen.
#[must_use]
pub fn is_there(tree: &Tree) -> bool {
    tree.exists(&variable("BootOrder"))
}

/// Where the firmware can be told to start from, the usual place first.
#[must_use]
pub fn sources(tree: &Tree) -> Vec<BootSource> {
    let mut sources = Vec::new();
    for (_, source) in options(tree) {
        if !sources.contains(&source) {
            sources.push(source);
        }
    }
    let supported = number(tree, "OsIndicationsSupported");
    if supported.is_some_and(|bits| bits & TO_SETUP != 0) {
        sources.push(BootSource::BiosSetup);
    }
    sources
}

/// Lets the next start be from `source`, or from the usual place.
///
/// # Errors
/// The firmware has no such place, or the kernel refused the write.
pub fn start_next_from(
    tree: &Tree,
    source: Option<BootSource>,
) -> io::Result<()> {
    let wanted = number(tree, "OsIndications").unwrap_or_default();
    let setup = source == Some(BootSource::BiosSetup);
    let bits = if setup { wanted | TO_SETUP } else { wanted & !TO_SETUP };
    if bits != wanted {
        write(tree, "OsIndications", &bits.to_le_bytes())?;
    }
    let Some(source) = source.filter(|_| !setup) else {
        return remove(tree, "BootNext");
    };
    let mut all = options(tree).into_iter();
    let Some((option, _)) = all.find(|(_, from)| *from == source) else {
        let reason =
            format!("the firmware has no option for {}", source.as_str());
        return Err(io::Error::new(io::ErrorKind::NotFound, reason));
    };
    write(tree, "BootNext", &option.to_le_bytes())
}

fn variable(name: &str) -> String {
    format!("{FOLDER}/{name}-{GLOBAL}")
}

/// What the variable holds, without its attributes.
fn read(tree: &Tree, name: &str) -> Option<Vec<u8>> {
    let content = tree.bytes(&variable(name)).ok()?;
    content.get(4..).map(<[u8]>::to_vec)
}

fn number(tree: &Tree, name: &str) -> Option<u64> {
    let content = read(tree, name)?;
    content.try_into().ok().map(u64::from_le_bytes)
}

/// The active options in the order of the firmware, with what they start
/// from.
fn options(tree: &Tree) -> Vec<(u16, BootSource)> {
    let order = read(tree, "BootOrder").unwrap_or_default();
    let numbers = order.as_chunks::<2>().0.iter();
    numbers
        .filter_map(|number| {
            let number = u16::from_le_bytes(*number);
            let option = read(tree, &format!("Boot{number:04X}"))?;
            Some((number, source(&option)?))
        })
        .collect()
}

/// What a load option starts from (section 3.1.3): 4 bytes of attributes, 2 of
/// the length of the path, a name in UTF-16 that ends with a zero, the path.
fn source(option: &[u8]) -> Option<BootSource> {
    let (attributes, rest) = option.split_first_chunk::<4>()?;
    if u32::from_le_bytes(*attributes) & ACTIVE == 0 {
        return None;
    }
    let (length, rest) = rest.split_first_chunk::<2>()?;
    let length = usize::from(u16::from_le_bytes(*length));
    let name = rest.as_chunks::<2>().0;
    let end = name.iter().position(|unit| *unit == [0, 0])?;
    let path = rest.get((end + 1) * 2..)?;
    kinds(path.get(..length)?)
        .into_iter()
        .max_by_key(|(rank, _)| *rank)
        .map(|(_, source)| source)
}

/// What the nodes of a device path (section 10.3) say of the device, and how
/// much that says: a disk on a USB controller is a USB drive, the partition on
/// it says nothing more.
fn kinds(mut path: &[u8]) -> Vec<(u8, BootSource)> {
    const MESSAGING: u8 = 3;
    const MEDIA: u8 = 4;
    const BBS: u8 = 5;
    let mut kinds = Vec::new();
    while let Some(([kind, subtype, low, high], rest)) =
        path.split_first_chunk::<4>()
    {
        let length = usize::from(u16::from_le_bytes([*low, *high]));
        let Some(data) = length.checked_sub(4).and_then(|n| rest.get(..n))
        else {
            break;
        };
        kinds.extend(match (*kind, *subtype) {
            (MESSAGING, 0x18) => Some((5, BootSource::UefiHttp)),
            (MESSAGING, 0x0b) => Some((4, BootSource::Pxe)),
            (MESSAGING, 0x05 | 0x0f | 0x10) => Some((3, BootSource::Usb)),
            (MESSAGING, 0x1a) => Some((3, BootSource::SdCard)),
            (MEDIA, 0x02) => Some((2, BootSource::Cd)),
            // A partition, SATA, NVMe, eMMC.
            (MEDIA, 0x01) | (MESSAGING, 0x12 | 0x17 | 0x1d) => {
                Some((1, BootSource::Hdd))
            }
            (BBS, 0x01) => match data.first() {
                Some(2) => Some((1, BootSource::Hdd)),
                Some(3) => Some((2, BootSource::Cd)),
                Some(5) => Some((3, BootSource::Usb)),
                Some(6) => Some((4, BootSource::Pxe)),
                _ => None,
            },
            _ => None,
        });
        path = rest.get(data.len()..).unwrap_or_default();
    }
    kinds
}

/// Lets a variable be changed: the kernel guards against `rm -r`.
fn unguard(path: &PathBuf) -> io::Result<()> {
    let file = File::open(path)?;
    // What is no efivarfs has no such guard.
    let Ok(flags) = ioctl_getflags(&file) else { return Ok(()) };
    if flags.contains(IFlags::IMMUTABLE) {
        ioctl_setflags(&file, flags - IFlags::IMMUTABLE)?;
    }
    Ok(())
}

fn write(tree: &Tree, name: &str, content: &[u8]) -> io::Result<()> {
    let path = tree.path(&variable(name));
    if path.exists() {
        unguard(&path)?;
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)?;
    // The firmware takes a variable whole, in one write.
    let whole = [&ATTRIBUTES.to_le_bytes(), content].concat();
    file.write_all(&whole)
}

fn remove(tree: &Tree, name: &str) -> io::Result<()> {
    let path = tree.path(&variable(name));
    if !path.exists() {
        return Ok(());
    }
    unguard(&path)?;
    fs::remove_file(path)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A load option that starts from the device at `path`.
    fn option(attributes: u32, path: &[u8]) -> Vec<u8> {
        let name: Vec<u8> =
            "Boot\0".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let length = u16::try_from(path.len()).unwrap().to_le_bytes();
        [&attributes.to_le_bytes(), &length[..], &name, path].concat()
    }

    /// A machine with a disk, a network and a set-up program.
    pub(crate) fn machine() -> (tempfile::TempDir, Tree) {
        let folder = tempfile::tempdir().unwrap();
        let tree = Tree::new(folder.path());
        fs::create_dir_all(tree.path(FOLDER)).unwrap();
        let end = [0x7f, 0xff, 4, 0];
        let pci = [1, 1, 6, 0, 0, 2];
        let mac = [&pci[..], &[3, 0x0b, 5, 0, 0], &end].concat();
        let nvme = [&pci[..], &[3, 0x17, 5, 0, 0, 4, 1, 4, 0], &end].concat();
        let usb = [&pci[..], &[3, 5, 6, 0, 0, 0, 4, 1, 4, 0], &end].concat();
        write(&tree, "Boot0003", &option(ACTIVE, &nvme)).unwrap();
        write(&tree, "Boot000A", &option(ACTIVE, &mac)).unwrap();
        write(&tree, "Boot0001", &option(0, &usb)).unwrap();
        write(&tree, "Boot0002", &[1, 0, 0, 0, 0xff]).unwrap();
        let order = [[1, 0], [3, 0], [0x0a, 0], [2, 0], [9, 0]].concat();
        write(&tree, "BootOrder", &order).unwrap();
        write(&tree, "OsIndicationsSupported", &1_u64.to_le_bytes()).unwrap();
        (folder, tree)
    }

    /// The number of the option that is next.
    pub(crate) fn next(tree: &Tree) -> Option<u16> {
        let next = read(tree, "BootNext")?;
        next.try_into().ok().map(u16::from_le_bytes)
    }

    #[test]
    fn the_firmware_says_where_it_can_start_and_is_told_where_next() {
        let (_folder, tree) = machine();
        let [disk, net] = [BootSource::Hdd, BootSource::Pxe];
        assert_eq!(sources(&tree), [disk, net, BootSource::BiosSetup]);
        start_next_from(&tree, Some(net)).unwrap();
        assert_eq!(next(&tree), Some(0x0a));
        let whole = tree.bytes(&variable("BootNext")).unwrap();
        assert_eq!(whole, [7, 0, 0, 0, 0x0a, 0]);
        start_next_from(&tree, Some(BootSource::BiosSetup)).unwrap();
        assert_eq!(next(&tree), None);
        assert_eq!(number(&tree, "OsIndications"), Some(1));
        start_next_from(&tree, Some(disk)).unwrap();
        assert_eq!(next(&tree), Some(3));
        assert_eq!(number(&tree, "OsIndications"), Some(0));
        start_next_from(&tree, None).unwrap();
        assert_eq!(next(&tree), None);
        // The option for USB is switched off.
        let error = start_next_from(&tree, Some(BootSource::Usb)).unwrap_err();
        assert_eq!(error.to_string(), "the firmware has no option for Usb");
        let old = Tree::new("/nonexistent".as_ref());
        assert!(!is_there(&old) && sources(&old).is_empty());
    }

    #[test]
    fn a_path_that_is_cut_or_loops_ends() {
        for path in [&[3, 5][..], &[3, 5, 0, 0, 3, 5], &[3, 5, 0xff, 0xff]] {
            assert!(kinds(path).is_empty());
        }
    }
}
