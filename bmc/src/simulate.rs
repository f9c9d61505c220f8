//! `onprem-bmc simulate`: parts behind a pseudo-terminal, for a board file to
//! point at.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::Subcommand;
use onprem_bmc::sim::{
    bitscope::{NODES, Rack},
    serial::Pty,
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
    let Simulate::Bitscope { nodes } = what;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut signals = Signals::new()?;
        let pty = Pty::serve(Box::new(Rack::new(*nodes)))?;
        writeln!(io::stdout(), "{}", pty.path())?;
        signals.asked().await;
        Ok(())
    })
}
