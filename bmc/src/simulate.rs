//! `onprem-bmc simulate`: parts behind a pseudo-terminal, for a board file to
//! point at.

use std::{
    io::{self, Write as _},
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
}

impl Simulate {
    fn part(&self) -> Box<dyn SerialPart> {
        match self {
            Self::Bitscope { nodes } => Box::new(Rack::new(*nodes)),
            Self::BitscopeCapture => Box::new(Scope::default()),
            Self::Cellular { maker } => Box::new(Modem::new(*maker)),
        }
    }
}

/// Serves it until a signal, after the path on stdout.
pub(crate) fn run(what: &Simulate) -> ExitCode {
    match serve(what) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "cannot simulate: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(what: &Simulate) -> io::Result<()> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut signals = Signals::new()?;
        let pty = Pty::serve(what.part())?;
        writeln!(io::stdout(), "{}", pty.path())?;
        signals.asked().await;
        Ok(())
    })
}
