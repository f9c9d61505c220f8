//! The action `OnPremChassis.Capture`: from its parameters to a request.

use std::time::Duration;

use onprem_redfish::message::base;
use serde_json::Value;

use crate::{
    model::{
        CaptureFault, CaptureRequest, Generator, Input, Instrument, Reduction,
        Slope, Source, Trigger, Wave,
    },
    redfish::{
        error::Error,
        resource::{Acted, Write},
    },
};

/// The action of a chassis with an instrument.
pub(crate) const CAPTURE: &str = "Oem/OnPremChassis.Capture";

/// Its parameters.
pub(crate) const PARAMETERS: &[&str] = &[
    "/Instrument",
    "/Channels",
    "/SampleRateHz",
    "/Samples",
    "/PreTriggerSamples",
    "/RangeVolts",
    "/TraceMode",
    "/DumpMode",
    "/SamplesPerValue",
    SOURCE,
    "/TriggerType",
    "/TriggerLevelVolts",
    "/TriggerPattern",
    "/TriggerFilterSamples",
    "/TriggerDelayMicroseconds",
    "/TriggerTimeoutSeconds",
    "/TriggerMode",
    FUNCTION,
    "/GeneratorFrequencyHz",
    "/GeneratorLevelVolts",
    "/GeneratorOffsetVolts",
    "/GeneratorDutyPercent",
];
const SOURCE: &str = "/TriggerSource";
const FUNCTION: &str = "/GeneratorFunction";

/// The longest that a trigger can be waited for, in seconds.
const LONGEST: f64 = 60.0;
/// What is taken where nothing is said.
const RATE: f64 = 1e6;
const SAMPLES: u32 = 1000;
const PATIENCE: f64 = 5.0;
const FILTER: u32 = 2;

/// What an instrument said of a value.
pub(super) fn refused(fault: &CaptureFault) -> Error {
    let CaptureFault { field, value, allowed } = fault;
    let name = CAPTURE.trim_start_matches("Oem/");
    let message = base::action_parameter_value_error(*field, name);
    let advice = format!("{field} is {value}: {allowed}.");
    let message = message.resolved_by(advice).about(format!("/{field}"));
    Error::bad(vec![message])
}

fn fault(
    field: &'static str,
    value: impl Into<String>,
    allowed: &str,
) -> Error {
    let (value, allowed) = (value.into(), allowed.to_owned());
    refused(&CaptureFault { field, value, allowed })
}

/// The number at a JSON pointer, or another.
fn number(write: &Write<'_>, pointer: &str, usual: f64) -> f64 {
    let value = write.values.get(pointer).and_then(Value::as_f64);
    value.unwrap_or(usual)
}

fn whole(
    write: &Write<'_>,
    pointer: &'static str,
    usual: u32,
) -> Result<u32, Error> {
    let Some(value) = write.values.get(pointer) else { return Ok(usual) };
    let number = value.as_u64().and_then(|it| u32::try_from(it).ok());
    let field = pointer.trim_start_matches('/');
    number.ok_or_else(|| fault(field, value.to_string(), "0 to 4294967295"))
}

/// Starts to record.
pub(crate) fn capture(write: &Write<'_>) -> Result<Acted, Error> {
    let service = write.service;
    let snapshot = service.model.snapshot();
    let chassis = snapshot.chassis(write.id(0)).ok_or_else(Error::internal)?;
    let instrument = instrument(write, &chassis.instruments)?;
    let request = request(write, instrument)?;
    let by = &service.instruments;
    by.check(&instrument.id, &request)?;
    let ids = [chassis.id.clone(), instrument.id.clone()];
    let (itself, by) = (service.itself.clone(), std::sync::Arc::clone(by));
    Ok(Acted::Task(service.captures.work(itself, by, ids, request)))
}

fn instrument<'a>(
    write: &Write<'_>,
    there: &'a [Instrument],
) -> Result<&'a Instrument, Error> {
    let name = CAPTURE.trim_start_matches("Oem/");
    if there.is_empty() {
        let message = base::action_not_supported(name);
        return Err(Error::bad(vec![message]));
    }
    let Some(wanted) = write.text("/Instrument") else {
        if let [only] = there {
            return Ok(only);
        }
        let message = base::action_parameter_missing(name, "Instrument");
        return Err(Error::bad(vec![message]));
    };
    let found = there.iter().find(|it| &*it.id == wanted);
    found.ok_or_else(|| {
        let all: Vec<&str> = there.iter().map(|it| &*it.id).collect();
        let allowed = format!("one of {}", all.join(", "));
        fault("Instrument", wanted, &allowed)
    })
}

fn request(
    write: &Write<'_>,
    instrument: &Instrument,
) -> Result<CaptureRequest, Error> {
    let names = write.texts("/Channels");
    let names = names.unwrap_or_else(|| vec!["A".to_owned()]);
    let mut inputs = Vec::new();
    for name in names {
        let input: Input = name.parse().map_err(|()| {
            fault("Channels", &*name, "name some of A, B and L0 to L7")
        })?;
        if !inputs.contains(&input) {
            inputs.push(input);
        }
    }
    let rate = number(write, "/SampleRateHz", RATE);
    if rate <= 0.0 {
        return Err(fault("SampleRateHz", rate.to_string(), "more than 0"));
    }
    let widest = instrument.ranges.iter().copied().fold(0.0, f64::max);
    let patience = number(write, "/TriggerTimeoutSeconds", PATIENCE);
    if !(0.0..=LONGEST).contains(&patience) {
        let (field, value) = ("TriggerTimeoutSeconds", patience.to_string());
        return Err(fault(field, value, "0 to 60"));
    }
    let block = match write.values.get("/SamplesPerValue") {
        Some(_) => Some(whole(write, "/SamplesPerValue", 1)?),
        None => None,
    };
    Ok(CaptureRequest {
        inputs,
        rate,
        samples: whole(write, "/Samples", SAMPLES)?,
        before: whole(write, "/PreTriggerSamples", 0)?,
        range: number(write, "/RangeVolts", widest),
        mode: write.text("/TraceMode").map(str::to_owned),
        reduction: write.text("/DumpMode").and_then(Reduction::named),
        block,
        trigger: trigger(write)?,
        patience: Duration::from_secs_f64(patience),
        generator: generator(write)?,
    })
}

/// What was sent of a group that makes no sense without its first parameter.
fn alone(write: &Write<'_>, first: &str, group: &str) -> Result<(), Error> {
    let mut sent = write.values.keys();
    if let Some(of) = sent.find(|it| it.starts_with(group)) {
        let name = CAPTURE.trim_start_matches("Oem/");
        let first = first.trim_start_matches('/');
        let message = base::action_parameter_missing(name, first);
        let of = of.trim_start_matches('/');
        let advice = format!("{of} has no meaning without {first}.");
        return Err(Error::bad(vec![message.resolved_by(advice)]));
    }
    Ok(())
}

fn trigger(write: &Write<'_>) -> Result<Option<Trigger>, Error> {
    let Some(source) = write.text(SOURCE) else {
        alone(write, SOURCE, "/Trigger")?;
        return Ok(None);
    };
    let level = number(write, "/TriggerLevelVolts", 0.0);
    let source = match source {
        "A" => Source::Analog(Input::A, level),
        "B" => Source::Analog(Input::B, level),
        _ => Source::Pattern(pattern(write)?),
    };
    let filter = whole(write, "/TriggerFilterSamples", FILTER)?;
    Ok(Some(Trigger {
        source,
        slope: write
            .text("/TriggerType")
            .and_then(Slope::named)
            .unwrap_or(Slope::Rising),
        filter: u16::try_from(filter).unwrap_or(u16::MAX),
        delay_us: whole(write, "/TriggerDelayMicroseconds", 0)?,
        automatic: write.text("/TriggerMode") == Some("Auto"),
    }))
}

fn pattern(write: &Write<'_>) -> Result<[Option<bool>; 8], Error> {
    let Some(text) = write.text("/TriggerPattern") else {
        let name = CAPTURE.trim_start_matches("Oem/");
        let message = base::action_parameter_missing(name, "TriggerPattern");
        return Err(Error::bad(vec![message]));
    };
    let mut pattern = [None; 8];
    for (to, c) in pattern.iter_mut().zip(text.chars()) {
        *to = match c {
            '0' => Some(false),
            '1' => Some(true),
            _ => None,
        };
    }
    Ok(pattern)
}

fn generator(write: &Write<'_>) -> Result<Option<Generator>, Error> {
    let Some(function) = write.text(FUNCTION) else {
        alone(write, FUNCTION, "/Generator")?;
        return Ok(None);
    };
    let Some(wave) = Wave::named(function) else {
        return Ok(Some(Generator::Off));
    };
    Ok(Some(Generator::On {
        wave,
        hertz: number(write, "/GeneratorFrequencyHz", 1000.0),
        volts: number(write, "/GeneratorLevelVolts", 2.0),
        offset: number(write, "/GeneratorOffsetVolts", 0.0),
        duty: number(write, "/GeneratorDutyPercent", 50.0),
    }))
}
