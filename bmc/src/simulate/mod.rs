//! `onprem-bmc simulate`: parts behind a pseudo-terminal, for a board file to
//! point at; and whole blades, many in one process.

mod blades;

use std::{
    io::{self, Write as _},
    path::Path,
    process::ExitCode,
};

use clap::Subcommand;
use onprem_bmc::sim::{
    bitscope::{NODES, Rack},
    bitscope_capture::Scope,
    modem::{Maker, Modem},
    serial::{Pty, SerialPart},
};
use onprem_link::process::Signals;

/// What can be simulated.
#[derive(Debug, Subcommand)]
pub(crate) enum Simulate {
    /// The control bus of a `BitScope` rack, locked, with all nodes on
    Bitscope {
        /// How many nodes there are
        #[arg(long, default_value_t = 24,
            value_parser = clap::value_parser!(u8).range(1..=i64::from(NODES)))]
        nodes: u8,
    },
    /// A `BitScope` BS05, with a sine of 1 kHz and ±2 V on A, its generator on
    /// B, and a counter at 10 kHz on its logic inputs
    BitscopeCapture,
    /// A cellular modem in its network
    Cellular {
        /// Who made it: quectel, telit or thales
        #[arg(long, default_value = "quectel", value_enum)]
        maker: Maker,
    },
    /// Blades: as many agents as wanted in one process, each with a name, a
    /// serial number, a port and a state of its own
    ///
    /// What they are is said by a board file; with `--replay`, what their parts
    /// say is what a real blade's parts once said. On stdout, each has a line:
    /// its name, its serial number, its address. All have the user `admin`,
    /// with the password in `initial-password` in the state directory.
    Blades(blades::Options),
}

/// Serves it until a signal, after its place on stdout.
pub(crate) fn run(what: &Simulate, config: Option<&Path>) -> ExitCode {
    let part: Box<dyn SerialPart> = match what {
        Simulate::Bitscope { nodes } => Box::new(Rack::new(*nodes)),
        Simulate::BitscopeCapture => Box::new(Scope::default()),
        Simulate::Cellular { maker } => Box::new(Modem::new(*maker)),
        Simulate::Blades(options) => return blades::run(options, config),
    };
    match serve(part) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "cannot simulate: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(part: Box<dyn SerialPart>) -> io::Result<()> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut signals = Signals::new()?;
        let pty = Pty::serve(part)?;
        writeln!(io::stdout(), "{}", pty.path())?;
        signals.asked().await;
        Ok(())
    })
}
