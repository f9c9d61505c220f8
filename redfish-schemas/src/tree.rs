//! All resources of a service together, for tests: links that lead somewhere,
//! and methods that the schemas allow.

use crate::{
    check::{Lead, Problem, examine},
    csdl::{self, Kind, Object, Permission},
};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The one resource whose address may lack the slash it ends in.
const ROOT: &str = "/redfish/v1/";

/// Types of which some can be changed and some not, by what they tell: an
/// entry of the audit log has no cause to resolve.
const SOMETIMES: &[&str] = &["LogEntry"];

/// A resource as it was answered.
#[derive(Debug, Clone)]
pub struct Served {
    pub body: Value,
    /// The header `Allow`.
    pub allow: String,
}

/// Where a payload leads, without fragments: links, action infos, pages, and
/// addresses in texts.
#[must_use]
pub fn leads(payload: &Value) -> Vec<String> {
    let mut found = Vec::new();
    gather(payload, &mut found);
    found
}

fn gather(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                match value.as_str() {
                    Some("/redfish/v1") => found.push(ROOT.to_owned()),
                    Some(uri) if leads_on(name) => {
                        let path = uri.split('#').next().unwrap_or(uri);
                        found.push(path.to_owned());
                    }
                    _ => gather(value, found),
                }
            }
        }
        Value::Array(values) => {
            for value in values {
                gather(value, found);
            }
        }
        _ => {}
    }
}

fn leads_on(name: &str) -> bool {
    name == "@odata.id"
        || name == "@Redfish.ActionInfo"
        || name == "DataSourceUri"
        || name.ends_with("@odata.nextLink")
}

/// All that is wrong with the resources of a service, each with its address.
#[must_use]
pub fn check_tree(tree: &BTreeMap<String, Served>) -> Vec<Problem> {
    let mut found = Vec::new();
    for (uri, served) in tree {
        let (mut problems, leads) = examine(&served.body);
        // A page of a collection has a query; it is the collection still.
        let path = uri.split('?').next().unwrap_or(uri);
        if text_of(served, "@odata.id") != path {
            problems.push(problem("/@odata.id", "is not where it was asked"));
        }
        let wrong = leads.iter().filter_map(|lead| astray(tree, lead));
        problems.extend(wrong);
        problems.extend(methods(served));
        found.extend(problems.into_iter().map(|it| Problem {
            pointer: format!("{uri}#{}", it.pointer),
            text: it.text,
        }));
    }
    found
}

fn problem(pointer: &str, text: impl Into<String>) -> Problem {
    Problem { pointer: pointer.to_owned(), text: text.into() }
}

/// What is wrong with where a link leads.
fn astray(tree: &BTreeMap<String, Served>, lead: &Lead) -> Option<Problem> {
    let uri = &lead.uri;
    let (path, fragment) = uri.split_once('#').unwrap_or((uri, ""));
    let say = |text: String| Some(problem(&lead.pointer, text));
    let path = if path == "/redfish/v1" { ROOT } else { path };
    let Some(there) = tree.get(path) else {
        return say(format!("leads to {path}, where nothing is"));
    };
    if there.body.pointer(fragment).is_none() {
        return say(format!("leads to {uri}, where nothing is"));
    }
    let of = type_of(there);
    match lead.of {
        Some(wanted) if fragment.is_empty() && !fits(wanted, of) => {
            say(format!("leads to a {of}, not a {wanted}"))
        }
        _ => None,
    }
}

/// Whether a resource may be where the schema wants a `wanted`.
fn fits(wanted: &str, of: &str) -> bool {
    match wanted {
        "Item" | "Resource" | "ReferenceableMember" => true,
        "ResourceCollection" => of.ends_with("Collection"),
        _ => wanted == of,
    }
}

/// What is wrong with the methods that a resource offers.
fn methods(served: &Served) -> Vec<Problem> {
    let Some(of) = csdl::type_named(type_of(served)) else {
        return Vec::new();
    };
    let offered: Vec<_> = served.allow.split(',').map(str::trim).collect();
    let mut found = Vec::new();
    for method in ["GET", "HEAD"] {
        if !offered.contains(&method) {
            found.push(problem("", format!("does not allow {method}")));
        }
    }
    let may = [
        ("POST", of.insertable),
        ("PATCH", of.updatable),
        ("PUT", of.updatable),
        ("DELETE", of.deletable),
    ];
    for (method, may) in may {
        if offered.contains(&method) && !may {
            let text = format!("allows {method}, and its schema does not");
            found.push(problem("", text));
        }
    }
    let sometimes = SOMETIMES.contains(&of.name);
    if offered.contains(&"PATCH") && !sometimes && !shows_writable(served) {
        found.push(problem("", "allows PATCH, and shows nothing to write"));
    }
    found
}

/// The name of a resource's type, without its version.
fn type_of(served: &Served) -> &str {
    text_of(served, "@odata.type").rsplit('.').next().unwrap_or_default()
}

/// The text of a property, empty where there is none.
fn text_of<'a>(served: &'a Served, name: &str) -> &'a str {
    served.body.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn shows_writable(served: &Served) -> bool {
    let of = csdl::type_named(type_of(served));
    let body = served.body.as_object();
    of.zip(body).is_some_and(|(of, body)| writable(of.object, body))
}

/// Whether the schema lets a client write any of what a payload shows.
fn writable(object: &Object, body: &Map<String, Value>) -> bool {
    object.properties.iter().any(|property| {
        let Some(value) = body.get(property.name()) else { return false };
        match property.kind {
            Kind::Object(inner) => {
                let all = match value {
                    Value::Array(values) => values.as_slice(),
                    value => std::slice::from_ref(value),
                };
                let mut all = all.iter().filter_map(Value::as_object);
                all.any(|body| writable(inner, body))
            }
            Kind::Excerpt(_) | Kind::Link(_) => false,
            _ => property.permission != Permission::Read,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn tree() -> BTreeMap<String, Served> {
        let of = |name: &str| csdl::type_named(name).unwrap().odata_type();
        let all = [
            json!({
                "@odata.id": "/redfish/v1/Chassis",
                "@odata.type": of("ChassisCollection"),
                "Name": "Chassis",
                "Members@odata.count": 1,
                "Members": [{"@odata.id": "/redfish/v1/Chassis/1"}],
            }),
            json!({
                "@odata.id": "/redfish/v1/Chassis/1",
                "@odata.type": of("Chassis"),
                "Id": "1",
                "Name": "Chassis",
                "ChassisType": "Blade",
                "AssetTag": "a",
                "EnvironmentMetrics":
                    {"@odata.id": "/redfish/v1/Chassis/1/EnvironmentMetrics"},
            }),
            json!({
                "@odata.id": "/redfish/v1/Chassis/1/EnvironmentMetrics",
                "@odata.type": of("EnvironmentMetrics"),
                "Id": "EnvironmentMetrics",
                "Name": "Environment",
                "TemperatureCelsius": {
                    "DataSourceUri": "/redfish/v1/Chassis/1",
                    "Reading": 40.5,
                },
            }),
        ];
        let serve = |body: Value| {
            let uri = body["@odata.id"].as_str().unwrap().to_owned();
            (uri, Served { body, allow: "GET, HEAD".to_owned() })
        };
        all.into_iter().map(serve).collect()
    }

    fn texts(tree: &BTreeMap<String, Served>) -> Vec<String> {
        let say = |it: Problem| format!("{} {}", it.pointer, it.text);
        check_tree(tree).into_iter().map(say).collect()
    }

    fn at<'a>(
        tree: &'a mut BTreeMap<String, Served>,
        end: &str,
    ) -> &'a mut Served {
        tree.get_mut(&format!("/redfish/v1/Chassis{end}")).unwrap()
    }

    #[test]
    fn finds_nothing_wrong_with_a_proper_tree() {
        let mut tree = tree();
        at(&mut tree, "/1").allow = "GET, HEAD, PATCH".to_owned();
        assert_eq!(check_tree(&tree), []);
    }

    #[test]
    fn a_link_to_nothing_and_one_to_the_wrong_type_are_found() {
        let mut tree = tree();
        let chassis = at(&mut tree, "/1");
        chassis.body["EnvironmentMetrics"]["@odata.id"] =
            json!("/redfish/v1/Chassis");
        chassis.body["Sensors"] = json!({"@odata.id": "/redfish/v1/Nowhere"});
        let metrics = at(&mut tree, "/1/EnvironmentMetrics");
        metrics.body["TemperatureCelsius"]["DataSourceUri"] =
            json!("/redfish/v1/Chassis/1#/Mood");
        assert_eq!(
            texts(&tree),
            [
                "/redfish/v1/Chassis/1#/EnvironmentMetrics leads to a \
                 ChassisCollection, not a EnvironmentMetrics",
                "/redfish/v1/Chassis/1#/Sensors leads to \
                 /redfish/v1/Nowhere, where nothing is",
                "/redfish/v1/Chassis/1/EnvironmentMetrics\
                 #/TemperatureCelsius/DataSourceUri leads to \
                 /redfish/v1/Chassis/1#/Mood, where nothing is",
            ]
        );
    }

    #[test]
    fn a_method_that_the_schema_does_not_know_is_found() {
        let mut tree = tree();
        at(&mut tree, "/1/EnvironmentMetrics").allow =
            "GET, PATCH, DELETE".to_owned();
        assert_eq!(
            texts(&tree),
            [
                "/redfish/v1/Chassis/1/EnvironmentMetrics# \
                 does not allow HEAD",
                "/redfish/v1/Chassis/1/EnvironmentMetrics# \
                 allows DELETE, and its schema does not",
                "/redfish/v1/Chassis/1/EnvironmentMetrics# \
                 allows PATCH, and shows nothing to write",
            ]
        );
    }

    #[test]
    fn a_resource_that_says_to_be_elsewhere_is_found() {
        let mut tree = tree();
        let chassis = tree["/redfish/v1/Chassis/1"].clone();
        tree.insert("/redfish/v1/Chassis/2".to_owned(), chassis);
        assert_eq!(
            texts(&tree),
            ["/redfish/v1/Chassis/2#/@odata.id is not where it was asked"]
        );
    }

    #[test]
    fn all_that_leads_on_is_followed() {
        let payload = json!({
            "Members": [{"@odata.id": "/a"}, {"@odata.id": "/b#/c"}],
            "Members@odata.nextLink": "/d",
            "Actions": {"#A.B": {"@Redfish.ActionInfo": "/e"}},
        });
        assert_eq!(leads(&payload), ["/a", "/b", "/d", "/e"]);
    }
}
