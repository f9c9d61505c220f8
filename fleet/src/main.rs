//! Starts the fleet server, waits for a signal, and ends it.

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;
use onprem_fleet::{config::Config, server::Server};
use onprem_link::process::{self, Said, Signals};
use toml::Table;

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
        process::given([
            ("state_dir", state_dir.map(|path| path.display().to_string())),
            ("listen", self.listen.clone()),
            ("devices_listen", self.devices_listen.clone()),
            ("public_devices_url", self.public_devices_url.clone()),
        ])
    }
}

fn main() -> ExitCode {
    // It fails where there is one already, and one is what is wanted.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let flags = Flags::parse();
    let said = Said {
        config: flags.config.as_deref(),
        print_config: flags.print_config,
        flags: flags.table(),
    };
    process::run("onprem-fleet", said, serve)
}

async fn serve(config: Config, mut signals: Signals) -> anyhow::Result<()> {
    let server = Server::start(config).await?;
    signals.asked().await;
    signals.end(server.stop()).await;
    Ok(())
}
