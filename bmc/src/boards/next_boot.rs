//! Where the host starts from next: told to its firmware, and noted, so that
//! what counts for one start is not told again after it.

use std::{
    io,
    path::{Path, PathBuf},
};

use onprem_link::file::replace;
use serde::{Deserialize, Serialize};

use crate::{
    drivers::{efi, tree::Tree},
    model::{BootEnabled, BootOverride, BootSource},
    state::load_or_put_aside,
};

/// How often the host has started, as its own driver counts: once.
const STARTS: u64 = 1;

/// What was told to the firmware of the host.
#[derive(Debug)]
pub struct NextBoot {
    tree: Tree,
    path: PathBuf,
    /// This start of the machine, as its kernel names it.
    boot: Option<String>,
}

/// What was told, and in which start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Told {
    boot: Option<String>,
    source: Option<BootSource>,
}

impl NextBoot {
    /// The firmware of the machine that `tree` shows in its start `boot`, for
    /// an agent with the state directory `folder`.
    #[must_use]
    pub fn new(folder: &Path, tree: Tree, boot: Option<String>) -> Self {
        Self { tree, path: folder.join("next-boot.json"), boot }
    }

    /// Tells the firmware what people set, and says how often the host had
    /// started when it counts for the next start: less than it has where that
    /// start has been.
    ///
    /// # Errors
    /// What the file system or the firmware said.
    pub(super) fn tell(&self, wanted: BootOverride) -> io::Result<u64> {
        if !efi::is_there(&self.tree) {
            return Ok(STARTS);
        }
        let before: Told =
            load_or_put_aside(&self.path).map_err(io::Error::other)?;
        let source = wanted.source();
        let once = wanted.enabled == BootEnabled::Once && source.is_some();
        let is_new = before.boot.is_some() && before.boot != self.boot;
        if once && before.source == source && is_new {
            return Ok(STARTS - 1);
        }
        let told = Told { boot: self.boot.clone(), source };
        if source.is_none() && before.source.is_none() {
            // Somebody else may have told it something.
            return Ok(STARTS);
        }
        // First the note: a start that is told and not noted would come again
        // and again.
        replace(&self.path, &serde_json::to_vec_pretty(&told)?)?;
        efi::start_next_from(&self.tree, source)?;
        Ok(STARTS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drivers::efi::tests::{machine, next};

    fn wanted(enabled: BootEnabled) -> BootOverride {
        BootOverride { enabled, target: Some(BootSource::Pxe) }
    }

    #[test]
    fn what_counts_for_one_start_is_not_told_again_after_it() {
        let (_folder, tree) = machine();
        let state = tempfile::tempdir().unwrap();
        let start = |boot: &str| {
            NextBoot::new(state.path(), tree.clone(), Some(boot.into()))
        };
        let once = wanted(BootEnabled::Once);
        assert_eq!(start("a").tell(once).unwrap(), STARTS);
        assert_eq!(next(&tree), Some(0x0a));
        // The agent alone came back.
        assert_eq!(start("a").tell(once).unwrap(), STARTS);
        // The machine started, and its firmware forgot what was next.
        efi::start_next_from(&tree, None).unwrap();
        assert_eq!(start("b").tell(once).unwrap(), STARTS - 1);
        assert_eq!(next(&tree), None);
        // That is how it is taken back, and wanted anew.
        let nothing = BootOverride::default();
        assert_eq!(start("b").tell(nothing).unwrap(), STARTS);
        assert_eq!(start("b").tell(once).unwrap(), STARTS);
        assert_eq!(next(&tree), Some(0x0a));
        assert_eq!(start("b").tell(nothing).unwrap(), STARTS);
        assert_eq!(next(&tree), None);
    }

    #[test]
    fn what_counts_for_good_is_told_at_each_start() {
        let (_folder, tree) = machine();
        let state = tempfile::tempdir().unwrap();
        let good = wanted(BootEnabled::Continuous);
        for boot in ["a", "b"] {
            let told = NextBoot::new(
                state.path(),
                tree.clone(),
                Some(boot.to_owned()),
            );
            assert_eq!(told.tell(good).unwrap(), STARTS);
            assert_eq!(next(&tree), Some(0x0a));
            efi::start_next_from(&tree, None).unwrap();
        }
    }
}
