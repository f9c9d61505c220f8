//! From what people write – URIs with wildcards and a JSON pointer – to the
//! properties there are.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{Host, PROPERTIES, config::Wildcard, metric};
use crate::model::{Id, Snapshot};

/// A property that is a metric.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Property {
    /// `/redfish/v1/Chassis/blade/Sensors/CPU#/Reading`.
    pub(crate) path: Arc<str>,
    /// The `MetricDefinition` that it belongs to.
    pub(crate) metric: Option<&'static str>,
    pub(crate) source: Source,
}

/// Where its value comes from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Source {
    /// The reading of a sensor, straight from the model.
    Sensor(Id),
    /// Whatever the resource at the part before `#` says.
    Resource,
}

impl Property {
    /// The URI of the resource and the JSON pointer in it.
    pub(crate) fn parts(&self) -> (&str, &str) {
        self.path.split_once('#').unwrap_or((&self.path, ""))
    }
}

/// Why something does not lead to a property.
#[derive(Debug, PartialEq)]
pub(crate) struct Lost {
    /// What was looked for, as far as it is known.
    pub(crate) what: String,
    pub(crate) why: String,
}

fn lost<T>(what: &str, why: impl Into<String>) -> Result<T, Lost> {
    Err(Lost { what: what.to_owned(), why: why.into() })
}

/// Looks for properties in what is served now.
pub(crate) struct Resolver<'a> {
    pub(crate) host: &'a dyn Host,
    pub(crate) snapshot: &'a Snapshot,
}

/// A way through the template, with what the wildcards stand for.
#[derive(Clone)]
struct Way<'t> {
    path: String,
    bound: Vec<(&'t str, String)>,
    /// It came from a `*`, so that it may lead nowhere.
    open: bool,
}

impl Resolver<'_> {
    /// The properties of the metric `id`.
    pub(crate) fn metric(&self, id: &str) -> Result<Vec<Property>, Lost> {
        if let Some(metric) = metric::of_manager(id) {
            return self.expand(&metric.path(self.snapshot), &[]);
        }
        let Some(metric) = metric::named(self.snapshot, id) else {
            return lost(id, "There is no such MetricDefinition.");
        };
        let sensors = metric.sensors.iter().flat_map(|(chassis, sensors)| {
            sensors.iter().map(|sensor| (&chassis.id, *sensor))
        });
        let properties = sensors.map(|(chassis, sensor)| Property {
            path: reading(chassis, &sensor.id),
            metric: Some(metric.id),
            source: Source::Sensor(sensor.id.clone()),
        });
        Ok(properties.collect())
    }

    /// The properties that `template` stands for: at least one.
    pub(crate) fn expand(
        &self,
        template: &str,
        wildcards: &[Wildcard],
    ) -> Result<Vec<Property>, Lost> {
        let form = "A URI of this service, `#`, and a JSON pointer to a \
                    property are expected.";
        let Some((path, pointer)) = template.split_once('#') else {
            return lost(template, form);
        };
        let rooted = path.starts_with("/redfish/v1/");
        if !rooted || !pointer.starts_with('/') || path.ends_with('/') {
            return lost(template, form);
        }
        let start = Way { path: String::new(), bound: Vec::new(), open: false };
        let mut ways = vec![start];
        for segment in path.split('/').skip(1) {
            ways = step(ways, segment, wildcards, template, &|way| {
                self.members(&way.path)
            })?;
        }
        let mut found = Vec::new();
        for way in ways {
            self.properties(&way, pointer, wildcards, template, &mut found)?;
        }
        if found.is_empty() {
            return lost(template, "Nothing there is has such a property.");
        }
        Ok(found)
    }

    /// Finds the properties of one resource.
    fn properties<'t>(
        &self,
        way: &Way<'t>,
        pointer: &'t str,
        wildcards: &'t [Wildcard],
        template: &str,
        found: &mut Vec<Property>,
    ) -> Result<(), Lost> {
        let uri = &way.path;
        let nowhere = |what: String, why: &str| {
            if way.open { Ok(()) } else { lost(&what, why) }
        };
        if pointer == "/Reading"
            && let Some((chassis, id)) = sensor_at(uri)
        {
            let chassis = self.snapshot.chassis(chassis);
            let sensor = chassis.and_then(|it| it.sensor(id));
            let Some(sensor) = sensor else {
                let what = format!("{uri}#{pointer}");
                return nowhere(what, "There is no such sensor.");
            };
            let property = Property {
                path: format!("{uri}#{pointer}").into(),
                metric: Some(metric::of(sensor).0),
                source: Source::Sensor(sensor.id.clone()),
            };
            return keep(property, template, found);
        }
        let Some(body) = self.host.resource(uri) else {
            let what = format!("{uri}#{pointer}");
            return nowhere(what, "There is no such resource.");
        };
        let body = Value::Object(body);
        let start = Way { path: String::new(), ..way.clone() };
        let mut ways = vec![start];
        for segment in pointer.split('/').skip(1) {
            ways = step(ways, segment, wildcards, template, &|way| match body
                .pointer(&way.path)?
            {
                Value::Array(items) => {
                    Some((0..items.len()).map(|i| i.to_string()).collect())
                }
                Value::Object(members) => Some(names(members)),
                _ => None,
            })?;
        }
        for inner in ways {
            let what = format!("{uri}#{}", inner.path);
            match body.pointer(&inner.path) {
                None if inner.open => {}
                None => {
                    return lost(&what, "The resource has no such property.");
                }
                Some(Value::Object(_)) => {
                    return lost(&what, "This is no property but an object.");
                }
                Some(_) => {
                    let metric = metric::at(self.snapshot, &what);
                    let path = what.into();
                    let source = Source::Resource;
                    let property = Property { path, metric, source };
                    keep(property, template, found)?;
                }
            }
        }
        Ok(())
    }

    /// The last segments of the members of the collection at `uri`.
    fn members(&self, uri: &str) -> Option<Vec<String>> {
        let body = self.host.resource(uri)?;
        let members = body.get("Members")?.as_array()?.iter();
        let ids = members.filter_map(|member| {
            let uri = member.get("@odata.id")?.as_str()?;
            Some(uri.rsplit('/').next()?.to_owned())
        });
        Some(ids.collect())
    }
}

fn names(members: &Map<String, Value>) -> Vec<String> {
    let names = members.keys().filter(|name| !name.contains('@'));
    names.map(|name| name.replace('~', "~0").replace('/', "~1")).collect()
}

fn keep(
    property: Property,
    template: &str,
    found: &mut Vec<Property>,
) -> Result<(), Lost> {
    if found.len() >= PROPERTIES {
        return too_many(template);
    }
    found.push(property);
    Ok(())
}

fn too_many<T>(template: &str) -> Result<T, Lost> {
    let why = format!("It stands for more than {PROPERTIES} properties.");
    lost(template, why)
}

/// All ways one segment further.
fn step<'t>(
    ways: Vec<Way<'t>>,
    segment: &'t str,
    wildcards: &'t [Wildcard],
    template: &str,
    all: &dyn Fn(&Way<'t>) -> Option<Vec<String>>,
) -> Result<Vec<Way<'t>>, Lost> {
    let mut next = Vec::new();
    for way in ways {
        let (text, missing) = fill(segment, &way.bound);
        let Some(name) = missing else {
            let path = format!("{}/{text}", way.path);
            next.push(Way { path, ..way });
            continue;
        };
        let wildcard = wildcards.iter().find(|it| it.name == name);
        let Some(wildcard) = wildcard else {
            let why =
                format!("There is no member `{name}` of `Wildcards` for it.");
            return lost(template, why);
        };
        let any = wildcard.values.is_empty() || wildcard.values == ["*"];
        let values = if !any {
            wildcard.values.clone()
        } else if segment == format!("{{{name}}}") {
            all(&way).unwrap_or_default()
        } else {
            let why = "A wildcard for everything has to be a whole segment.";
            return lost(template, why);
        };
        let mut tried = Vec::new();
        for value in values {
            let mut bound = way.bound.clone();
            bound.push((name, value));
            let open = way.open || any;
            tried.push(Way { path: way.path.clone(), bound, open });
        }
        // There may be a second wildcard in the same segment.
        next.extend(step(tried, segment, wildcards, template, all)?);
        if next.len() > PROPERTIES {
            return too_many(template);
        }
    }
    Ok(next)
}

/// The segment with what is known put in, and the first wildcard that is not.
fn fill<'t>(
    segment: &'t str,
    bound: &[(&str, String)],
) -> (String, Option<&'t str>) {
    let mut text = String::new();
    let mut rest = segment;
    while let Some((before, after)) = rest.split_once('{') {
        let Some((name, after)) = after.split_once('}') else { break };
        text.push_str(before);
        match bound.iter().find(|(known, _)| *known == name) {
            Some((_, value)) => text.push_str(value),
            None => return (text, Some(name)),
        }
        rest = after;
    }
    text.push_str(rest);
    (text, None)
}

/// The path of the reading of a sensor.
pub(crate) fn reading(chassis: &str, sensor: &str) -> Arc<str> {
    format!("/redfish/v1/Chassis/{chassis}/Sensors/{sensor}#/Reading").into()
}

/// The ids of the chassis and the sensor at `uri`, if it is a sensor's.
fn sensor_at(uri: &str) -> Option<(&str, &str)> {
    let rest = uri.strip_prefix("/redfish/v1/Chassis/")?;
    let (chassis, rest) = rest.split_once('/')?;
    let id = rest.strip_prefix("Sensors/")?;
    (!id.contains('/')).then_some((chassis, id))
}
