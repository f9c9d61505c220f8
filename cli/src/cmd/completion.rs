//! `completion`: the script that completes words in a shell.

use clap::{Arg, ArgMatches, Command, builder::EnumValueParser};
use clap_complete::Shell;
use onprem_description::PageModel;

use crate::{
    build::tree,
    failure::Failure,
    run::{Entry, Run},
};

pub(crate) const ENTRY: Entry = Entry {
    name: "completion",
    build,
    run: |run, matches| Box::pin(async move { completion(run, matches) }),
};

fn build(_: &'static PageModel) -> Command {
    Command::new("completion")
        .about("Print the script that completes words in a shell")
        .arg(
            Arg::new("shell")
                .value_name("SHELL")
                .required(true)
                .value_parser(EnumValueParser::<Shell>::new()),
        )
}

fn completion(run: &mut Run<'_>, matches: &ArgMatches) -> Result<(), Failure> {
    let Some(shell) = matches.get_one::<Shell>("shell") else { return Ok(()) };
    let mut script = Vec::new();
    let mut command = tree(run.model);
    clap_complete::generate(*shell, &mut command, "onprem", &mut script);
    run.screen.write(&script)
}
