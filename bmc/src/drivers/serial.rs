//! Serial ports: the UARTs that the kernel has a driver for.

use super::tree::Tree;
use crate::model::SerialPort;

const FOLDER: &str = "/sys/class/tty";

/// The serial ports that are there: `type` is 0 where the kernel keeps a name
/// for a port that no machine has (`PORT_UNKNOWN` of `linux/serial_core.h`).
#[must_use]
pub fn read(tree: &Tree) -> Vec<SerialPort> {
    let entries = tree.entries(FOLDER).into_iter();
    let ports = entries.filter_map(|name| {
        let folder = format!("{FOLDER}/{name}");
        tree.number::<u32>(&format!("{folder}/type")).filter(|it| *it > 0)?;
        let driver = tree.link_name(&format!("{folder}/device/driver"));
        Some(SerialPort { id: name.into(), driver })
    });
    ports.collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_no_machine_has_is_left_out() {
        let root = tempfile::tempdir().unwrap();
        for (name, kind) in
            [("ttyS0", "4"), ("ttyS1", "0"), ("ttyAMA10", "32"), ("ttyX", "?")]
        {
            let folder = root.path().join("sys/class/tty").join(name);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("type"), format!("{kind}\n")).unwrap();
        }
        fs::create_dir_all(root.path().join("sys/class/tty/tty0")).unwrap();
        let ports = read(&Tree::new(root.path()));
        let ids: Vec<_> = ports.iter().map(|port| &*port.id).collect();
        assert_eq!(ids, ["ttyAMA10", "ttyS0"]);
    }
}
