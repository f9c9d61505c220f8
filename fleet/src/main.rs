//! Starts the fleet server, waits for a signal, and ends it.

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use anyhow::Context as _;
use clap::Parser;
use onprem_fleet::{
    config::{Config, PREFIX},
    server::Server,
};
use onprem_link::{config, log};
use tokio::{
    runtime,
    signal::unix::{SignalKind, signal},
};
use toml::{Table, Value};
use tracing::info;

/// How long the runtime waits for threads when all else has ended.
const THREADS: Duration = Duration::from_millis(500);

/// The on-prem fleet server: one API and one console for every device
#[derive(Debug, Parser)]
#[command(name = "onprem-fleet", version)]
struct Flags {
    /// A configuration file in TOML
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where everything is kept that must outlive the process
    #[arg(long, value_name = "DIRECTORY")]
    state_dir: Option<PathBuf>,
    /// Where API and console are served; TLS unless on a loopback address
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// Where devices connect
    #[arg(long, value_name = "ADDRESS:PORT")]
    devices_listen: Option<String>,
    /// The address that devices are told to connect to
    #[arg(long, value_name = "URL")]
    public_devices_url: Option<String>,
    /// Print the configuration in force, and end
    #[arg(long)]
    print_config: bool,
}

impl Flags {
    fn table(&self) -> Table {
        let state_dir = self.state_dir.as_ref();
        let state_dir = state_dir.map(|path| path.display().to_string());
        let given = [
            ("state_dir", state_dir),
            ("listen", self.listen.clone()),
            ("devices_listen", self.devices_listen.clone()),
            ("public_devices_url", self.public_devices_url.clone()),
        ];
        let given = given.into_iter().filter_map(|(key, value)| {
            Some((key.to_owned(), Value::String(value?)))
        });
        given.collect()
    }
}

fn main() -> ExitCode {
    // It fails where there is one already, and one is what is wanted.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    match run(&Flags::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "onprem-fleet: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(flags: &Flags) -> anyhow::Result<()> {
    let config: Config =
        config::load(flags.config.as_deref(), PREFIX, flags.table())?;
    if flags.print_config {
        write!(io::stdout(), "{}", config::print(&config))?;
        return Ok(());
    }
    log::start(&config.log, config.log_format)
        .with_context(|| format!("`log` is `{}`", config.log))?;
    let runtime = runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start threads")?;
    let ended = runtime.block_on(serve(config));
    runtime.shutdown_timeout(THREADS);
    ended
}

async fn serve(config: Config) -> anyhow::Result<()> {
    // Asked for first, so that a signal is not lost while the server starts.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let server = Server::start(config).await?;
    let name = tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    };
    info!(signal = name, "stopping");
    tokio::select! {
        () = server.stop() => {}
        // Whoever asks twice does not want to wait.
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
