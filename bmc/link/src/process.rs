//! How every process begins and ends.

use std::{
    future::Future,
    io::{self, Write as _},
    path::Path,
    process::ExitCode,
    time::Duration,
};

use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    runtime,
    signal::unix::{Signal, SignalKind, signal},
};
use toml::{Table, Value};
use tracing::info;

use crate::{
    config::{self, ConfigError},
    log::{self, Chain, Format},
};

/// How long the runtime waits for threads that hang.
const THREADS: Duration = Duration::from_millis(500);

/// What the command line says.
#[derive(Debug)]
pub struct Said<'a> {
    /// `--config`: the configuration file.
    pub config: Option<&'a Path>,
    /// `--print-config`: print what is in force, and end.
    pub print_config: bool,
    /// The other flags, as they would stand in the file.
    pub flags: Table,
}

/// A configuration that says how to log.
pub trait Configuration: Serialize + DeserializeOwned {
    /// What environment variables that set its keys start with.
    const PREFIX: &'static str;

    /// The keys that need not be set.
    const UNSET: &'static [config::Unset] = &[];

    /// The filter and the form of the log.
    fn log(&self) -> (&str, Format);
}

/// Why a process ends before it was asked to.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("`log` is `{filter}`")]
    Filter { filter: String, source: tracing_subscriber::filter::ParseError },
    #[error("cannot print the configuration")]
    Print(#[source] io::Error),
    #[error("cannot start threads")]
    Threads(#[source] io::Error),
    #[error("cannot wait for signals")]
    Signals(#[source] io::Error),
    #[error(transparent)]
    Serve(Box<dyn std::error::Error + Send + Sync>),
}

/// The flags that were given, as a table of strings.
#[must_use]
pub fn given<const N: usize>(flags: [(&str, Option<String>); N]) -> Table {
    let given = flags.into_iter().filter_map(|(key, value)| {
        Some((key.to_owned(), Value::String(value?)))
    });
    given.collect()
}

/// Loads the configuration, starts the log and the runtime, and runs `serve`
/// in it. An error is printed with its causes.
pub fn run<C, F, E>(
    program: &str,
    said: Said<'_>,
    serve: impl FnOnce(C, Signals) -> F,
) -> ExitCode
where
    C: Configuration,
    F: Future<Output = Result<(), E>>,
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    match try_run(said, serve) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "{program}: {}", Chain(&error));
            ExitCode::FAILURE
        }
    }
}

fn try_run<C, F, E>(
    said: Said<'_>,
    serve: impl FnOnce(C, Signals) -> F,
) -> Result<(), Failure>
where
    C: Configuration,
    F: Future<Output = Result<(), E>>,
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let config: C = config::load(said.config, C::PREFIX, said.flags)?;
    if said.print_config {
        return write!(io::stdout(), "{}", config::print(&config, C::UNSET))
            .map_err(Failure::Print);
    }
    let (filter, format) = config.log();
    log::start(filter, format).map_err(|source| Failure::Filter {
        filter: filter.to_owned(),
        source,
    })?;
    let runtime = runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Failure::Threads)?;
    let ended = runtime.block_on(async {
        // Asked for first, so that none is lost while the process starts.
        let signals = Signals::new().map_err(Failure::Signals)?;
        serve(config, signals).await.map_err(|e| Failure::Serve(e.into()))
    });
    runtime.shutdown_timeout(THREADS);
    ended
}

/// SIGTERM and SIGINT.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Listens for them from now on, in the runtime that this runs in.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits until the process is asked to end.
    pub async fn asked(&mut self) {
        let name = self.next().await;
        info!(signal = name, "stopping");
    }

    /// Ends with `stop`; whoever asks twice does not want to wait for it.
    pub async fn end<T>(&mut self, stop: impl Future<Output = T>) {
        tokio::select! {
            _ = stop => {}
            _ = self.next() => {}
        }
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
