//! Starts the agent, waits for a signal, and ends it.

use std::{
    env,
    io::{self, IsTerminal as _, Write as _},
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Command, ExitCode},
};

use anyhow::Context as _;
use clap::Parser;
use onprem_bmc::{accounts::FIRST_USER, agent::Agent, config::Config};
use onprem_link::process::{self, Said, Signals};
use toml::Table;

/// The on-prem agent: a Redfish service for the machine it runs on
#[derive(Debug, Parser)]
#[command(name = "onprem-bmc", version)]
struct Flags {
    /// A configuration file in TOML
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where keys, accounts and settings are kept
    #[arg(long, value_name = "DIRECTORY")]
    state_dir: Option<PathBuf>,
    /// Where Redfish is served
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// Where /metrics is served without TLS
    #[arg(long, value_name = "ADDRESS:PORT")]
    metrics_listen: Option<String>,
    /// A board file: look after that simulated board instead of this host
    #[arg(long, value_name = "FILE")]
    board: Option<PathBuf>,
    /// What people call this machine
    #[arg(long)]
    name: Option<String>,
    /// The serial number, instead of the machine's own
    #[arg(long, value_name = "NUMBER")]
    serial_number: Option<String>,
    /// The fleet's listener for devices
    #[arg(long, value_name = "URL")]
    fleet_url: Option<String>,
    /// A file with the join token that the fleet made for this device
    #[arg(long, value_name = "FILE")]
    join_token_file: Option<PathBuf>,
    /// Print the configuration in force, and end
    #[arg(long)]
    print_config: bool,
}

impl Flags {
    fn table(&self) -> Table {
        let path = |path: &Option<PathBuf>| {
            path.as_ref().map(|path| path.display().to_string())
        };
        process::given([
            ("state_dir", path(&self.state_dir)),
            ("listen", self.listen.clone()),
            ("metrics_listen", self.metrics_listen.clone()),
            ("board", path(&self.board)),
            ("name", self.name.clone()),
            ("serial_number", self.serial_number.clone()),
            ("fleet_url", self.fleet_url.clone()),
            ("join_token_file", path(&self.join_token_file)),
        ])
    }
}

fn main() -> ExitCode {
    // It fails where there is one already, and one is what is wanted.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let flags = Flags::parse();
    let said = Said {
        config: flags.config.as_deref(),
        print_config: flags.print_config,
        flags: flags.table(),
    };
    process::run("onprem-bmc", said, serve)
}

async fn serve(config: Config, mut signals: Signals) -> anyhow::Result<()> {
    let agent = Agent::start(config).await?;
    if let Some(password) = agent.initial_password() {
        // What is no terminal is a log, where a secret would stay.
        let shown = io::stderr().is_terminal();
        let shown = shown.then(|| format!(" is `{password}`; it"));
        writeln!(
            io::stderr(),
            "user `{FIRST_USER}` was made; the password{} is in {}",
            shown.unwrap_or_default(),
            agent.initial_password_file().display(),
        )?;
    }
    let leaves = tokio::select! {
        () = signals.asked() => false,
        () = agent.leaving() => true,
    };
    signals.end(agent.stop()).await;
    if leaves { start_anew() } else { Ok(()) }
}

/// Becomes the same program anew, under the same process id: whoever watches
/// over the process sees no end of it.
fn start_anew() -> anyhow::Result<()> {
    let mut arguments = env::args_os();
    let called = arguments.next();
    // An update may have put another file in the place of this one.
    let program = env::current_exe()
        .ok()
        .filter(|path| path.exists())
        .or_else(|| called.map(PathBuf::from))
        .context("cannot tell which program this is")?;
    let error = Command::new(&program).args(arguments).exec();
    Err(error).with_context(|| format!("cannot start {}", program.display()))
}
