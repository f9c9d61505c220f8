//! `version`: of this program and of the fleet.

use clap::{ArgMatches, Command};
use onprem_description::PageModel;
use serde_json::Value;

use crate::{
    failure::Failure,
    fleet::Fleet,
    run::{Entry, Run},
};

pub(crate) const ENTRY: Entry = Entry {
    name: "version",
    build,
    run: |run, matches| Box::pin(version(run, matches)),
};

fn build(_: &'static PageModel) -> Command {
    Command::new("version")
        .about("Show the versions of onprem and of the fleet")
}

async fn version(
    run: &mut Run<'_>,
    matches: &ArgMatches,
) -> Result<(), Failure> {
    run.screen.print(concat!("onprem ", env!("CARGO_PKG_VERSION")))?;
    run.screen.flush()?;
    let Some(view) = run.model.operation("version_view") else {
        return Ok(());
    };
    match Fleet::of(matches)?.call(view, &[], &[], None).await {
        Ok(answer) => {
            let version = answer.get("version").and_then(Value::as_str);
            run.screen.print(&format!("fleet {}", version.unwrap_or("?")))
        }
        // Our own version is what was asked for.
        Err(failure) => {
            run.screen.note(&format!("note: {failure}"));
            Ok(())
        }
    }
}
