//! The I²C buses of a machine, to be looked at from afar.

use std::{collections::BTreeMap, io};

use crate::{
    bus::{
        I2cBus, KernelI2c,
        scan::{Grid, scan},
    },
    drivers::tree::Tree,
    gather, model,
};

/// Where the kernel shows the parts on its buses.
const DEVICES: &str = "/sys/bus/i2c/devices";

/// The most buses that are shown.
const MOST: usize = 64;

/// The buses that can be looked at, by their numbers.
#[derive(Debug, Default)]
pub struct Wires {
    /// Those of the board file, with the parts on them.
    own: BTreeMap<u32, (I2cBus, BTreeMap<u8, String>)>,
    /// The machine that the agent runs on, where it looks after that.
    host: Option<Tree>,
}

impl Wires {
    /// Those of the machine that `tree` shows.
    #[must_use]
    pub fn of_host(tree: Tree) -> Self {
        Self { own: BTreeMap::new(), host: Some(tree) }
    }

    /// The same, with `bus` as number `number`, which has these parts on it.
    #[must_use]
    pub fn with(
        mut self,
        number: u32,
        bus: I2cBus,
        parts: BTreeMap<u8, String>,
    ) -> Self {
        self.own.insert(number, (bus, parts));
        self
    }

    /// Whether there may be a bus.
    #[must_use]
    pub fn is_possible(&self) -> bool {
        self.host.is_some() || !self.own.is_empty()
    }

    /// The numbers of the buses.
    #[must_use]
    pub fn numbers(&self) -> Vec<u32> {
        let host = self.host.iter().flat_map(numbers);
        let mut all: Vec<u32> = host.chain(self.own.keys().copied()).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// The buses, and what is known to be on them: nobody on them is asked.
    #[must_use]
    pub fn known(&self) -> Vec<model::I2cBus> {
        let known = self.numbers().into_iter().take(MOST).map(|number| {
            let host = self.host.as_ref();
            let named = host.and_then(|tree| {
                tree.text(&format!("{DEVICES}/i2c-{number}/name"))
            });
            let used = host.map(|tree| bound(tree, number));
            let mut used = used.unwrap_or_default();
            let own = self.own.get(&number);
            used.extend(own.into_iter().flat_map(|(_, parts)| parts.clone()));
            let name = named.or_else(|| own.map(|it| it.0.name().to_string()));
            model::I2cBus { number, name: name.unwrap_or_default(), used }
        });
        known.collect()
    }

    /// Looks who is on bus `number`; nothing where there is none. May block
    /// for as long as a bus lets it.
    ///
    /// # Errors
    /// The bus does not work.
    pub fn scan(&self, number: u32) -> io::Result<Option<Grid>> {
        let bound = self.host.as_ref().map(|tree| bound(tree, number));
        let mut used = bound.unwrap_or_default();
        if let Some((bus, parts)) = self.own.get(&number) {
            used.extend(parts.clone());
            return Ok(Some(scan(bus, &used)?));
        }
        let Some(tree) = &self.host else { return Ok(None) };
        if !numbers(tree).contains(&number) {
            return Ok(None);
        }
        Ok(Some(scan(&kernel(tree, number), &used)?))
    }
}

/// The kernel's bus `number`.
#[must_use]
pub fn kernel(tree: &Tree, number: u32) -> I2cBus {
    let path = tree.path(&format!("/dev/i2c-{number}"));
    I2cBus::new(&format!("i2c-{number}"), Box::new(KernelI2c::new(&path)))
}

/// The numbers of the kernel's buses that have a device file.
#[must_use]
pub fn numbers(tree: &Tree) -> Vec<u32> {
    let entries = tree.entries("/dev");
    let numbers = entries.iter().filter_map(|name| name.strip_prefix("i2c-"));
    numbers.filter_map(|number| number.parse().ok()).collect()
}

/// The addresses of bus `number` that drivers of the kernel have.
#[must_use]
pub fn bound(tree: &Tree, number: u32) -> BTreeMap<u8, String> {
    let entries = tree.entries(DEVICES);
    let prefix = format!("{number}-");
    let bound = entries.iter().filter_map(|entry| {
        let address = u16::from_str_radix(entry.strip_prefix(&prefix)?, 16);
        let address = u8::try_from(address.ok()?).ok()?;
        let folder = format!("{DEVICES}/{entry}");
        let driver = tree.link_name(&format!("{folder}/driver"))?;
        let name = tree.text(&format!("{folder}/name")).unwrap_or_default();
        let by = format!("the kernel's `{driver}` for `{name}`");
        Some((address, by))
    });
    gather::map(bound)
}
