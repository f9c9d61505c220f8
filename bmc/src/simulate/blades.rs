//! Many blades in one process: one board file, and perhaps one recording.

use std::{
    fs,
    io::{self, Write as _},
    net::SocketAddr,
    path::{Path, PathBuf},
    pin::pin,
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, bail};
use clap::Args;
use futures_util::{StreamExt as _, stream};
use onprem_bmc::{
    accounts::FIRST_USER, agent::Agent, bus::replay::Recording, config::Config,
};
use onprem_link::{
    file,
    process::{self, Said, Signals},
};
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::time::interval;
use tracing::{info, warn};

/// How many start, or end, at once.
const AT_ONCE: usize = 8;
/// How often it is told how far the start is.
const TELL: Duration = Duration::from_secs(5);
/// Of how many that do not start it is told why.
const NAMED: usize = 16;
/// What an agent keeps its accounts in, and what tells the first password.
const ACCOUNTS: &str = "accounts.json";
const PASSWORD: &str = "initial-password";

/// What can be said of simulated blades.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How many
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    count: u16,
    /// The board file that says what each of them is
    #[arg(long, value_name = "FILE")]
    board: PathBuf,
    /// What a blade's agent noted with `--record`: their buses say that again
    #[arg(long, value_name = "FILE")]
    replay: Option<PathBuf>,
    /// What they are called; a number follows, as in `blade-0001`, and the
    /// whole is the serial number as well
    #[arg(long, default_value = "blade")]
    name: String,
    /// Where the first serves Redfish; the others follow port by port. With
    /// port 0, all are anywhere
    #[arg(
        long,
        value_name = "ADDRESS:PORT",
        default_value = "127.0.0.1:20001"
    )]
    listen: SocketAddr,
    /// Where their states are kept, each in a folder of its name
    #[arg(long, value_name = "DIRECTORY")]
    state_dir: PathBuf,
    /// The fleet's listener for devices
    #[arg(long, value_name = "URL")]
    fleet_url: Option<String>,
    /// A file with a join token for so many (`onprem create join-token --uses`)
    #[arg(long, value_name = "FILE")]
    join_token_file: Option<PathBuf>,
}

/// Serves them until a signal. `config` is what all have in common.
pub(crate) fn run(options: &Options, config: Option<&Path>) -> ExitCode {
    let path = |path: &Path| Some(path.display().to_string());
    let flags = process::given([
        ("board", path(&options.board)),
        ("state_dir", path(&options.state_dir)),
        ("listen", Some(options.listen.to_string())),
        ("fleet_url", options.fleet_url.clone()),
        ("join_token_file", options.join_token_file.as_deref().and_then(path)),
    ]);
    let said = Said { config, print_config: false, flags };
    process::run("onprem-bmc simulate blades", said, |config, signals| {
        serve(options, config, signals)
    })
}

async fn serve(
    options: &Options,
    config: Config,
    mut signals: Signals,
) -> anyhow::Result<()> {
    let blades = Blades::new(options, config)?;
    let Started { agents, failed } = tokio::select! {
        started = blades.start() => started?,
        () = signals.asked() => return Ok(()),
    };
    let password = blades.config.state_dir.join(PASSWORD).display().to_string();
    let count = agents.len();
    if failed.is_empty() {
        info!(blades = count, user = FIRST_USER, password, "all serve");
    } else {
        let not_started = told(&failed);
        warn!(
            blades = count,
            not_started,
            user = FIRST_USER,
            password,
            "only these serve"
        );
    }
    signals.asked().await;
    let ends = stream::iter(agents).map(Agent::stop);
    let ends = ends.buffer_unordered(AT_ONCE);
    signals.end(ends.collect::<Vec<_>>()).await;
    Ok(())
}

/// Some names, and how many more there are.
fn told(names: &[String]) -> String {
    let shown = names.get(..NAMED).unwrap_or(names).join(", ");
    match names.len().saturating_sub(NAMED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// What became of their start.
#[derive(Default)]
struct Started {
    agents: Vec<Agent>,
    /// The names of those that do not start.
    failed: Vec<String>,
}

impl Started {
    fn take(&mut self, name: String, agent: anyhow::Result<Agent>) {
        match agent {
            Ok(agent) => self.agents.push(agent),
            Err(error) => {
                if self.failed.len() < NAMED {
                    warn!(blade = name, "it does not start: {error:#}");
                }
                self.failed.push(name);
            }
        }
    }
}

/// All of them.
struct Blades<'a> {
    options: &'a Options,
    /// What they have in common.
    config: Config,
    recording: Option<Recording>,
}

impl<'a> Blades<'a> {
    fn new(options: &'a Options, mut config: Config) -> anyhow::Result<Self> {
        let last = options.listen.port().checked_add(options.count - 1);
        if options.listen.port() != 0 && last.is_none() {
            let (listen, count) = (options.listen, options.count);
            bail!("no {count} ports follow {listen}");
        }
        let read = |path: &PathBuf| {
            Recording::read(path).with_context(|| {
                format!("{} cannot be played back", path.display())
            })
        };
        let recording = options.replay.as_ref().map(read).transpose()?;
        // Nothing of this machine is theirs: no power, no fan, no line, no
        // disk. What is said of one agent's buses is not said of all.
        config.allow_host_power = false;
        config.allow_volumes = false;
        config.allow_network_changes = false;
        (config.record, config.replay) = (None, None);
        config.root = config.state_dir.join("no-machine");
        fs::create_dir_all(&config.root).with_context(|| {
            format!("cannot make {}", config.root.display())
        })?;
        allow_many_files();
        Ok(Self { options, config, recording })
    }

    /// Starts those that can be, with the others known by name.
    async fn start(&self) -> anyhow::Result<Started> {
        // The first makes the password that all have: to make one is meant to
        // take a processor its time. It is made before a port is taken; where
        // it is not, something is wrong that all have in common.
        let first = &self.folder(0);
        let mut started = Started::default();
        match self.blade(0).await {
            Err(error) if !first.join(ACCOUNTS).exists() => return Err(error),
            agent => started.take(self.name(0), agent),
        }
        copy(first, &self.config.state_dir, PASSWORD)?;
        let count = self.options.count;
        let others = stream::iter(1..count).map(async |index| {
            let folder = self.folder(index);
            if !folder.join(ACCOUNTS).exists()
                && let Err(error) = copy(first, &folder, ACCOUNTS)
            {
                return (index, Err(error));
            }
            (index, self.blade(index).await)
        });
        let mut others = pin!(others.buffered(AT_ONCE));
        let mut ticks = interval(TELL);
        ticks.tick().await;
        loop {
            tokio::select! {
                next = others.next() => match next {
                    Some((index, agent)) => {
                        started.take(self.name(index), agent);
                    }
                    None => break,
                },
                _ = ticks.tick() => {
                    let serve = started.agents.len();
                    let not_started = started.failed.len();
                    info!(serve, not_started, of = count, "starting");
                }
            }
        }
        if started.agents.is_empty() {
            bail!("none of the {count} blades starts: the log says why");
        }
        Ok(started)
    }

    /// The name of a blade, from 0 on.
    fn name(&self, index: u16) -> String {
        format!("{}-{:04}", self.options.name, u32::from(index) + 1)
    }

    fn folder(&self, index: u16) -> PathBuf {
        self.config.state_dir.join(self.name(index))
    }

    /// Starts one, and says where it is.
    async fn blade(&self, index: u16) -> anyhow::Result<Agent> {
        let name = self.name(index);
        let mut config = self.config.clone();
        config.state_dir = self.folder(index);
        config.name = Some(name.clone());
        config.serial_number = Some(name.clone());
        config.metrics_listen.set_port(0);
        if let port @ 1.. = config.listen.port() {
            config.listen.set_port(port.saturating_add(index));
        }
        let recording = self.recording.clone();
        let agent = Agent::one_of_many(config, recording).await?;
        let address = agent.redfish_address();
        writeln!(io::stdout(), "{name}\t{name}\thttps://{address}")?;
        Ok(agent)
    }
}

/// Copies a file that is its owner's alone.
fn copy(from: &Path, to: &Path, name: &str) -> anyhow::Result<()> {
    let (from, to) = (from.join(name), to.join(name));
    // A password that was changed long ago is kept nowhere.
    let Some(content) = file::read_if_present(&from)? else { return Ok(()) };
    file::replace(&to, &content)
        .with_context(|| format!("cannot write {}", to.display()))
}

/// Each needs some files open, and programs are allowed 1,024 as a rule.
fn allow_many_files() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        warn!(%error, "no more files allowed");
    }
}
