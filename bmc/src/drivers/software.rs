//! What else runs on a machine: the loader that starts it, and drivers that
//! carry a version of their own.

use chrono::{DateTime, Utc};

use super::tree::Tree;

/// Programs that are listed at most.
const LIMIT: usize = 64;

/// A program with a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Software {
    /// Segment of its URI.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Who made it.
    pub manufacturer: Option<String>,
    /// Its version.
    pub version: String,
    /// When it was made, where it says so.
    pub released: Option<DateTime<Utc>>,
}

/// The loaders and the drivers that `tree` shows.
#[must_use]
pub fn read(tree: &Tree) -> Vec<Software> {
    let mut found: Vec<_> = loaders(tree).into_iter().flatten().collect();
    found.extend(jetson(tree));
    found.extend(drivers(tree));
    found.truncate(LIMIT);
    found
}

fn loaders(tree: &Tree) -> [Option<Software>; 2] {
    let chosen = ["/proc/device-tree", "/sys/firmware/devicetree/base"]
        .map(|folder| format!("{folder}/chosen"))
        .into_iter()
        .find(|folder| tree.exists(folder));
    let Some(chosen) = chosen else { return [None, None] };
    // Raspberry Pi: the bootloader in the EEPROM tells its commit and time.
    let eeprom = tree.text(&format!("{chosen}/bootloader/version"));
    let time = tree.bytes(&format!("{chosen}/bootloader/build-timestamp"));
    let time = time.ok().and_then(|bytes| bytes.try_into().ok());
    let time = time.map(|bytes| i64::from(u32::from_be_bytes(bytes)));
    let released = time.and_then(|time| DateTime::from_timestamp(time, 0));
    let eeprom = eeprom.map(|version| Software {
        id: "bootloader".to_owned(),
        name: "Bootloader EEPROM".to_owned(),
        manufacturer: Some("Raspberry Pi".to_owned()),
        version,
        released,
    });
    let u_boot = tree.text(&format!("{chosen}/u-boot,version"));
    let u_boot = u_boot.map(|version| Software {
        id: "u-boot".to_owned(),
        name: "U-Boot".to_owned(),
        manufacturer: Some("DENX".to_owned()),
        version: version.trim_start_matches("U-Boot ").to_owned(),
        released: None,
    });
    [eeprom, u_boot]
}

/// What a Jetson's board support package says of itself: `# R36 (release),
/// REVISION: 4.3, GCID: …`.
fn jetson(tree: &Tree) -> Option<Software> {
    let text = tree.text("/etc/nv_tegra_release")?;
    let line = text.lines().next()?.trim_start_matches(['#', ' ']);
    let mut parts = line.split(',').map(str::trim);
    let release = parts.next()?.split(' ').next()?.strip_prefix('R')?;
    let revision = parts.find_map(|part| part.strip_prefix("REVISION:"))?;
    let version = format!("{release}.{}", revision.trim());
    let plain = |c: char| c.is_ascii_digit() || c == '.';
    (version.len() <= 32 && version.chars().all(plain)).then(|| Software {
        id: "jetson-linux".to_owned(),
        name: "Jetson Linux".to_owned(),
        manufacturer: Some("NVIDIA".to_owned()),
        version,
        released: None,
    })
}

/// The modules that drive a device and have a version of their own; all
/// others have the kernel's.
fn drivers(tree: &Tree) -> Vec<Software> {
    let mut modules: Vec<String> = Vec::new();
    for bus in tree.entries("/sys/bus") {
        let devices = format!("/sys/bus/{bus}/devices");
        for device in tree.entries(&devices) {
            let module = format!("{devices}/{device}/driver/module");
            modules.extend(tree.link_name(&module));
        }
    }
    modules.sort();
    modules.dedup();
    let described = modules.into_iter().filter_map(|module| {
        let version = tree.text(&format!("/sys/module/{module}/version"))?;
        // It is a segment of a URI.
        let safe = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
        module.chars().all(safe).then(|| Software {
            id: format!("driver-{module}"),
            name: format!("Driver {module}"),
            manufacturer: None,
            version,
            released: None,
        })
    });
    described.collect()
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn a_loader_and_a_driver_say_their_versions() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let put = |path: &str, content: &[u8]| {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        };
        let loader = "proc/device-tree/chosen/bootloader";
        put(
            &format!("{loader}/version"),
            b"8ba17717fbcedd4c3b6d4bce7e50c7af4155cba9\0",
        );
        put(&format!("{loader}/build-timestamp"), &[0x67, 0x8f, 0x3a, 0x10]);
        put("sys/module/nvgpu/version", b"35.1\n");
        put("sys/module/other/refcnt", b"0\n");
        for (device, module) in [("a", "nvgpu"), ("b", "nvgpu"), ("c", "other")]
        {
            let driver =
                root.join(format!("sys/bus/platform/devices/{device}/driver"));
            fs::create_dir_all(&driver).unwrap();
            symlink(
                root.join("sys/module").join(module),
                driver.join("module"),
            )
            .unwrap();
        }
        let found = read(&Tree::new(root));
        let ids: Vec<_> = found.iter().map(|it| &*it.id).collect();
        assert_eq!(ids, ["bootloader", "driver-nvgpu"]);
        assert!(found[0].version.starts_with("8ba17717"));
        assert_eq!(found[0].released.unwrap().timestamp(), 0x678f_3a10);
        assert_eq!(found[1].version, "35.1");
    }
    #[test]
    fn the_release_of_a_jetson_is_two_numbers_or_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("etc/nv_tegra_release");
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        let tree = Tree::new(folder.path());
        for (text, version) in [
            (
                "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic",
                Some("36.4.3"),
            ),
            ("# R32 (release), REVISION: 7.1, GCID: 29818004", Some("32.7.1")),
            ("# R32 (release)", None),
            ("# R<b>, REVISION: 7.1", None),
            ("", None),
        ] {
            fs::write(&file, text).unwrap();
            let found = read(&tree).into_iter().next();
            assert_eq!(found.map(|it| it.version).as_deref(), version);
        }
    }
}
