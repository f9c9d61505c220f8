//! `onprem`, the command line of an on-prem fleet.

mod api;
mod build;
mod cmd;
mod config;
mod failure;
mod fields;
mod fleet;
mod output;
mod run;
mod screen;
mod table;
mod task;
#[cfg(test)]
mod tests;

use std::{env, process::ExitCode};

use onprem_description::PageModel;

use crate::screen::Screen;

fn main() -> ExitCode {
    // One provider a process; nothing else has installed one yet.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build();
    let mut screen = Screen::of_process();
    let code = match runtime {
        Ok(runtime) => {
            let work = run::run(PageModel::get(), env::args_os(), &mut screen);
            let code = runtime.block_on(work);
            // A prompt may still wait for a line; it need not come.
            runtime.shutdown_background();
            code
        }
        Err(error) => {
            screen.note(&format!("error: cannot start: {error}"));
            1
        }
    };
    ExitCode::from(code)
}
