//! Volumes of the very machine the agent runs on: arrays of its kernel.

use std::{
    io::{self, Read as _},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use tokio::time::Instant;

use super::{Shelves, Volumes};
use crate::{
    commands::CommandError,
    drivers::{md, tree::Tree},
    model::{Id, Inventory, Part, RaidType, Volume, VolumeFault, VolumeWish},
};

/// The configuration key that allows all this.
const KEY: &str = "allow_volumes";

/// What the kernel makes of drives.
pub(super) const RAID_TYPES: [RaidType; 5] = [
    RaidType::Raid0,
    RaidType::Raid1,
    RaidType::Raid5,
    RaidType::Raid6,
    RaidType::Raid10,
];

/// What the kernel may keep for itself on each drive, in bytes: the data of an
/// array with metadata 1.2 begins up to 128 MiB behind its start.
pub(super) const OVERHEAD: u64 = 136 << 20;

/// Where the program that makes arrays may be.
const PLACES: [&str; 2] = ["/sbin/mdadm", "/usr/sbin/mdadm"];

/// How long it may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(8);

/// How often a program is tried that is just being written, 10 ms apart.
const BUSY: usize = 100;

/// What it says is read up to here, in bytes.
const TOLD: u64 = 4 << 10;

/// The arrays of a host. They are always shown, and made and ended by `mdadm`
/// where that is allowed and the drives are not in use.
#[derive(Debug)]
pub struct HostVolumes {
    tree: Tree,
    allowed: bool,
}

impl HostVolumes {
    /// The arrays of the host that `tree` shows.
    #[must_use]
    pub fn new(tree: Tree, allowed: bool) -> Self {
        Self { tree, allowed }
    }

    /// Whether arrays can be made at all.
    #[must_use]
    pub fn can_make(tree: &Tree, allowed: bool) -> bool {
        allowed && program(tree).is_some()
    }

    fn check_allowed(
        &self,
        system: &Id,
        what: &'static str,
    ) -> Result<PathBuf, CommandError> {
        let part = Part::System(system.clone());
        if !self.allowed {
            return Err(CommandError::Refused { part, what, key: KEY });
        }
        program(&self.tree).ok_or(CommandError::Unsupported { part, what })
    }

    /// Runs the program, and says in its own words why it did not do it. It
    /// has nobody to ask, and so never overwrites what it asks about.
    fn run(
        program: &PathBuf,
        arguments: &[String],
        system: &Id,
    ) -> Result<(), CommandError> {
        let failed = |reason: String| CommandError::Failed {
            part: Part::System(system.clone()),
            reason: format!("mdadm: {reason}"),
        };
        let mut command = Command::new(program);
        command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child =
            start(&mut command).map_err(|error| failed(error.to_string()))?;
        match wait(&mut child) {
            Ok(Some(true)) => Ok(()),
            Ok(Some(false)) => match said(&mut child) {
                Ok(said) => Err(failed(said.trim().to_owned())),
                Err(error) => Err(failed(error.to_string())),
            },
            Ok(None) => Err(failed(format!("no end in {PATIENCE:?}"))),
            Err(error) => Err(failed(error.to_string())),
        }
    }
}

/// Starts a program. One that is just being written, or was a moment ago by a
/// process that forks, is waited for.
#[expect(
    clippy::disallowed_methods,
    reason = "this is a blocking thread, and a file is waited for"
)]
pub(crate) fn start(command: &mut Command) -> io::Result<Child> {
    for _ in 0..BUSY {
        match command.spawn() {
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => {
                thread::sleep(Duration::from_millis(10));
            }
            other => return other,
        }
    }
    command.spawn()
}

/// What a program that has ended said, up to a bound. What it left running may
/// have the same output, and is not waited for.
pub(crate) fn said(child: &mut Child) -> io::Result<String> {
    let mut bytes = Vec::new();
    if let Some(from) = child.stdout.take() {
        rustix::io::ioctl_fionbio(&from, true)?;
        there(from, &mut bytes)?;
    }
    if let Some(from) = child.stderr.take() {
        rustix::io::ioctl_fionbio(&from, true)?;
        there(from, &mut bytes)?;
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Reads what is there already.
fn there(from: impl io::Read, into: &mut Vec<u8>) -> io::Result<()> {
    match from.take(TOLD).read_to_end(into) {
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
        _ => Ok(()),
    }
}

/// Whether the program succeeded; nothing where it had to be ended.
#[expect(
    clippy::disallowed_methods,
    reason = "this is a blocking thread, and a process is waited for"
)]
pub(crate) fn wait(child: &mut Child) -> io::Result<Option<bool>> {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status.success()));
        }
        if Instant::now() > until {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(Duration::from_millis(10));
    }
}

fn program(tree: &Tree) -> Option<PathBuf> {
    let place = PLACES.into_iter().find(|place| tree.exists(place));
    place.map(|place| tree.path(place))
}

fn device(name: &str) -> String {
    format!("/dev/{name}")
}

impl Volumes for HostVolumes {
    fn list(&self, inventory: &Inventory) -> Shelves {
        let systems = inventory.systems.iter();
        systems.flat_map(|system| md::read(&self.tree, system)).collect()
    }

    fn create(
        &self,
        system: &Id,
        _: &Id,
        wish: &VolumeWish,
        capacity: u64,
    ) -> Result<Id, CommandError> {
        let program = self.check_allowed(system, "create")?;
        for drive in &wish.drives {
            if let Some(reason) = md::in_use(&self.tree, drive) {
                let drive = drive.clone();
                return Err(VolumeFault::InUse { drive, reason }.into());
            }
        }
        let level = match wish.raid {
            RaidType::None => return Err(VolumeFault::Type(wish.raid).into()),
            RaidType::Raid0 => "0",
            RaidType::Raid1 => "1",
            RaidType::Raid5 => "5",
            RaidType::Raid6 => "6",
            RaidType::Raid10 => "10",
        };
        let count = wish.drives.len();
        let id = md::free_name(&self.tree);
        let mut arguments = vec![
            "--create".to_owned(),
            device(&id),
            "--metadata=1.2".to_owned(),
            format!("--level={level}"),
            format!("--raid-devices={count}"),
        ];
        if wish.raid != RaidType::Raid0 {
            // Otherwise it asks whether there shall be one.
            arguments.push("--bitmap=internal".to_owned());
        }
        if wish.capacity.is_some() {
            if wish.raid == RaidType::Raid0 {
                // Stripes take their drives whole.
                let most = capacity;
                return Err(CommandError::Invalid {
                    what: "CapacityBytes",
                    value: most.to_string(),
                    reason: "stripes take their drives whole",
                });
            }
            let each = capacity.div_ceil(wish.raid.data_drives(count).max(1));
            arguments.push(format!("--size={}", each.div_ceil(1 << 10)));
        }
        if let Some(name) = &wish.name {
            arguments.push(format!("--name={name}"));
        }
        arguments.extend(wish.drives.iter().map(|drive| device(drive)));
        Self::run(&program, &arguments, system)?;
        Ok(id.into())
    }

    fn delete(
        &self,
        system: &Id,
        _: &Id,
        volume: &Volume,
    ) -> Result<(), CommandError> {
        let program = self.check_allowed(system, "delete")?;
        if let Some(reason) = md::in_use(&self.tree, &volume.id) {
            let drive = volume.id.clone();
            return Err(VolumeFault::InUse { drive, reason }.into());
        }
        let members = md::members(&self.tree, &volume.id);
        let stop = ["--stop".to_owned(), device(&volume.id)];
        Self::run(&program, &stop, system)?;
        let mut forget = vec!["--zero-superblock".to_owned()];
        forget.extend(members.iter().map(|member| device(member)));
        Self::run(&program, &forget, system)
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

    use tempfile::TempDir;

    use super::*;
    use crate::{
        drivers::storage,
        model::{Health, Storage, System},
    };

    /// Makes and ends an array as far as /sys shows it, and notes what was
    /// asked.
    const MDADM: &str = r#"#!/bin/sh
root=$(cd "$(dirname "$0")/.." && pwd)
echo "$@" >> "$root/asked"
[ -e "$root/broken" ] && { echo "sda appears to contain a file" >&2; exit 2; }
case $1 in
--create)
    md=$root/sys/block/$(basename "$2")
    mkdir -p "$md/md/dev-sda" "$md/md/dev-sdb" "$md/holders"
    echo raid1 > "$md/md/level"; echo clean > "$md/md/array_state"
    echo 2 > "$md/md/raid_disks"; echo 0 > "$md/md/degraded"
    echo 2000000 > "$md/size";;
--stop) rm -r "$root/sys/block/$(basename "$2")";;
esac
"#;

    fn put(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn host() -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for drive in ["sda", "sdb"] {
            put(root, &format!("sys/block/{drive}/size"), "4000000\n");
            let holders = format!("sys/block/{drive}/holders");
            fs::create_dir_all(root.join(holders)).unwrap();
        }
        put(root, "proc/mounts", "/dev/sdc1 / ext4 rw 0 0\n");
        put(root, "sbin/mdadm", MDADM);
        let script = root.join("sbin/mdadm");
        fs::set_permissions(script, fs::Permissions::from_mode(0o755)).unwrap();
        folder
    }

    fn inventory(tree: &Tree) -> Inventory {
        let system = System {
            id: "host".into(),
            storage: storage::read(tree),
            ..System::default()
        };
        Inventory { systems: vec![system], ..Inventory::default() }
    }

    fn mirror() -> VolumeWish {
        VolumeWish {
            name: Some("data".to_owned()),
            raid: RaidType::Raid1,
            drives: vec!["sda".into(), "sdb".into()],
            capacity: Some(1 << 30),
        }
    }

    fn make(volumes: &HostVolumes) -> Result<Id, CommandError> {
        let (system, storage) = ("host".into(), "block".into());
        volumes.create(&system, &storage, &mirror(), 1 << 30)
    }

    #[test]
    fn makes_and_ends_an_array_where_that_is_allowed() {
        let folder = host();
        let tree = Tree::new(folder.path());
        let volumes = HostVolumes::new(tree.clone(), true);
        assert_eq!(make(&volumes).unwrap(), Id::from("md0"));
        let there = volumes.list(&inventory(&tree));
        let all = there.values().next().unwrap();
        let [made] = all.as_slice() else { panic!("{there:?}") };
        assert_eq!(made.raid, Some(RaidType::Raid1));
        assert_eq!(made.capacity, 1_024_000_000);
        assert_eq!(made.drives, ["sda".into(), "sdb".into()]);
        assert_eq!((made.enabled, made.health), (true, Health::Ok));
        let (system, storage) = ("host".into(), "scsi".into());
        volumes.delete(&system, &storage, made).unwrap();
        let asked = fs::read_to_string(folder.path().join("asked")).unwrap();
        assert_eq!(
            asked,
            "--create /dev/md0 --metadata=1.2 --level=1 --raid-devices=2 \
             --bitmap=internal --size=1048576 --name=data /dev/sda /dev/sdb\n\
             --stop /dev/md0\n\
             --zero-superblock /dev/sda /dev/sdb\n"
        );
        assert!(volumes.list(&inventory(&tree)).values().all(Vec::is_empty));
    }

    #[test]
    fn refuses_unless_the_configuration_allows_it() {
        let folder = host();
        let tree = Tree::new(folder.path());
        assert!(!HostVolumes::can_make(&tree, false));
        let error = make(&HostVolumes::new(tree, false)).unwrap_err();
        assert!(matches!(error, CommandError::Refused { key: KEY, .. }));
        assert!(!folder.path().join("asked").exists());
    }

    #[test]
    fn never_takes_a_drive_that_is_in_use() {
        for (path, text, said) in [
            ("sys/block/sdb/sdb1/partition", "1\n", "partition"),
            ("sys/block/sdb/holders/dm-0", "", "dm-0"),
            ("proc/mounts", "/dev/sdb /data ext4 rw 0 0\n", "/data"),
            ("proc/swaps", "Filename Type\n/dev/sdb partition\n", "swap"),
        ] {
            let folder = host();
            put(folder.path(), path, text);
            let volumes = HostVolumes::new(Tree::new(folder.path()), true);
            let error = make(&volumes).unwrap_err();
            let CommandError::Volume {
                fault: VolumeFault::InUse { drive, reason },
            } = error
            else {
                panic!("{path}: {error}")
            };
            assert_eq!(&*drive, "sdb");
            assert!(reason.contains(said), "{path}: {reason}");
            assert!(!folder.path().join("asked").exists(), "{path}");
        }
    }

    #[test]
    fn what_a_program_leaves_running_is_not_waited_for() {
        let folder = host();
        let script = folder.path().join("sbin/mdadm");
        // It holds what the program's output goes to until it is ended.
        let text = "#!/bin/sh\necho no room >&2\nsleep 600 &\n\
                    echo $! > \"$0.pid\"\nexit 1\n";
        fs::write(&script, text).unwrap();
        let volumes = HostVolumes::new(Tree::new(folder.path()), true);
        let began = Instant::now();
        let error = make(&volumes).unwrap_err().to_string();
        assert!(error.contains("no room"), "{error}");
        assert!(began.elapsed() < Duration::from_mins(5));
        let pid = fs::read_to_string(script.with_extension("pid")).unwrap();
        let ended = Command::new("kill").arg(pid.trim()).status().unwrap();
        assert!(ended.success(), "it was still there");
    }

    #[test]
    fn a_program_that_is_being_written_is_waited_for() {
        let folder = host();
        let script = folder.path().join("sbin/mdadm");
        let open = fs::OpenOptions::new().append(true).open(&script).unwrap();
        let busy = start(&mut Command::new(&script)).unwrap_err();
        assert_eq!(busy.kind(), io::ErrorKind::ExecutableFileBusy);
        drop(open);
        let mut command = Command::new(&script);
        let mut child = start(command.arg("--stop").arg("/dev/md0")).unwrap();
        assert!(wait(&mut child).unwrap().is_some());
    }

    #[test]
    fn says_why_the_program_did_not_do_it() {
        let folder = host();
        put(folder.path(), "broken", "");
        let volumes = HostVolumes::new(Tree::new(folder.path()), true);
        let error = make(&volumes).unwrap_err().to_string();
        assert!(error.contains("appears to contain a file"), "{error}");
    }

    #[test]
    fn a_degraded_array_is_a_worry_and_a_dead_one_is_critical() {
        let folder = host();
        let tree = Tree::new(folder.path());
        let volumes = HostVolumes::new(tree.clone(), true);
        make(&volumes).unwrap();
        let health = || {
            let all = volumes.list(&inventory(&tree));
            let volume = all.into_values().flatten().next().unwrap();
            (volume.enabled, volume.health)
        };
        put(folder.path(), "sys/block/md0/md/degraded", "1\n");
        assert_eq!(health(), (true, Health::Warning));
        put(folder.path(), "sys/block/md0/md/array_state", "inactive\n");
        assert_eq!(health(), (false, Health::Critical));
        let storage: Vec<Storage> = storage::read(&tree);
        assert!(storage.iter().all(|it| it.raid_types.is_empty()));
    }
}
