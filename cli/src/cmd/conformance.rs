//! `conformance`: DMTF's judges on a device, through the fleet.
//!
//! The judges are programs of their own, in Python; `conformance/judge.py` of
//! the project runs them and writes the report. This opens the port they use.

use std::{
    env, io,
    path::{Path, PathBuf},
};

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use onprem_description::PageModel;
use tokio::process;

use super::proxy::Proxy;
use crate::{
    build::switch,
    failure::Failure,
    run::{Entry, Run},
};

pub(crate) const ENTRY: Entry = Entry {
    name: "conformance",
    build,
    run: |run, matches| Box::pin(conformance(run, matches)),
};

/// The folder of the runner, where it is not found by itself.
const FOLDER: &str = "ONPREM_CONFORMANCE";

/// The options that go to the runner as they are.
const SWITCHES: &[&str] = &["allow-changes", "allow-resets"];

fn build(_: &'static PageModel) -> Command {
    Command::new("conformance")
        .about("Hold a device against the Redfish standard")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(
            Command::new("run")
                .about("Run DMTF's judges on a device and write a report")
                .long_about(
                    "Run DMTF's judges on a device and write a report\n\n\
                     Opens a local port to the device and runs the project's \
                     conformance/judge.py on it, which needs python3 and \
                     cargo and installs the judges by itself. It is looked \
                     for in $ONPREM_CONFORMANCE, in the folder conformance \
                     here or above, and where this program was built. The \
                     judges log in with an account that is made for the run \
                     and deleted after it. The protocol validator is left \
                     out: through the fleet, every request is logged in.",
                )
                .args([
                    Arg::new("device")
                        .value_name("DEVICE")
                        .required(true)
                        .help("Its id or its name"),
                    Arg::new("report")
                        .long("report")
                        .value_name("DIR")
                        .value_parser(value_parser!(PathBuf))
                        .help("Where the report goes"),
                    Arg::new("only")
                        .long("only")
                        .value_name("JUDGE")
                        .action(ArgAction::Append)
                        .value_parser(["service", "interop", "use-cases"])
                        .help("Run this judge alone; may be repeated"),
                    switch(
                        "allow-changes",
                        "Let judges make and delete accounts and the like",
                    ),
                    switch(
                        "allow-resets",
                        "Let judges reset the machine as well",
                    )
                    .requires("allow-changes"),
                ]),
        )
}

async fn conformance(
    run: &mut Run<'_>,
    matches: &ArgMatches,
) -> Result<(), Failure> {
    let Some(("run", matches)) = matches.subcommand() else { return Ok(()) };
    let device = matches.get_one::<String>("device").map_or("", |d| d);
    let runner = runner()?;
    let proxy = Proxy::open(run, matches, device, 0).await?;
    proxy.warn(run);

    let mut command = process::Command::new("python3");
    command
        .arg(&runner)
        .arg("--through-fleet")
        .arg("--insecure")
        .args(["--url", &format!("https://{}", proxy.address)])
        .env("ONPREM_PROGRAM", "onprem conformance run");
    if let Some(report) = matches.get_one::<PathBuf>("report") {
        command.arg("--report").arg(report);
    }
    if let Some(only) = matches.get_many::<String>("only") {
        command.arg("--only").args(only);
    }
    for name in SWITCHES.iter().filter(|name| matches.get_flag(name)) {
        command.arg(format!("--{name}"));
    }
    // Ctrl-C reaches the runner as well, which then deletes its account; the
    // way there stays open until it has.
    let mut stop =
        Box::pin(async { while tokio::signal::ctrl_c().await.is_ok() {} });
    let mut child = command.spawn().map_err(|error| no_python(&error))?;
    let ended = tokio::select! {
        ended = child.wait() => ended?,
        () = proxy.serve() => child.wait().await?,
        () = &mut stop => child.wait().await?,
    };
    match ended.code() {
        Some(0) => Ok(()),
        Some(1) => Err(Failure::other(format!("{device} has faults"))
            .hint("the report says which")),
        _ => Err(Failure::other("the judges could not be run")),
    }
}

fn no_python(error: &io::Error) -> Failure {
    let failure = Failure::because("cannot run python3", error);
    if error.kind() == io::ErrorKind::NotFound {
        return failure.hint("install python3 and python3-venv");
    }
    failure
}

/// Where the runner is.
fn runner() -> Result<PathBuf, Failure> {
    let said = env::var_os(FOLDER).map(PathBuf::from);
    if let Some(folder) = said {
        let file = folder.join("judge.py");
        return if file.is_file() {
            Ok(file)
        } else {
            Err(Failure::other(format!("there is no {}", file.display()))
                .hint(format!("it is where {FOLDER} says")))
        };
    }
    let here = env::current_dir().ok();
    let program = env::current_exe().ok();
    let starts = here.iter().chain(&program);
    let folders = starts.flat_map(|start| start.ancestors());
    let mut files = folders.map(file_below);
    files.find(|file| file.is_file()).ok_or_else(|| {
        Failure::other("the judges' runner is not on this machine").hint(
            format!(
                "clone the on-prem project and run this inside of it, or set \
                 {FOLDER} to its folder conformance"
            ),
        )
    })
}

fn file_below(folder: &Path) -> PathBuf {
    folder.join("conformance/judge.py")
}
