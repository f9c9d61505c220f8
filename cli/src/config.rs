//! Contexts: the fleets one works with, in one file that only its owner reads.

use std::{
    collections::BTreeMap,
    env, fs,
    io::Write as _,
    net::IpAddr,
    path::{Path, PathBuf},
};

use clap::{ArgMatches, parser::ValueSource};
use reqwest::Url;
use serde::{Deserialize, Serialize};

use crate::failure::{Code, Failure};

/// Where a fleet is when nothing else is said.
const DEFAULT_URL: &str = "http://127.0.0.1:8080";

/// The file's content.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Contexts {
    /// The context in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) current: Option<String>,
    pub(crate) contexts: BTreeMap<String, Context>,
}

/// A fleet and who one is there.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Context {
    pub(crate) url: String,
    /// The account the token belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) account: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) token: Option<String>,
    /// Certificates to trust beside the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ca_file: Option<PathBuf>,
}

/// Whom to talk to, and as whom.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) url: String,
    pub(crate) token: Option<String>,
    pub(crate) ca_file: Option<PathBuf>,
}

/// The path of the file.
pub(crate) fn path(matches: &ArgMatches) -> Result<PathBuf, Failure> {
    if let Some(path) = matches.get_one::<PathBuf>("config") {
        return Ok(path.clone());
    }
    let folder = |name: &str| {
        let value = env::var_os(name).filter(|value| !value.is_empty())?;
        Some(PathBuf::from(value))
    };
    folder("XDG_CONFIG_HOME")
        .or_else(|| Some(folder("HOME")?.join(".config")))
        .map(|folder| folder.join("onprem").join("config.toml"))
        .ok_or_else(|| {
            Failure::other("neither HOME nor XDG_CONFIG_HOME is set")
                .hint("say where the contexts are: --config FILE")
        })
}

/// Reads the file; without one, there are no contexts.
pub(crate) fn read(path: &Path) -> Result<Contexts, Failure> {
    let what = || format!("cannot read {}", path.display());
    match fs::read_to_string(path) {
        Ok(text) => toml::from_str(&text).map_err(|error| {
            // The error's own text would show the line, and a token with it.
            let before = error.span().and_then(|span| text.get(..span.start));
            let line = before.unwrap_or_default().matches('\n').count() + 1;
            let path = path.display();
            let text = format!("{path}:{line}: {}", error.message());
            Failure::new(Code::Invalid, text)
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Ok(Contexts::default())
        }
        Err(error) => Err(Failure::because(&what(), &error)),
    }
}

/// Replaces the file, so that it is whole at any instant and its owner's.
pub(crate) fn write(path: &Path, contexts: &Contexts) -> Result<(), Failure> {
    let text = toml::to_string_pretty(contexts)
        .map_err(|e| Failure::because("cannot write the contexts", &e))?;
    let store = || -> std::io::Result<()> {
        let folder = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        // The mode of such a file is 0600.
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(text.as_bytes())?;
        file.as_file().sync_all()?;
        // A link to the file stays one.
        file.persist(path.canonicalize().as_deref().unwrap_or(path))?;
        Ok(())
    };
    let what = format!("cannot write {}", path.display());
    store().map_err(|error| Failure::because(&what, &error))
}

impl Target {
    /// Where a fleet is when nothing else is said.
    pub(crate) fn default_url() -> String {
        DEFAULT_URL.to_owned()
    }

    /// What flags, environment and contexts say together.
    pub(crate) fn find(matches: &ArgMatches) -> Result<Self, Failure> {
        // What is said now goes before what the environment says for every
        // command.
        let by_name = is_said(matches, "context") && !is_said(matches, "url");
        let lasting = match variable("ONPREM_URL") {
            Some(url) if !by_name => Some(address(&url)?),
            _ => None,
        };
        let url = match matches.get_one::<String>("url") {
            Some(url) if is_said(matches, "url") => Some(address(url)?),
            _ => lasting.clone(),
        };
        // A token is for the fleet that gave it, and for no other.
        let elsewhere = by_name || (lasting.is_some() && lasting != url);
        let token = token(matches, elsewhere)?;
        let wanted = matches.get_one::<String>("context");
        let wanted = wanted.filter(|name| !name.is_empty());
        let ca_file = matches.get_one::<PathBuf>("ca-file").cloned();
        if let (Some(url), Some(token), None) = (&url, &token, wanted) {
            // Nothing of the file is needed.
            return Ok(Self {
                url: url.clone(),
                token: Some(token.clone()),
                ca_file,
            });
        }
        let contexts = match path(matches) {
            Ok(path) => read(&path)?,
            Err(_) if wanted.is_none() => Contexts::default(),
            Err(failure) => return Err(failure),
        };
        let name = wanted.or(contexts.current.as_ref()).cloned();
        let context = match &name {
            None => None,
            Some(name) => {
                Some(contexts.contexts.get(name).ok_or_else(|| {
                    Failure::new(
                        Code::NotFound,
                        format!("no context named `{name}`"),
                    )
                    .hint("`onprem context list` shows those there are")
                })?)
            }
        };
        let known = match context {
            Some(context) => Some(address(&context.url)?),
            None => None,
        };
        let url = url.or_else(|| known.clone());
        let url = url.unwrap_or_else(Self::default_url);
        let context = context.filter(|_| known.as_ref() == Some(&url));
        Ok(Self {
            token: token.or_else(|| context?.token.clone()),
            ca_file: ca_file.or_else(|| context?.ca_file.clone()),
            url,
        })
    }
}

/// Whether a flag stands on the command line, and not in the environment.
pub(crate) fn is_said(matches: &ArgMatches, flag: &str) -> bool {
    matches.value_source(flag) == Some(ValueSource::CommandLine)
}

/// Where a fleet is, in the one form that can be compared.
pub(crate) fn address(text: &str) -> Result<String, Failure> {
    let wrong = || {
        Failure::usage(format!("`{text}` is no address of a fleet"))
            .hint("an address looks like http://127.0.0.1:8080")
    };
    let url = Url::parse(text).map_err(|_| wrong())?;
    let named = url.username().is_empty() && url.password().is_none();
    let bare = url.query().is_none() && url.fragment().is_none();
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(wrong());
    }
    if !named || !bare {
        // What is wrong with it may be a secret.
        return Err(Failure::usage(
            "the address of a fleet has no user, query or fragment",
        ));
    }
    if url.scheme() == "http" && !is_here(&url) {
        let text = format!("`{text}` would show what is sent to everybody");
        return Err(Failure::usage(text)
            .hint("use https; http is for a fleet on this machine"));
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// Whether `url` is on this machine.
pub(crate) fn is_here(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    match host.parse::<IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => host == "localhost",
    }
}

/// Whether `token` is what the environment says.
pub(crate) fn is_of_environment(token: &str) -> bool {
    variable("ONPREM_TOKEN").is_some_and(|own| own == token)
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|text| !text.is_empty())
}

/// The token of the environment, unless that is of a fleet `elsewhere`, or of
/// a file; never an argument, which other users of the machine could read.
fn token(
    matches: &ArgMatches,
    elsewhere: bool,
) -> Result<Option<String>, Failure> {
    if elsewhere && !is_said(matches, "token-file") {
        return Ok(None);
    }
    let Some(path) = matches.get_one::<PathBuf>("token-file") else {
        return Ok(variable("ONPREM_TOKEN"));
    };
    match secret_of(path)? {
        token if token.is_empty() => Err(Failure::new(
            Code::Invalid,
            format!("there is no token in {}", path.display()),
        )),
        token => Ok(Some(token)),
    }
}

/// The first line of the file at `path`; `-` is stdin.
pub(crate) fn secret_of(path: &Path) -> Result<String, Failure> {
    let what = format!("cannot read {}", path.display());
    let text = if path == Path::new("-") {
        std::io::read_to_string(std::io::stdin())
    } else {
        fs::read_to_string(path)
    };
    let text = text.map_err(|error| Failure::because(&what, &error))?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}
