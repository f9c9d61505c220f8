//! `login` and `logout`: keep a session's token in the context.

use std::path::PathBuf;

use clap::{Arg, ArgMatches, Command, value_parser};
use onprem_description::{Operation, PageModel};
use serde_json::{Value, json};

use crate::{
    config::{self, Context, Contexts, Target, address},
    failure::{Code, Failure},
    fleet::{self, Fleet},
    run::{Entry, Run},
};

pub(crate) const LOGIN: Entry = Entry {
    name: "login",
    build: build_login,
    run: |run, matches| Box::pin(login(run, matches)),
};

pub(crate) const LOGOUT: Entry = Entry {
    name: "logout",
    build: |_| Command::new("logout").about("End the session of a context"),
    run: |run, matches| Box::pin(logout(run, matches)),
};

fn build_login(_: &'static PageModel) -> Command {
    Command::new("login")
        .about("Log in to a fleet and keep the session in the context")
        .arg(
            Arg::new("account")
                .value_name("ACCOUNT")
                .help("The name of the account; asked for if not given"),
        )
        .arg(
            Arg::new("password-file")
                .long("password-file")
                .value_name("FILE")
                .help("A file with the password; `-` is stdin")
                .value_parser(value_parser!(PathBuf)),
        )
}

fn operation(run: &Run<'_>, id: &str) -> Result<&'static Operation, Failure> {
    run.model.operation(id).ok_or_else(|| {
        Failure::other(format!("this fleet has no operation `{id}`"))
    })
}

async fn login(run: &mut Run<'_>, matches: &ArgMatches) -> Result<(), Failure> {
    let operation = operation(run, "login")?;
    let path = config::path(matches)?;
    let mut contexts = config::read(&path)?;
    let url = matches.get_one::<String>("url").filter(|url| !url.is_empty());
    let url = url.map(|url| address(url)).transpose()?;
    let name = matches.get_one::<String>("context").cloned();
    let name = name.filter(|name| !name.is_empty());
    let name = name.unwrap_or_else(|| name_for(&contexts, url.as_deref()));
    let known = contexts.contexts.get(&name);
    let target = Target {
        url: match (url, known) {
            (Some(url), _) => url,
            (None, Some(context)) => address(&context.url)?,
            // What is said and unsaid elsewhere holds here as well.
            (None, None) if contexts.current.is_none() => Target::default_url(),
            (None, None) => {
                return Err(Failure::new(
                    Code::NotFound,
                    format!("no context named `{name}`"),
                )
                .hint("say where that fleet is: `--url URL`"));
            }
        },
        token: None,
        ca_file: matches
            .get_one::<PathBuf>("ca-file")
            .cloned()
            .or_else(|| known?.ca_file.clone()),
    };

    let account = match matches.get_one::<String>("account") {
        Some(account) => account.clone(),
        None if run.screen.interactive => run.screen.ask("Account: ")?,
        None => return Err(Failure::usage("say which account")),
    };
    let password = match matches.get_one::<PathBuf>("password-file") {
        Some(path) => config::secret_of(path)?,
        None if run.screen.interactive => {
            run.screen.ask_secret("Password: ")?
        }
        None => {
            return Err(Failure::usage("a password is needed")
                .hint("`--password-file FILE`; `-` is stdin"));
        }
    };
    let patience = fleet::timeout(matches);
    let fleet = Fleet::open(target.clone(), Some(patience))?;
    let body = json!({"name": account, "password": password});
    let answer = fleet.call(operation, &[], &[], Some(&body)).await?;
    let token = answer.get("token").and_then(Value::as_str);
    let token =
        token.ok_or_else(|| Failure::other("the fleet answered no token"))?;
    let context = Context {
        url: target.url.clone(),
        account: Some(account.clone()),
        token: Some(token.to_owned()),
        ca_file: target.ca_file,
    };
    contexts.contexts.insert(name.clone(), context);
    contexts.current = Some(name.clone());
    config::write(&path, &contexts)?;
    let url = target.url;
    run.screen.note(&format!("logged in to {url} as {account} ({name})"));
    Ok(())
}

/// The context that a session at `url` belongs to: the current one, unless that
/// is of another fleet.
fn name_for(contexts: &Contexts, url: Option<&str>) -> String {
    let at = |context: &Context| {
        url.is_none_or(|url| address(&context.url).is_ok_and(|own| own == url))
    };
    let all = &contexts.contexts;
    if let Some(name) = &contexts.current
        && all.get(name).is_none_or(at)
    {
        return name.clone();
    }
    let same = all.iter().find(|(_, context)| url.is_some() && at(context));
    let host = url.and_then(|url| url.split_once("://"));
    match (same, host) {
        (Some((name, _)), _) => name.clone(),
        (None, Some((_, host))) if all.contains_key("default") => host.into(),
        _ => "default".to_owned(),
    }
}

async fn logout(
    run: &mut Run<'_>,
    matches: &ArgMatches,
) -> Result<(), Failure> {
    let operation = operation(run, "logout")?;
    let path = config::path(matches)?;
    let mut contexts = config::read(&path)?;
    let name = matches.get_one::<String>("context").cloned();
    let name = name.or_else(|| contexts.current.clone()).unwrap_or_default();
    let Some(context) = contexts.contexts.get_mut(&name) else {
        let text = match name.as_str() {
            "" => "no context is in use".to_owned(),
            name => format!("no context named `{name}`"),
        };
        return Err(Failure::new(Code::NotFound, text));
    };
    let target = Target {
        url: address(&context.url)?,
        token: context.token.take(),
        ca_file: context.ca_file.clone(),
    };
    if target.token.is_none() {
        let url = &target.url;
        run.screen.note(&format!("not logged in to {url} ({name})"));
        return Ok(());
    }
    let url = target.url.clone();
    let fleet = Fleet::open(target, Some(fleet::timeout(matches)))?;
    match fleet.call(operation, &[], &[], None).await {
        // A session that is over already is what was asked for.
        Ok(_) => {}
        Err(failure) if failure.code == Code::Denied => {}
        Err(failure) => return Err(failure),
    }
    config::write(&path, &contexts)?;
    run.screen.note(&format!("logged out of {url} ({name})"));
    Ok(())
}
