//! `nvpmodel`: the power models of a Jetson.
//!
//! Its service keeps the number of the model that it has set in a status file
//! (`pmode:0002 fmode:quiet`), and what they are called is in its
//! configuration (`< POWER_MODEL ID=2 NAME=15W >`). To read both is enough to
//! know; the program itself is only run to set one. Nothing here was checked on
//! a real board.

use std::{fmt::Debug, io, sync::Arc};

use super::run;
use crate::{drivers::tree::Tree, model::PowerModels};

/// Where `nvpmodel` keeps which model it has set.
pub const STATUS: &str = "/var/lib/nvpmodel/status";
/// Which models there are.
pub const MODELS: &str = "/etc/nvpmodel.conf";
/// The program that sets one.
pub const PROGRAM: &str = "/usr/sbin/nvpmodel";

/// The most models that are read: no Jetson has a dozen.
const LIMIT: usize = 32;
/// The most characters of a name.
const NAME: usize = 64;
/// What it says where a model needs a restart. It asks whether to restart at
/// once, and gives up where nobody can answer.
const RESTART: &str = "Reboot required";

/// The way to `nvpmodel`: that of the machine, or a simulated one.
pub trait Nvpmodel: Debug + Send + Sync {
    /// What is in its file at `path`, which is [`STATUS`] or [`MODELS`].
    ///
    /// # Errors
    /// What the file system said.
    fn text(&self, path: &str) -> io::Result<String>;

    /// Sets the model `number`: whether it went well, and what was said. Blocks
    /// for some seconds.
    ///
    /// # Errors
    /// The program cannot be run, or does not end.
    fn set(&self, number: u32) -> io::Result<(bool, String)>;
}

/// That of the machine whose files are in the tree.
impl Nvpmodel for Tree {
    fn text(&self, path: &str) -> io::Result<String> {
        let bytes = self.bytes(path)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn set(&self, number: u32) -> io::Result<(bool, String)> {
        run(self, PROGRAM, &["-m", &number.to_string()])
    }
}

/// A model with its number.
type Numbered = (u32, Arc<str>);

/// Why the power models are not known, or not set.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: &'static str,
        /// What the file system said.
        source: io::Error,
    },
    /// A file says nothing that is known.
    #[error("{path} {what}")]
    Meaning {
        /// The file.
        path: &'static str,
        /// What is wrong with it.
        what: String,
    },
    /// The program cannot be run.
    #[error("cannot run {PROGRAM} for `{name}`: {source}")]
    Run {
        /// The model.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// The model needs a restart.
    #[error(
        "`{name}` needs a restart, to which only a person at the machine can \
         agree: run `nvpmodel -m {number}` there"
    )]
    Restart {
        /// The model.
        name: String,
        /// Its number.
        number: u32,
    },
    /// The program did not do it.
    #[error("nvpmodel did not set `{name}`: {said}")]
    Refused {
        /// The model.
        name: String,
        /// What it said.
        said: String,
    },
}

impl Error {
    /// Whether there simply is no `nvpmodel`.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Read { source, .. }
            if source.kind() == io::ErrorKind::NotFound)
    }
}

/// The power models, and which is set.
///
/// # Errors
/// See [`Error`].
pub fn look(from: &dyn Nvpmodel, settable: bool) -> Result<PowerModels, Error> {
    let (all, now) = numbered(from)?;
    let now = all.iter().find(|(number, _)| *number == now);
    let now = now.map(|(_, name)| Arc::clone(name));
    let all = all.into_iter().map(|(_, name)| name).collect();
    Ok(PowerModels { now, all, settable })
}

/// Sets the model `name`, which is one of them, and says how it is then.
///
/// # Errors
/// See [`Error`].
pub fn choose(from: &dyn Nvpmodel, name: &str) -> Result<PowerModels, Error> {
    let (all, _) = numbered(from)?;
    let refused = |said: String| Error::Refused { name: name.into(), said };
    let found = all.iter().find(|(_, it)| **it == *name);
    let Some((number, _)) = found else {
        return Err(refused(format!("{MODELS} has it no more")));
    };
    let (well, said) = from
        .set(*number)
        .map_err(|source| Error::Run { name: name.to_owned(), source })?;
    if said.contains(RESTART) {
        return Err(Error::Restart { name: name.to_owned(), number: *number });
    }
    let then = look(from, true)?;
    // Some versions say that it went well when it did not.
    if !well || then.now.as_deref() != Some(name) {
        let words: Vec<&str> = said.split_whitespace().collect();
        let said = words.join(" ");
        return Err(refused(if said.is_empty() {
            "it says nothing".to_owned()
        } else {
            said.chars().filter(|it| !it.is_control()).take(400).collect()
        }));
    }
    Ok(then)
}

/// The models with their numbers, and the number of the one that is set.
fn numbered(from: &dyn Nvpmodel) -> Result<(Vec<Numbered>, u32), Error> {
    let text =
        |path| from.text(path).map_err(|source| Error::Read { path, source });
    let models = text(MODELS)?;
    let all: Vec<_> = models.lines().filter_map(model).take(LIMIT).collect();
    if all.is_empty() {
        let what = "names no power model".to_owned();
        return Err(Error::Meaning { path: MODELS, what });
    }
    let status = text(STATUS)?;
    let mut words = status.split_whitespace();
    let number = words.find_map(|word| word.strip_prefix("pmode:"));
    let number: Option<u32> = number.and_then(|it| it.parse().ok());
    let known = number.filter(|it| all.iter().any(|(id, _)| id == it));
    known.map(|it| (all, it)).ok_or_else(|| {
        let words: String = status.trim().chars().take(40).collect();
        let what = format!("has no power model of {MODELS} in `{words}`");
        Error::Meaning { path: STATUS, what: what.replace('\0', "?") }
    })
}

/// The number and the name in a line like `< POWER_MODEL ID=0 NAME=MAXN >`.
fn model(line: &str) -> Option<Numbered> {
    let line = line.trim().strip_prefix('<')?.strip_suffix('>')?;
    let mut words = line.split_whitespace();
    (words.next() == Some("POWER_MODEL")).then_some(())?;
    let fields: Vec<_> = words.filter_map(|it| it.split_once('=')).collect();
    let field = |name| {
        let found = fields.iter().find(|(key, _)| *key == name);
        found.map(|(_, value)| *value)
    };
    let name = field("NAME").filter(|it| it.len() <= NAME)?;
    let plain = |c: char| c.is_ascii_graphic() && !"\"'`<>".contains(c);
    name.chars().all(plain).then_some(())?;
    Some((field("ID")?.parse().ok()?, name.into()))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

    use super::*;

    fn put(root: &Path, path: &str, content: &[u8]) {
        let path = root.join(path.trim_start_matches('/'));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn orin() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        put(
            root.path(),
            MODELS,
            b"# NAME\n< PARAM TYPE=FILE NAME=CPU_ONLINE >\n\
              < POWER_MODEL ID=0 NAME=15W >\nCPU_ONLINE CORE_0 1\n\
              < POWER_MODEL NAME=MAXN_SUPER ID=2 >\n< PM_CONFIG DEFAULT=0 >\n\
              < POWER_MODEL ID=x NAME=BAD >\n< POWER_MODEL ID=4 >\n",
        );
        put(root.path(), STATUS, b"pmode:0002 fmode:quiet\n");
        root
    }

    fn program(root: &Path, script: &str) {
        let text = format!("#!/bin/sh\n{script}\n");
        put(root, PROGRAM, text.as_bytes());
        let path = root.join("usr/sbin/nvpmodel");
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn knows_the_models_by_name_and_the_one_that_is_set() {
        let root = orin();
        let tree = Tree::new(root.path());
        let models = look(&tree, false).unwrap();
        assert_eq!(models.now.as_deref(), Some("MAXN_SUPER"));
        let names: Vec<&str> = models.all.iter().map(|it| &**it).collect();
        assert_eq!(names, ["15W", "MAXN_SUPER"]);
        // As JetPack 4 writes it.
        put(root.path(), STATUS, b"pmode:0000");
        let models = look(&tree, false).unwrap();
        assert_eq!(models.now.as_deref(), Some("15W"));
    }

    #[test]
    fn says_which_file_is_missing_or_makes_no_sense() {
        let root = orin();
        let tree = Tree::new(root.path());
        for (status, said) in [
            (&b""[..], "has no power model of /etc/nvpmodel.conf in ``"),
            (b"pmode:00zz", "in `pmode:00zz`"),
            (b"pmode:0007 fmode:cool", "in `pmode:0007 fmode:cool`"),
            (b"\0\xff\xfe", "/var/lib/nvpmodel/status has no power model"),
        ] {
            put(root.path(), STATUS, status);
            let error = look(&tree, false).unwrap_err();
            assert!(error.to_string().contains(said), "{error}");
            assert!(!error.is_absent());
        }
        put(root.path(), MODELS, b"nothing of note\n");
        let error = look(&tree, false).unwrap_err().to_string();
        assert_eq!(error, "/etc/nvpmodel.conf names no power model");
        fs::remove_file(root.path().join("etc/nvpmodel.conf")).unwrap();
        assert!(look(&tree, false).unwrap_err().is_absent());
        // What is there and cannot be read is something else.
        fs::create_dir(root.path().join("etc/nvpmodel.conf")).unwrap();
        let error = look(&tree, false).unwrap_err();
        assert!(!error.is_absent(), "{error}");
    }

    #[test]
    fn sets_a_model_by_its_number_and_believes_the_status_only() {
        let root = orin();
        let tree = Tree::new(root.path());
        let status = root.path().join("var/lib/nvpmodel/status");
        program(
            root.path(),
            &format!("test \"$1 $2\" = '-m 0' && echo pmode:0000 > {status:?}"),
        );
        let models = choose(&tree, "15W").unwrap();
        assert_eq!(models.now.as_deref(), Some("15W"));

        program(root.path(), "echo 'NVPM ERROR: bad input!'");
        let error = choose(&tree, "MAXN_SUPER").unwrap_err().to_string();
        let said = "nvpmodel did not set `MAXN_SUPER`: NVPM ERROR: bad input!";
        assert_eq!(error, said);
        program(
            root.path(),
            "read answer || echo 'NVPM WARN: Reboot required for this' >&2",
        );
        let error = choose(&tree, "MAXN_SUPER").unwrap_err().to_string();
        assert!(error.contains("run `nvpmodel -m 2` there"), "{error}");
        fs::remove_file(root.path().join("usr/sbin/nvpmodel")).unwrap();
        let error = choose(&tree, "MAXN_SUPER").unwrap_err().to_string();
        assert!(error.contains("cannot run /usr/sbin/nvpmodel"), "{error}");
        let error = choose(&tree, "70W").unwrap_err().to_string();
        assert!(error.contains("has it no more"), "{error}");
    }
}
