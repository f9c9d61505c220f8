//! `curl`: a Redfish request to a device, as it is.

use std::{fs, path::Path};

use clap::{Arg, ArgAction, ArgMatches, Command};
use futures_util::StreamExt as _;
use onprem_description::PageModel;
use reqwest::{
    Method, Response, Url,
    header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
};

use crate::{
    build::switch,
    failure::{Code, Failure},
    fleet::{self, Fleet},
    run::{Entry, Run},
};

pub(crate) const ENTRY: Entry = Entry {
    name: "curl",
    build,
    run: |run, matches| Box::pin(curl(run, matches)),
};

fn build(_: &'static PageModel) -> Command {
    Command::new("curl")
        .about("Send a Redfish request to a device")
        .long_about(
            "Send a Redfish request to a device\n\n\
             PATH is the device's own, such as /redfish/v1/Systems, or what \
             follows /redfish/v1. The answer is printed as it came.",
        )
        .args([
            Arg::new("device")
                .value_name("DEVICE")
                .required(true)
                .help("Its id or its name"),
            Arg::new("path")
                .value_name("PATH")
                .default_value("/redfish/v1/")
                .help("What to ask for"),
            Arg::new("request")
                .long("request")
                .short('X')
                .value_name("METHOD")
                .help("The method; GET, or POST with data"),
            Arg::new("data")
                .long("data")
                .short('d')
                .value_name("BODY")
                .help("What to send; `@FILE` for a file, `@-` for stdin"),
            Arg::new("header")
                .long("header")
                .short('H')
                .value_name("NAME: VALUE")
                .action(ArgAction::Append)
                .help("Another header"),
            switch("include", "Print status and headers as well").short('i'),
        ])
}

/// The path under which a resource of a device is reached; none if it leads
/// away from the device.
pub(crate) fn device_path(device: &str, path: &str) -> Option<String> {
    let rest = match path.strip_prefix("/redfish/v1") {
        Some(rest) if rest.is_empty() || rest.starts_with(['/', '?']) => rest,
        None if path != "/redfish" && !path.starts_with("/redfish/") => path,
        _ => return None,
    };
    if device.is_empty() {
        return None;
    }
    let rest = rest.trim_start_matches('/');
    let mut name = String::new();
    for byte in device.bytes() {
        // Nothing in a name leads to another path.
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            name.push(char::from(byte));
        } else {
            name = format!("{name}%{byte:02X}");
        }
    }
    let root = format!("/v1/devices/{name}/redfish/v1/");
    let path = format!("{root}{rest}");
    // What `..` does in its many spellings is the address's business.
    let url = Url::parse(&format!("http://fleet{path}")).ok()?;
    url.path().starts_with(&root).then_some(path)
}

async fn curl(run: &mut Run<'_>, matches: &ArgMatches) -> Result<(), Failure> {
    let text = |id: &str| matches.get_one::<String>(id).map(String::as_str);
    let data = text("data").map(data_of).transpose()?;
    let method = text("request").map_or_else(
        || if data.is_some() { "POST".into() } else { "GET".into() },
        str::to_uppercase,
    );
    let method = Method::from_bytes(method.as_bytes())
        .map_err(|_| Failure::usage(format!("`{method}` is no method")))?;
    let (device, path) = (text("device"), text("path"));
    let (device, path) = (device.unwrap_or_default(), path.unwrap_or_default());
    let path = device_path(device, path).ok_or_else(|| {
        Failure::usage(format!("`{path}` is no resource of `{device}`"))
            .hint("a path begins with /redfish/v1/")
    })?;

    let fleet = Fleet::patient(matches)?;
    let mut request = fleet.request(method, &path);
    let mut headers = HeaderMap::new();
    if let Some(data) = data {
        request = request.body(data);
        let json = HeaderValue::from_static("application/json");
        headers.insert(CONTENT_TYPE, json);
    }
    let mut said = HeaderMap::new();
    for header in matches.get_many::<String>("header").into_iter().flatten() {
        let wrong = || Failure::usage(format!("`{header}` is no header"));
        let (name, value) = header.split_once(':').ok_or_else(wrong)?;
        let name = HeaderName::from_bytes(name.trim().as_bytes())
            .map_err(|_| wrong())?;
        let value = HeaderValue::from_str(value.trim()).map_err(|_| wrong())?;
        said.append(name, value);
    }
    // What is said takes the place of what would be sent.
    let answer = request.headers(headers).headers(said).send();
    let patience = fleet::timeout(matches);
    let answer =
        tokio::time::timeout(patience, answer).await.map_err(|_| {
            let url = &fleet.target.url;
            Failure::new(Code::Offline, format!("no answer from {url} in time"))
        })?;
    let answer = answer.map_err(|error| fleet.unreached(&error))?;
    let status = answer.status();
    if matches.get_flag("include") {
        head(run, &answer)?;
    }
    let mut ends_line = true;
    let mut body = answer.bytes_stream();
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|error| fleet.unreached(&error))?;
        ends_line = chunk.last().is_none_or(|last| *last == b'\n');
        run.screen.write(&chunk)?;
        // What comes bit by bit (events) is shown bit by bit.
        run.screen.flush()?;
    }
    if !ends_line {
        run.screen.write(b"\n")?;
    }
    if status.is_success() || status.is_redirection() {
        return Ok(());
    }
    let code = Code::of_status(status);
    Err(Failure::new(code, format!("the answer is {status}")))
}

fn head(run: &mut Run<'_>, answer: &Response) -> Result<(), Failure> {
    run.screen.print(&format!("{:?} {}", answer.version(), answer.status()))?;
    for (name, value) in answer.headers() {
        run.screen.write(format!("{name}: ").as_bytes())?;
        run.screen.write(value.as_bytes())?;
        run.screen.write(b"\n")?;
    }
    run.screen.write(b"\n")
}

fn data_of(text: &str) -> Result<Vec<u8>, Failure> {
    let Some(path) = text.strip_prefix('@') else {
        return Ok(text.as_bytes().to_vec());
    };
    let read = if path == "-" {
        let mut all = Vec::new();
        std::io::Read::read_to_end(&mut std::io::stdin(), &mut all).map(|_| all)
    } else {
        fs::read(Path::new(path))
    };
    read.map_err(|error| {
        Failure::because(&format!("cannot read {path}"), &error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_the_devices_own_or_what_follows_the_root() {
        let expected = "/v1/devices/a/redfish/v1/Systems";
        for path in ["/redfish/v1/Systems", "/Systems", "Systems"] {
            assert_eq!(device_path("a", path).as_deref(), Some(expected));
        }
        assert_eq!(
            device_path("a/../b", "/redfish/v1/").as_deref(),
            Some("/v1/devices/a%2F..%2Fb/redfish/v1/")
        );
    }

    #[test]
    fn no_path_leads_away_from_the_device() {
        for path in [
            "/redfish/v1/../../../accounts",
            "/redfish/v1/%2e%2E/x",
            "/redfish/v1/..\\..\\x",
            "/redfish/v1x",
            "/redfish/../x",
            "/redfish",
            "..",
        ] {
            assert_eq!(device_path("a", path), None, "{path}");
        }
        for device in ["", ".", ".."] {
            assert_eq!(device_path(device, "/redfish/v1/"), None);
        }
    }
}
