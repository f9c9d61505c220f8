//! Identity: what makes this machine the one it was before it was
//! re-installed.

use super::{
    device_tree::Board,
    dmi::{self, Dmi},
    tree::Tree,
};
use crate::model::NetworkInterface;

/// The machine's own name for itself: the board's serial number, else what
/// DMI says, else the machine-id, else a hardware address. Nothing where a
/// machine has none of them.
#[must_use]
pub fn of_host(
    tree: &Tree,
    board: Option<&Board>,
    dmi: Option<&Dmi>,
    interfaces: &[NetworkInterface],
) -> Option<String> {
    let board = board.and_then(|b| b.identity.serial_number.clone());
    let firmware = || {
        let dmi = dmi?;
        let serial = || dmi.board.serial_number.clone();
        dmi.uuid.clone().or_else(serial).or_else(|| dmi.board_serial.clone())
    };
    let machine = || {
        let id = tree.text("/etc/machine-id");
        id.filter(|id| id != "uninitialized" && dmi::is_meaningful(id))
    };
    let address = || interfaces.iter().find_map(|i| i.mac.clone());
    board.or_else(firmware).or_else(machine).or_else(address)
}
