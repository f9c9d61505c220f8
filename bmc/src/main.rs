//! Starts the agent, waits for a signal, and ends it.

use std::{
    io::{self, IsTerminal as _, Write as _},
    path::PathBuf,
    process::ExitCode,
};

mod simulate;

use clap::{Parser, Subcommand};
use onprem_bmc::{
    accounts::FIRST_USER,
    agent::Agent,
    config::Config,
    probe,
    update::{launch, tool},
};
use onprem_link::{
    config,
    process::{self, Configuration as _, Said, Signals},
};
use toml::Table;

/// What a newcomer may want first.
const START: &str = "\
Try it, with nothing to plug in:
  onprem-bmc --board bmc/boards/sim-blade.toml --state-dir /tmp/blade
  curl -ku admin:PASSWORD https://127.0.0.1:8443/redfish/v1/Systems/node

What this machine has, as a board file:
  onprem-bmc probe > board.toml
  onprem-bmc --board board.toml";

/// The on-prem agent: a Redfish service for the machine it runs on
///
/// Without a command it serves until it is told to end. It needs no
/// configuration: the first start makes the user `admin`, and says where the
/// password is.
#[derive(Debug, Parser)]
#[command(name = "onprem-bmc", version, after_help = START)]
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
    /// A board file: what there is beside this machine, or a simulated one
    /// instead; `onprem-bmc probe` proposes one
    #[arg(long, value_name = "FILE")]
    board: Option<PathBuf>,
    /// Note what is said on the I²C buses and serial lines of the board, in a
    /// new file: FILE, or FILE.1 and so on where there is one
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Play such a recording back on the buses of the board, and touch none of
    /// this machine
    #[arg(long, value_name = "FILE")]
    replay: Option<PathBuf>,
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
    /// Run this very program, whatever updates have put into the slots
    #[arg(long)]
    no_slots: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make and show signed images, which running agents can be updated with
    #[command(subcommand)]
    Image(tool::Tool),
    /// Look what this machine has, and propose a board file on stdout
    ///
    /// What is sure is in it, what needs somebody who knows is a comment. On
    /// I²C buses each address is asked whether somebody is there, but for those
    /// where that could do harm. Nothing is written to a bus, save what
    /// --allow-writes allows.
    Probe(probe::Options),
    /// Serve a simulated part, or many simulated blades, until Ctrl-C
    ///
    /// A part is at a pseudo-terminal, whose path stands on stdout: it goes
    /// into `serial` of a board file, as that of a real one.
    #[command(subcommand)]
    Simulate(simulate::Simulate),
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
            ("record", path(&self.record)),
            ("replay", path(&self.replay)),
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
    if let Some(Command::Image(tool)) = &flags.command {
        return tool::run(tool);
    }
    if let Some(Command::Probe(options)) = &flags.command {
        return probe::run(options);
    }
    if let Some(Command::Simulate(what)) = &flags.command {
        return simulate::run(what, flags.config.as_deref());
    }
    if let Some(ended) = become_current(&flags) {
        return ended;
    }
    let said = Said {
        config: flags.config.as_deref(),
        print_config: flags.print_config,
        flags: flags.table(),
    };
    process::run("onprem-bmc", said, serve)
}

/// Becomes the program that updates have brought, where there is one.
fn become_current(flags: &Flags) -> Option<ExitCode> {
    if flags.no_slots || flags.print_config {
        return None;
    }
    let file = flags.config.as_deref();
    // Whoever reads it next says what is wrong with it.
    let config: Config =
        config::load(file, Config::PREFIX, flags.table()).ok()?;
    launch::launch(&config)
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
    if leaves { Err(launch::restart().into()) } else { Ok(()) }
}
