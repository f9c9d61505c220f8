//! The protocol, byte by byte.

use std::sync::{Arc, Mutex};

use super::*;
use crate::sim::{
    bitscope::{Fault, Rack},
    serial::{SerialPart, SimulatedSerial},
};

/// A rack on a line that is listened to.
#[derive(Clone, Debug)]
struct Tapped {
    rack: Rack,
    sent: Arc<Mutex<Vec<u8>>>,
}

impl SerialPart for Tapped {
    fn receive(&mut self, bytes: &[u8]) {
        self.sent.lock().unwrap().extend(bytes);
        self.rack.receive(bytes);
    }

    fn send(&mut self) -> Vec<u8> {
        self.rack.send()
    }
}

fn wire() -> (Wire, Rack, Arc<Mutex<Vec<u8>>>) {
    let tapped = Tapped { rack: Rack::new(24), sent: Arc::default() };
    let link = SimulatedSerial::new(Box::new(tapped.clone()));
    let wire = Wire::new(Box::new(link), Secret::default());
    (wire, tapped.rack, tapped.sent)
}

fn taken(sent: &Mutex<Vec<u8>>) -> String {
    let bytes = std::mem::take(&mut *sent.lock().unwrap());
    bytes.escape_ascii().to_string()
}

#[test]
fn sends_these_bytes_and_no_others() {
    let (mut wire, rack, sent) = wire();
    let status = wire.status(4).unwrap();
    let expected =
        Status { address: 4, master: false, on: true, current: 36, fan: 152 };
    assert_eq!(status, expected);
    let close = "\\x07";
    let unlocking = format!("{close}={close}UnLockMe={close}");
    assert_eq!(taken(&sent), format!("{unlocking}[04]|={close}"));
    wire.switch(0x17, false).unwrap();
    assert_eq!(taken(&sent), format!("[17]|\\\\{close}"));
    wire.switch(0x17, true).unwrap();
    assert_eq!(taken(&sent), format!("[17]|/{close}"));
    let log: Vec<_> = rack.log().iter().map(|it| (it.address, it.on)).collect();
    assert_eq!(log, [(0x17, false), (0x17, true)]);
}

#[test]
fn the_managers_own_node_is_asked_without_a_pipe_and_never_switched() {
    let (mut wire, rack, sent) = wire();
    wire.wake().unwrap();
    taken(&sent);
    assert!(wire.status(0).unwrap().master);
    assert_eq!(taken(&sent), "=\\x07");
    assert!(wire.switch(0, false).is_err());
    assert_eq!(taken(&sent), "");
    assert_eq!(rack.log(), []);
}

#[test]
fn a_pipe_or_a_console_that_was_left_open_is_closed_first() {
    for console in [false, true] {
        let (mut wire, rack, _) = wire();
        wire.wake().unwrap();
        rack.leave_open(5, console);
        // The same line, another program.
        wire.unlocked = false;
        assert_eq!(wire.status(6).unwrap().address, 6);
        assert_eq!(rack.log(), []);
        assert_eq!(rack.heard(5), b"");
    }
}

#[test]
fn each_way_to_misbehave_is_told_with_address_command_and_what_came() {
    let (mut wire, rack, _) = wire();
    wire.wake().unwrap();
    for (fault, said) in [
        (Fault::Silent, "`=` to node 0x04: nothing came back"),
        (Fault::EchoOnly, "`=` to node 0x04: only its echo came back: `04|=`"),
        (
            Fault::Garbage,
            "`=` to node 0x04: `04|=\\n\\xff\\x00zz 0!\\n` is no status",
        ),
        (
            Fault::WrongAddress,
            "`=` to node 0x04: node 0x05 answered: `04|=\\n05 ff 1 24 98\\n`",
        ),
        (
            Fault::UnknownState,
            "`=` to node 0x04: the state `7` is not known: \
             `04|=\\n04 ff 7 26 98\\n`",
        ),
    ] {
        rack.fault(4, Some(fault));
        let error = wire.status(4).unwrap_err();
        assert!(!error.is_of_bus());
        let error = error.to_string();
        // The last byte may not have been waited for.
        assert_eq!(error.replace("98`", "98\\n`"), said, "{fault:?}");
        assert_eq!(wire.status(5).unwrap().address, 5, "{fault:?}");
        rack.fault(4, None);
        assert_eq!(wire.status(4).unwrap().address, 4, "{fault:?}");
    }
}

#[test]
fn a_bus_that_was_locked_is_unlocked_once() {
    let (mut wire, rack, sent) = wire();
    wire.wake().unwrap();
    rack.lock_up();
    assert_eq!(wire.status(4).unwrap().address, 4);
    assert_eq!(taken(&sent).matches("UnLockMe").count(), 2);
    rack.lock_up();
    wire.switch(4, false).unwrap();
    assert!(!rack.is_on(4));
    rack.lock_up();
    rack.unlock_with(b"another");
    taken(&sent);
    let error = wire.status(4).unwrap_err();
    assert!(error.is_of_bus(), "{error}");
    assert_eq!(taken(&sent).matches("UnLockMe").count(), 1);
    assert!(!error.to_string().contains("UnLock"), "{error}");
    let secret = Secret::new("another\n").unwrap();
    assert!(!format!("{secret:?}").contains("another"));
    wire.secret = secret;
    assert_eq!(wire.status(4).unwrap().address, 4);
}

#[test]
fn a_line_that_hangs_is_waited_for_in_bounds() {
    let (mut wire, rack, _) = wire();
    rack.hang(true);
    let begin = Instant::now();
    assert!(wire.status(4).unwrap_err().is_of_bus());
    assert!(begin.elapsed() < CAP, "{:?}", begin.elapsed());
    rack.hang(false);
    assert_eq!(wire.status(4).unwrap().address, 4);
}

#[test]
fn a_line_that_is_pulled_out_or_that_others_speak_on_gives_no_wrong_status() {
    let link = SimulatedSerial::new(Box::new(Rack::new(24)));
    let faults = link.faults();
    let mut wire = Wire::new(Box::new(link), Secret::default());
    let well = wire.status(4).unwrap();
    faults.unplug(true);
    let error = wire.status(4).unwrap_err();
    assert!(error.is_of_bus());
    let error = error.to_string();
    assert!(error.starts_with("`=` to "), "{error}");
    assert!(error.contains("os error 5"), "{error}");
    faults.unplug(false);
    assert_eq!(wire.status(4).unwrap(), well);
    faults.silence(true);
    assert!(wire.status(4).is_err());
    faults.silence(false);
    assert_eq!(wire.status(4).unwrap(), well);
    // Another node's status, half of one, and what is none.
    for noise in ["05|=\n05 ff 0 24 98\n", "04 ff 0", "\u{7}\u{0}zz\n"] {
        faults.disturb(noise.as_bytes());
        for _ in 0..3 {
            if let Ok(status) = wire.status(4) {
                assert_eq!(status, well, "{noise:?}");
            }
        }
        faults.disturb(&[]);
        assert_eq!(wire.status(4).unwrap(), well, "{noise:?}");
    }
    // Somebody else opens a pipe, and locks the bus.
    for theirs in [&b"[07]|"[..], b"[07]|[05]~"] {
        faults.meddle(theirs);
        let _ = wire.status(4);
        assert_eq!(wire.status(4).unwrap(), well);
    }
}

#[test]
fn a_status_is_complete_with_its_fifth_field() {
    for (came, complete) in [
        ("04|=", false),
        ("04|=\n04 ff 1 26", false),
        ("04|=\n04 ff 1 26 9", false),
        ("04|=\n04 ff 1 26 98", true),
        ("04|=\r\n04 ff 1 26 9\r", true),
    ] {
        assert_eq!(is_complete(came.as_bytes()), complete, "{came:?}");
    }
    let asked = Asked { address: Some(4), ask: Ask::Status };
    let status = parse(asked, b"04|=\n04 ff 2 26 98").unwrap();
    assert!(!status.on, "disabled is off");
}
