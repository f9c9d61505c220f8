//! `capture`: records signals with a device's instrument, and fetches them.
//!
//! What can be asked for is what the description says of `device_capture`.

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
};

use clap::{Arg, ArgMatches, Command};
use onprem_description::{Operation, PageModel, Resource};
use reqwest::Method;
use serde_json::{Map, Value};

use super::curl::device_path;
use crate::{
    build::field_flag,
    failure::Failure,
    fields,
    fleet::Fleet,
    run::{Entry, Run},
    task,
};

pub(crate) const ENTRY: Entry = Entry {
    name: "capture",
    build,
    run: |run, matches| Box::pin(capture(run, matches)),
};

/// The action that is run.
const OPERATION: &str = "device_capture";
/// Where captures are on a device.
const DATA: &str = "/redfish/v1/TelemetryService/TelemetryData";

fn operation(model: &PageModel) -> Option<(&Resource, &Operation)> {
    model.resources.iter().find_map(|resource| {
        let mut all = resource.operations();
        Some((resource, all.find(|it| it.id == OPERATION)?))
    })
}

fn build(model: &'static PageModel) -> Command {
    let body = operation(model).and_then(|(_, it)| it.body.as_ref());
    let fields = body.into_iter().flat_map(|body| &body.fields);
    let flags = fields.map(|field| {
        let flag = field_flag(format!("body.{}", field.name), field);
        // One channel is one channel.
        if field.name == "channels" { flag.alias("channel") } else { flag }
    });
    Command::new("capture")
        .about("Record signals with a device's instrument")
        .long_about(
            "Record signals with a device's instrument\n\n\
             Waits until they are recorded, and prints where they are, or \
             writes them into a file: comma-separated text, where its name \
             ends in `.csv` or `.txt`, or a sigrok session, which PulseView \
             opens, where it ends in `.sr`.",
        )
        .arg(
            Arg::new("device")
                .value_name("DEVICE")
                .required(true)
                .help("Its id or its name"),
        )
        .args(flags)
        .arg(
            Arg::new("file")
                .long("file")
                .short('o')
                .value_name("FILE")
                .help("Write the values into this file; `-` is stdout"),
        )
}

async fn capture(
    run: &mut Run<'_>,
    matches: &ArgMatches,
) -> Result<(), Failure> {
    let Some((_, operation)) = operation(run.model) else {
        return Err(Failure::usage("the fleet has no `device_capture`"));
    };
    let device = matches.get_one::<String>("device").map_or("", |it| it);
    let mut body = Map::new();
    let all = operation.body.iter().flat_map(|body| &body.fields);
    for field in all {
        let id = format!("body.{}", field.name);
        if let Some(text) = matches.get_one::<String>(&id) {
            body.insert(field.name.clone(), fields::value(field, text)?);
        }
    }
    let file = matches.get_one::<String>("file").map(String::as_str);
    let form = file.map_or(Ok("csv"), form_of)?;
    // What cannot be kept is not recorded.
    let mut output = file.filter(|file| *file != "-").map(Output::open);
    let mut output = output.take().transpose()?;
    let fleet = Fleet::of(matches)?;
    let body = Value::Object(body);
    let begun = fleet.call(operation, &[device], &[], Some(&body)).await?;
    let awaited = vec![(device.to_owned(), begun)];
    let ended = task::wait(&fleet, run.model, run.screen, awaited).await;
    let Some((_, ended)) = ended.into_iter().next() else { return Ok(()) };
    let ended = ended?;
    let result = ended.get("result").and_then(Value::as_str);
    let id = result.and_then(|text| text.rsplit(' ').next());
    let id = id.ok_or_else(|| Failure::other("the fleet names no capture"))?;
    let end = format!("capture.{form}");
    let path = device_path(device, &format!("{DATA}/{id}/{end}"));
    let path = path.ok_or_else(|| {
        Failure::other(format!("`{id}` is no capture of `{device}`"))
    })?;
    let Some(file) = file else {
        run.screen.print(&format!("{device}: recorded {id}"))?;
        run.screen.note(&format!(
            "its values: onprem curl {device} {DATA}/{id}/{end}"
        ));
        return Ok(());
    };
    let answer = fleet.send(fleet.request(Method::GET, &path)).await?;
    let bytes = answer.bytes().await.map_err(|it| fleet.unreached(&it))?;
    match &mut output {
        None => return run.screen.write(&bytes),
        Some(output) => output.write(&bytes)?,
    }
    run.screen.print(&format!("{device}: recorded {id} into {file}"))
}

/// What a file of this name holds: `csv`, or `sr`, a sigrok session.
fn form_of(file: &str) -> Result<&'static str, Failure> {
    if file == "-" {
        return Ok("csv");
    }
    let end = Path::new(file).extension();
    let is = |word| end.is_some_and(|end| end.eq_ignore_ascii_case(word));
    if is("sr") {
        return Ok("sr");
    }
    if is("csv") || is("txt") {
        return Ok("csv");
    }
    let what = format!("{file}: its name does not say what it is to hold");
    Err(Failure::usage(what).hint(
        "a name that ends in .csv or .txt gets comma-separated text, one \
         that ends in .sr a sigrok session; `-` prints text",
    ))
}

/// The file that a capture is written into; one that was made for it and
/// stays empty is taken away again.
struct Output {
    path: PathBuf,
    file: File,
    made: bool,
}

impl Output {
    fn open(name: &str) -> Result<Self, Failure> {
        let path = PathBuf::from(name);
        let made = !path.exists();
        let file = File::options().append(true).create(true).open(&path);
        let file = file.map_err(|error| {
            Failure::because(&format!("cannot write {name}"), &error)
        })?;
        Ok(Self { path, file, made })
    }

    /// Puts `bytes` in place of what is in the file.
    fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let cut = self.file.set_len(0);
        let written = cut.and_then(|()| self.file.write_all(bytes));
        written.map_err(|error| {
            let what = format!("cannot write {}", self.path.display());
            Failure::because(&what, &error)
        })?;
        self.made = false;
        Ok(())
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if self.made {
            // It is empty; that it stays would be no harm.
            let _ = fs::remove_file(&self.path);
        }
    }
}
