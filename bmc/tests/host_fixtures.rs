//! What the agent makes of machines it is not running on.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::{fmt::Write as _, fs, path::Path};

use onprem_bmc::{
    boards::{Board, Naming, Scan, hand::Hand, host::Host},
    drivers::{Driver, tree::Tree},
    model::{
        BoardIdentity, Chassis, Inventory, Model, NetworkInterface, Quality,
        Sample, Settings, System,
    },
};

use self::support::tree::unpack;

fn host(root: &Path) -> Host {
    let naming = Naming {
        fallback_identity: "nothing better".into(),
        ..Naming::default()
    };
    Host::new(Tree::new(root), naming, false, Hand::default())
}

/// A machine in words, with what its sensors say.
fn describe(root: &Path) -> String {
    let Scan { inventory, mut drivers, .. } = host(root).scan();
    let mut samples: Vec<Sample> =
        drivers.iter_mut().flat_map(|d| d.poll().samples).collect();
    samples.sort_by(|a, b| a.id.cmp(&b.id));
    let mut text = String::new();
    let Inventory { systems, chassis, .. } = &inventory;
    for found in systems {
        system(&mut text, found);
    }
    for found in chassis {
        sensors(&mut text, found, &samples);
    }
    text
}

fn maker(board: &BoardIdentity) -> String {
    let words = [
        &board.manufacturer,
        &board.model,
        &board.serial_number,
        &board.part_number,
    ];
    let words = words.map(|word| word.as_deref().unwrap_or("-"));
    words.join(" / ")
}

fn system(text: &mut String, system: &System) {
    let mut line = |line: String| writeln!(text, "{line}").unwrap();
    line(format!("system {} ({:?})", system.name, system.kind));
    line(format!("  maker {}", maker(&system.board)));
    if let Some(module) = &system.sub_model {
        line(format!("  module {module}"));
    }
    line(format!("  uuid {}", system.uuid));
    line(format!("  bios {:?}", system.bios_version));
    let os = system.os.as_ref().unwrap();
    line(format!("  os {} {:?} {:?}", os.name, os.version, os.kernel));
    for p in &system.processors {
        line(format!(
            "  processor {} {:?} {:?} {:?} {:?} {} cores {} threads {:?} MHz",
            p.id,
            p.manufacturer,
            p.model,
            p.architecture,
            p.width,
            p.cores,
            p.threads,
            p.max_speed_mhz
        ));
    }
    for m in &system.memory {
        line(format!(
            "  memory {} {:?} {} MiB {:?} {:?} MT/s {}",
            m.id,
            m.locator,
            m.capacity >> 20,
            m.kind,
            m.speed_mts,
            maker(&m.board)
        ));
    }
    for storage in &system.storage {
        line(format!("  storage {}", storage.id));
        for d in &storage.drives {
            line(format!(
                "    drive {} {} MB {:?} {:?} block {} {} {:?} {}",
                d.id,
                d.capacity / 1_000_000,
                d.media,
                d.protocol,
                d.block_size,
                if d.removable { "removable" } else { "fixed" },
                d.revision,
                maker(&d.board)
            ));
        }
    }
    for i in &system.interfaces {
        interface(text, i);
    }
}

fn interface(text: &mut String, i: &NetworkInterface) {
    writeln!(
        text,
        "  interface {} {:?} mtu {} {:?} Mbit/s duplex {:?} {:?} dns {:?}",
        i.name,
        i.mac,
        i.mtu,
        i.speed_mbps,
        i.full_duplex,
        i.link,
        i.name_servers
    )
    .unwrap();
    for a in &i.ipv4 {
        writeln!(
            text,
            "    {}/{} {:?} via {:?}",
            a.address, a.prefix, a.origin, i.ipv4_gateway
        )
        .unwrap();
    }
    for a in &i.ipv6 {
        writeln!(
            text,
            "    {}/{} {:?} via {:?}",
            a.address, a.prefix, a.origin, i.ipv6_gateway
        )
        .unwrap();
    }
}

fn sensors(text: &mut String, chassis: &Chassis, samples: &[Sample]) {
    writeln!(text, "chassis {} {:?}", chassis.name, chassis.kind).unwrap();
    for s in &chassis.sensors {
        let sample = samples.iter().find(|sample| sample.id == s.id);
        let said = sample.map_or("nothing yet".to_owned(), |sample| {
            match (&sample.reading.quality, sample.reading.number()) {
                (Quality::Failed(reason), _) => format!("failed: {reason}"),
                (_, value) => format!("{} {}", value.unwrap(), s.kind.unit()),
            }
        });
        let t = &s.thresholds;
        let limits = [t.upper_caution, t.upper_critical, t.lower_critical];
        let limits = limits.map(|l| l.map_or("-".into(), |l| l.to_string()));
        writeln!(
            text,
            "  sensor {} ({}; {:?}; {}; limits {}) {said}",
            s.id,
            s.name,
            s.context,
            s.source,
            limits.join(" ")
        )
        .unwrap();
    }
    for f in &chassis.fans {
        writeln!(text, "  fan {} {:?} {:?}", f.id, f.speed, f.duty).unwrap();
    }
    for p in &chassis.power_supplies {
        writeln!(
            text,
            "  supply {} {:?} {:?} {:?} {:?}",
            p.id, p.kind, p.voltage, p.current, p.power
        )
        .unwrap();
    }
    for b in &chassis.batteries {
        writeln!(text, "  battery {} {}", b.id, maker(&b.board)).unwrap();
    }
}

fn check(name: &str) {
    let root = unpack(name);
    let file = format!("tests/fixtures/{name}.txt");
    expectorate::assert_contents(file, &describe(root.path()));
}

#[test]
fn knows_a_raspberry_pi_4() {
    check("pi4");
}

#[test]
fn knows_a_raspberry_pi_5() {
    check("pi5");
}

#[test]
fn knows_a_jetson_nano() {
    check("jetson-nano");
}

#[test]
fn knows_a_xavier() {
    check("xavier-nx");
}

#[test]
fn knows_an_orin() {
    check("orin");
}

#[test]
fn knows_a_pc() {
    check("pc");
}

#[test]
fn has_words_for_a_machine_that_says_nothing() {
    let root = tempfile::tempdir().unwrap();
    let Scan { inventory, .. } = host(root.path()).scan();
    let system = &inventory.systems[0];
    assert_eq!(system.board.manufacturer.as_deref(), Some("Generic"));
    assert_eq!(system.board.model.as_deref(), Some("Linux Machine"));
    assert_eq!(system.name, "This host");
    assert!(!system.uuid.is_nil());
}

#[test]
fn a_virtual_machine_is_named_by_its_acpi_tables() {
    let root = tempfile::tempdir().unwrap();
    let write = |file: &str, content: &[u8]| {
        let path = root.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    };
    write("proc/cpuinfo", b"processor : 0\nflags : fpu hypervisor lm\n");
    let model = |root: &Path| {
        let Scan { inventory, .. } = host(root).scan();
        let board = inventory.systems[0].board.clone();
        (board.manufacturer.unwrap(), board.model.unwrap())
    };
    let plain = ("Virtual".into(), "Virtual Machine".into());
    assert_eq!(model(root.path()), plain);
    write(
        "sys/firmware/acpi/tables/FACP",
        b"FACP\x14\x01\0\0\x06fFIRECKFCVMFADT",
    );
    let named = ("Firecracker".into(), "microVM".into());
    assert_eq!(model(root.path()), named);
}

#[test]
fn a_part_that_comes_later_is_found_and_one_that_goes_is_missed() {
    let root = unpack("pi5");
    let mut host = host(root.path());
    let Scan { inventory, mut drivers, .. } = host.scan();
    let model = Model::new(inventory, Settings::default());
    let poll = |drivers: &mut Vec<Box<dyn Driver>>| {
        for driver in drivers {
            model.post(driver.poll().samples);
        }
        model.snapshot()
    };
    let quality = |snapshot: &onprem_bmc::model::Snapshot, id: &str| {
        snapshot.reading(id).unwrap().quality.clone()
    };
    let snapshot = poll(&mut drivers);
    assert_eq!(quality(&snapshot, "CPU_Temperature"), Quality::Good);

    let hwmon = root.path().join("sys/class/hwmon");
    // What the kernel answers when a part has gone is an error; a file of a
    // fixture can only be emptied.
    fs::write(hwmon.join("hwmon0/temp1_input"), "").unwrap();
    fs::create_dir(hwmon.join("hwmon9")).unwrap();
    fs::write(hwmon.join("hwmon9/name"), "tmp102\n").unwrap();
    fs::write(hwmon.join("hwmon9/temp1_input"), "21500\n").unwrap();
    let Scan { inventory, drivers: new, .. } = host.scan();
    assert_eq!(new.len(), 1);
    model.update_inventory(inventory);
    drivers.extend(new);
    let snapshot = poll(&mut drivers);
    let failed = Quality::Failed("`` is no number".into());
    assert_eq!(quality(&snapshot, "CPU_Temperature"), failed);
    assert_eq!(quality(&snapshot, "tmp102_Temperature"), Quality::Good);
    assert!(
        snapshot.chassis("host").unwrap().sensor("CPU_Temperature").is_some()
    );
    assert!(host.scan().drivers.is_empty());
}

#[test]
fn a_chip_that_comes_back_under_another_number_is_found_again() {
    let root = unpack("pi5");
    let Scan { inventory, mut drivers, .. } = host(root.path()).scan();
    let model = Model::new(inventory, Settings::default());
    let mut celsius = || {
        for driver in &mut drivers {
            model.post(driver.poll().samples);
        }
        let reading = model.snapshot().reading("CPU_Temperature").cloned();
        Some(reading.unwrap().value?.value())
    };
    let hwmon = root.path().join("sys/class/hwmon");
    let input = |chip: &str| hwmon.join(chip).join("temp1_input");
    assert!(celsius().is_some());
    fs::write(input("hwmon0"), "").unwrap();
    assert_eq!(celsius(), None);

    fs::rename(hwmon.join("hwmon0"), hwmon.join("hwmon7")).unwrap();
    fs::write(input("hwmon7"), "50500\n").unwrap();
    // Another chip has its number now.
    fs::create_dir(hwmon.join("hwmon0")).unwrap();
    fs::write(hwmon.join("hwmon0/name"), "tmp102\n").unwrap();
    fs::write(input("hwmon0"), "21500\n").unwrap();
    assert_eq!(celsius(), Some(50.5));
}
