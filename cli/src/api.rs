//! `api`: every operation as the document says it, generated.

use std::{cell::Cell, fmt::Debug, rc::Rc};

use clap::{Arg, ArgMatches, Command};
use onprem_client::{
    Client, Error, ResponseValue,
    cli::{Cli, CliCommand, CliConfig},
};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::{
    failure::{Code, Failure, chain},
    fleet::Fleet,
    output::{self, Form},
    run::Run,
};

const ABOUT: &str = "Call any operation of the API";

/// The command without its operations.
pub(crate) fn stub() -> Command {
    Command::new("api").about(ABOUT)
}

/// The command with all operations, each under its id.
pub(crate) fn tree() -> Command {
    let operations = CliCommand::iter().map(|operation| {
        let made = Cli::<Printer>::get_command(operation);
        // The generator's flag for an example of a body prints none, and calls
        // the operation all the same.
        let args = made
            .get_arguments()
            .filter(|arg| arg.get_id() != "json-body-template")
            .cloned()
            .map(|arg| match arg.get_id().as_str() {
                // Arguments are seen by everybody on the machine.
                "password" => Arg::new("password").long("password").hide(true),
                "json-body" => arg.help("A file with the whole body"),
                _ => arg,
            });
        let name = onprem_description::kebab(operation.operation_id());
        let command = Command::new(name).disable_version_flag(true).args(args);
        let about = made.get_about().cloned().unwrap_or_default();
        match made.get_long_about().cloned() {
            Some(more) => command.about(about).long_about(more),
            None => command.about(about),
        }
    });
    stub()
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand_value_name("OPERATION")
        .subcommand_help_heading("Operations")
        .subcommands(operations)
}

/// Calls the operation that `matches` names.
pub(crate) async fn run(
    run: &mut Run<'_>,
    matches: &ArgMatches,
) -> Result<(), Failure> {
    let Some((name, matches)) = matches.subcommand() else { return Ok(()) };
    let operation = CliCommand::iter().find(|operation| {
        onprem_description::kebab(operation.operation_id()) == name
    });
    let Some(operation) = operation else { return Ok(()) };
    if let Ok(true) = matches.try_contains_id("password")
        && matches.contains_id("password")
    {
        return Err(Failure::usage("a password is never an argument")
            .hint("write the body into a file: `--json-body FILE`"));
    }
    let fleet = Fleet::of(matches)?.authenticated()?;
    let client = Client::new_with_client(&fleet.target.url, fleet.http.clone());
    let printer = Printer { fleet, kept: Rc::default() };
    let kept = Rc::clone(&printer.kept);
    let result = Cli::new(client, printer).execute(operation, matches).await;
    let kept = kept.take();
    if let Some(answer) = kept.answer {
        output::whole(run.screen, &answer, Form::Json)?;
    }
    match (result, kept.failure) {
        (Ok(()), _) => Ok(()),
        (Err(_), Some(failure)) => Err(failure),
        (Err(error), None) => {
            let text = chain(error.as_ref());
            Err(Failure::new(Code::Invalid, text))
        }
    }
}

/// Keeps what was answered until it is printed.
struct Printer {
    fleet: Fleet,
    kept: Rc<Cell<Kept>>,
}

#[derive(Default)]
struct Kept {
    answer: Option<Value>,
    failure: Option<Failure>,
}

impl Printer {
    fn keep(&self, change: impl FnOnce(&mut Kept)) {
        let mut kept = self.kept.take();
        change(&mut kept);
        self.kept.set(kept);
    }

    fn fail<T: Serialize>(&self, error: &Error<T>) {
        let failure = match error {
            Error::CommunicationError(error)
            | Error::InvalidUpgrade(error)
            | Error::ResponseBodyError(error) => self.fleet.unreached(error),
            Error::ErrorResponse(answer) => {
                let body = serde_json::to_value(&**answer).unwrap_or_default();
                self.fleet.refusal(answer.status(), answer.headers(), &body)
            }
            Error::UnexpectedResponse(answer) => self.fleet.refusal(
                answer.status(),
                answer.headers(),
                &Value::Null,
            ),
            Error::InvalidRequest(text) => {
                Failure::new(Code::Invalid, text.as_str())
            }
            Error::InvalidResponsePayload(_, error) => {
                Failure::because("cannot understand the fleet's answer", error)
            }
            Error::Custom(text) => Failure::other(text.as_str()),
        };
        self.keep(|kept| kept.failure = Some(failure));
    }
}

impl CliConfig for Printer {
    fn success_item<T>(&self, value: &ResponseValue<T>)
    where
        T: JsonSchema + Serialize + Debug,
    {
        let value = serde_json::to_value(&**value).unwrap_or_default();
        self.keep(|kept| kept.answer = Some(value));
    }

    fn success_no_item(&self, _: &ResponseValue<()>) {}

    fn error<T>(&self, value: &Error<T>)
    where
        T: JsonSchema + Serialize + Debug,
    {
        self.fail(value);
    }

    fn list_start<T>(&self)
    where
        T: JsonSchema + Serialize + Debug,
    {
        self.keep(|kept| kept.answer = Some(Value::Array(Vec::new())));
    }

    fn list_item<T>(&self, value: &T)
    where
        T: JsonSchema + Serialize + Debug,
    {
        let value = serde_json::to_value(value).unwrap_or_default();
        self.keep(|kept| {
            if let Some(Value::Array(items)) = &mut kept.answer {
                items.push(value);
            }
        });
    }

    fn list_end_success<T>(&self)
    where
        T: JsonSchema + Serialize + Debug,
    {
    }

    fn list_end_error<T>(&self, value: &Error<T>)
    where
        T: JsonSchema + Serialize + Debug,
    {
        self.keep(|kept| kept.answer = None);
        self.fail(value);
    }
}
