//! Dropshot logs with `slog`; here it enters `tracing`, keys included.

use std::fmt::{self, Write as _};

use slog::{Drain, Key, Level, Logger, Never, OwnedKVList, Record, Serializer};

/// A logger for dropshot.
pub fn slog() -> Logger {
    Logger::root(IntoTracing, slog::o!())
}

struct IntoTracing;

impl Drain for IntoTracing {
    type Ok = ();
    type Err = Never;

    fn log(
        &self,
        record: &Record<'_>,
        values: &OwnedKVList,
    ) -> Result<(), Never> {
        /// What a request was and how it went is for us; an operator has the
        /// audit log.
        macro_rules! emit {
            ($level:ident) => {
                if tracing::enabled!(target: "dropshot", tracing::Level::$level)
                {
                    tracing::event!(
                        target: "dropshot",
                        tracing::Level::$level,
                        keys = keys(record, values),
                        "{}",
                        record.msg()
                    );
                }
            };
        }
        match record.level() {
            Level::Critical | Level::Error => emit!(ERROR),
            Level::Warning => emit!(WARN),
            Level::Info | Level::Debug => emit!(DEBUG),
            Level::Trace => emit!(TRACE),
        }
        Ok(())
    }
}

fn keys(record: &Record<'_>, values: &OwnedKVList) -> String {
    use slog::KV as _;
    let mut keys = Keys(String::new());
    // Writing to a text does not fail.
    let _ = values.serialize(record, &mut keys);
    let _ = record.kv().serialize(record, &mut keys);
    keys.0
}

struct Keys(String);

impl Serializer for Keys {
    fn emit_arguments(
        &mut self,
        key: Key,
        value: &fmt::Arguments<'_>,
    ) -> slog::Result {
        let space = if self.0.is_empty() { "" } else { " " };
        write!(self.0, "{space}{key}={value}")?;
        Ok(())
    }
}
