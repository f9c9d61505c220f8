//! Configuration: a TOML file, then the environment, then flags.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

use serde::{Serialize, de::DeserializeOwned};
use toml::{Table, Value};

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// The file is no TOML.
    #[error("cannot understand the configuration {path}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// The file's content, the environment and the flags together make no
    /// configuration.
    #[error("the configuration cannot be used")]
    Use(#[source] Box<toml::de::Error>),
    /// A value that a flag, a variable of the environment or the file gives
    /// is none of its key.
    #[error("the configuration cannot be used: `{key} = {value}`")]
    Value {
        /// The key, such as `listen`.
        key: String,
        /// What is set.
        value: String,
        /// What is wrong with it.
        source: Box<toml::de::Error>,
    },
}

/// The configuration in force: the keys of `file`, over them the environment
/// variables that start with `prefix` (`ONPREM_BMC_STATE_DIR` sets
/// `state_dir`; two underscores enter a table), over them `flags`.
///
/// # Errors
/// See [`ConfigError`]; a key that is not known is one.
pub fn load<T: DeserializeOwned>(
    file: Option<&Path>,
    prefix: &str,
    flags: Table,
) -> Result<T, ConfigError> {
    let mut table = Table::new();
    if let Some(path) = file {
        let text = fs::read_to_string(path).map_err(|source| {
            ConfigError::Read { path: path.to_owned(), source }
        })?;
        // Read as T first: an error then names line and column.
        toml::from_str::<T>(&text).map_err(|source| ConfigError::Parse {
            path: path.to_owned(),
            source: Box::new(source),
        })?;
        table = toml::from_str(&text).unwrap_or_default();
    }
    for (name, value) in env::vars() {
        if let Some(key) = name.strip_prefix(prefix) {
            let key = key.to_lowercase();
            set(&mut table, &key.split("__").collect::<Vec<_>>(), &value);
        }
    }
    merge(&mut table, flags);
    let values = table.clone();
    T::deserialize(table).map_err(|error| wrong(error, &values))
}

/// The error with the value that it is about: without a file there is no line
/// to name.
fn wrong(error: toml::de::Error, values: &Table) -> ConfigError {
    let source = Box::new(error);
    let text = source.to_string();
    let key = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("in `")?.strip_suffix('`'));
    let found = key.and_then(|key| {
        let mut words = key.split('.');
        let first = values.get(words.next()?)?;
        let value = words.try_fold(first, |it, word| it.get(word))?;
        Some((key.to_owned(), value.to_string()))
    });
    match found {
        Some((key, value)) => ConfigError::Value { key, value, source },
        None => ConfigError::Use(source),
    }
}

/// A key that need not be set.
#[derive(Clone, Copy, Debug)]
pub struct Unset {
    /// The table that it is in; nothing where it is in none.
    pub table: &'static str,
    /// The key.
    pub key: &'static str,
    /// A value, as in TOML.
    pub example: &'static str,
    /// What it is for, and what holds without it.
    pub meaning: &'static str,
}

/// The configuration as TOML, for `--print-config`. Those of the keys in
/// `unset` that it has no value for are comments.
#[must_use]
pub fn print<T: Serialize>(config: &T, unset: &[Unset]) -> String {
    let set = Table::try_from(config).unwrap_or_default();
    let comments = |table: &str| -> String {
        let values = if table.is_empty() {
            Some(&set)
        } else {
            set.get(table).and_then(Value::as_table)
        };
        let has = |key| values.is_some_and(|it| it.contains_key(key));
        let missing =
            unset.iter().filter(|it| it.table == table && !has(it.key));
        missing
            .flat_map(|Unset { key, example, meaning, .. }| {
                ["# ", meaning, "\n# ", key, " = ", example, "\n"]
            })
            .collect()
    };
    let text = toml::to_string_pretty(config).unwrap_or_default();
    let mut printed = String::new();
    let mut own = Some(comments(""));
    for line in text.lines() {
        let table = line.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
        if table.is_some()
            && let Some(own) = own.take()
            && !own.is_empty()
        {
            // An empty line ends what stands before the first table.
            printed.push_str(&own);
            printed.push('\n');
        }
        printed.push_str(line);
        printed.push('\n');
        if let Some(table) = table {
            printed.push_str(&comments(table));
        }
    }
    printed + &own.unwrap_or_default()
}

fn set(table: &mut Table, path: &[&str], text: &str) {
    match path {
        [] => {}
        [key] => {
            // Numbers, booleans and lists are written as in TOML; all else
            // is a string.
            let value = toml::from_str::<Table>(&format!("v = {text}"))
                .ok()
                .and_then(|mut t| t.remove("v"))
                .unwrap_or_else(|| Value::String(text.to_owned()));
            table.insert((*key).to_owned(), value);
        }
        [key, rest @ ..] => {
            let inner = table
                .entry((*key).to_owned())
                .or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(inner) = inner {
                set(inner, rest, text);
            }
        }
    }
}

fn merge(table: &mut Table, over: Table) {
    for (key, value) in over {
        match (table.get_mut(&key), value) {
            (Some(Value::Table(inner)), Value::Table(over)) => {
                merge(inner, over);
            }
            (_, value) => {
                table.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Default, Serialize, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Config {
        listen: String,
        rate: u32,
    }

    #[test]
    fn flags_win_over_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.toml");
        fs::write(&file, "listen = \"a:1\"\nrate = 2\n").unwrap();
        let flags = toml::from_str("listen = \"b:2\"").unwrap();
        let config: Config = load(Some(&file), "ONPREM_NONE_", flags).unwrap();
        assert_eq!((config.listen.as_str(), config.rate), ("b:2", 2));
    }

    #[test]
    fn names_a_value_that_cannot_be_used() {
        #[derive(Debug, Default, Deserialize)]
        #[serde(default)]
        struct Config {
            listen: Option<std::net::SocketAddr>,
        }
        let flags = toml::from_str("listen = \"nowhere\"").unwrap();
        let error = load::<Config>(None, "ONPREM_NONE_", flags).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("`listen = \"nowhere\"`"), "{text}");
    }

    #[test]
    fn what_is_not_set_is_a_comment_where_it_would_stand() {
        #[derive(Serialize)]
        struct All {
            #[serde(skip_serializing_if = "Option::is_none")]
            name: Option<&'static str>,
            rate: u32,
            inner: Inner,
        }
        #[derive(Serialize)]
        struct Inner {
            #[serde(skip_serializing_if = "Option::is_none")]
            device: Option<&'static str>,
            list: Vec<u32>,
        }
        let unset = |table, key| Unset {
            table,
            key,
            example: "\"x\"",
            meaning: "Without it, none.",
        };
        let unset = [unset("", "name"), unset("inner", "device")];
        let inner = Inner { device: None, list: vec![] };
        let mut all = All { name: None, rate: 2, inner };
        assert_eq!(
            print(&all, &unset),
            "rate = 2\n\n# Without it, none.\n# name = \"x\"\n\n[inner]\n\
             # Without it, none.\n# device = \"x\"\nlist = []\n"
        );
        (all.name, all.inner.device) = (Some("n"), Some("d"));
        let text = print(&all, &unset);
        assert!(!text.contains('#'), "{text}");
    }

    #[test]
    fn names_the_line_of_a_key_it_does_not_know() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.toml");
        fs::write(&file, "rate = 2\nlisten_on = 1\n").unwrap();
        let error = load::<Config>(Some(&file), "ONPREM_NONE_", Table::new())
            .unwrap_err();
        let text = crate::log::Chain(&error).to_string();
        assert!(text.contains("line 2") && text.contains("listen_on"));
    }
}
