//! A payload against the schema, for tests of what the service answers.

use crate::{
    csdl::{self, Kind, Object, Permission, Property, Type},
    rule::{Fault, judge},
};
use serde_json::{Map, Value};

/// Something in a payload that the schema does not allow or advises against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// A JSON pointer to it.
    pub pointer: String,
    pub text: String,
}

/// A place in a payload that leads to another resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lead {
    /// A JSON pointer to it.
    pub(crate) pointer: String,
    pub(crate) uri: String,
    /// The type that has to be there, where the schema says.
    pub(crate) of: Option<&'static str>,
}

/// All that is wrong with the payload of a resource.
#[must_use]
pub fn check(payload: &Value) -> Vec<Problem> {
    examine(payload).0
}

/// All that is wrong with a payload, and where it leads.
pub(crate) fn examine(payload: &Value) -> (Vec<Problem>, Vec<Lead>) {
    let mut check = Check { problems: Vec::new(), leads: Vec::new() };
    check.resource(payload, "");
    (check.problems, check.leads)
}

/// Texts that are addresses of resources.
const LEADS: &[&str] = &["DataSourceUri", "TargetComponentURI"];

struct Check {
    problems: Vec<Problem>,
    leads: Vec<Lead>,
}

impl Check {
    fn say(&mut self, pointer: &str, text: impl Into<String>) {
        let pointer = pointer.to_owned();
        self.problems.push(Problem { pointer, text: text.into() });
    }

    fn lead(&mut self, pointer: &str, uri: &str, of: Option<&'static str>) {
        let (pointer, uri) = (pointer.to_owned(), uri.to_owned());
        self.leads.push(Lead { pointer, uri, of });
    }

    fn resource(&mut self, payload: &Value, above: &str) {
        let Value::Object(body) = payload else {
            return self.say(above, "is not an object");
        };
        let text = |name| body.get(name).and_then(Value::as_str);
        let Some(declared) = text("@odata.type") else {
            return self.say(above, "has no @odata.type");
        };
        let name = declared.rsplit('.').next().unwrap_or_default();
        let Some(found) = csdl::type_named(name) else {
            return self.say(above, format!("{declared} is not served"));
        };
        if found.odata_type() != declared {
            self.say(above, format!("{declared} is not the newest version"));
        }
        if let Some(uri) = text("@odata.id") {
            self.address(found, uri, text("Id"), above);
            self.actions(found, uri, body, above);
        } else if !found.uris.is_empty() {
            self.say(above, "has no @odata.id");
        }
        self.object(found.object, body, above);
    }

    fn address(&mut self, of: &Type, uri: &str, id: Option<&str>, above: &str) {
        let here = csdl::resource_at(uri);
        let elsewhere = here.is_none_or(|it| it.of.name != of.name);
        if elsewhere && !of.uris.is_empty() {
            self.say(above, format!("no {} lives at {uri}", of.name));
        }
        let root = uri == "/redfish/v1/";
        if uri.ends_with('/') && !root || uri.contains(['%', ' ', '?']) {
            self.say(above, format!("{uri} is no proper address"));
        }
        let segment = uri.trim_end_matches('/').rsplit('/').next();
        let member = here.is_none_or(|it| it.pattern.ends_with('}'));
        if member && id.is_some() && id != segment {
            self.say(above, format!("the Id is not the end of {uri}"));
        }
    }

    fn actions(
        &mut self,
        of: &Type,
        uri: &str,
        body: &Map<String, Value>,
        above: &str,
    ) {
        let Some(Value::Object(actions)) = body.get("Actions") else { return };
        let own = actions.get("Oem").and_then(Value::as_object);
        let own = own.into_iter().flatten().map(|it| ("Oem/", it));
        let standard = actions.iter().filter(|(it, _)| *it != "Oem");
        for (under, (name, action)) in standard.map(|it| ("", it)).chain(own) {
            let pointer = format!("{above}/Actions/{under}{name}");
            let known = name.strip_prefix('#');
            let known = known.and_then(|it| of.action(&format!("{under}{it}")));
            let Some(known) = known else {
                self.say(&pointer, "is no action of the type");
                continue;
            };
            let uri = uri.trim_end_matches('/');
            if action["target"]
                != format!("{uri}/Actions/{under}{}", known.name)
            {
                self.say(&pointer, "has a target that is not its URI");
            }
            let Value::Object(action) = action else { continue };
            for (name, value) in action.iter().filter(|(it, _)| *it != "target")
            {
                let pointer = format!("{pointer}/{name}");
                match name.split_once('@') {
                    Some((name, "Redfish.AllowableValues")) => {
                        let parameter = known
                            .parameters
                            .iter()
                            .find(|it| it.name() == name);
                        self.allowable(parameter, value, &pointer);
                    }
                    Some(("", "Redfish.ActionInfo")) => {
                        let uri = value.as_str().unwrap_or_default();
                        self.lead(&pointer, uri, Some("ActionInfo"));
                    }
                    Some(("", annotation))
                        if annotation.starts_with("Redfish.") => {}
                    _ if name == "title" => {}
                    _ => self.say(&pointer, "is not part of an action"),
                }
            }
        }
    }

    /// A list of values that a property or a parameter can take.
    fn allowable(
        &mut self,
        of: Option<&Property>,
        values: &Value,
        pointer: &str,
    ) {
        let Some(of) = of else {
            return self.say(pointer, "annotates what is not in the schema");
        };
        let Some(values) = values.as_array() else {
            return self.say(pointer, "is not an array");
        };
        for value in values {
            if let Err(fault) = judge(of, value) {
                self.say(pointer, format!("holds {value}, which {fault}"));
            }
        }
    }

    fn object(
        &mut self,
        object: &Object,
        body: &Map<String, Value>,
        above: &str,
    ) {
        for property in object.properties.iter().filter(|it| it.required) {
            if !body.contains_key(property.name()) {
                self.say(above, format!("lacks {}", property.name()));
            }
        }
        for (name, value) in body {
            let pointer = format!("{above}/{name}");
            if let Some((annotated, annotation)) = name.split_once('@') {
                self.annotation(object, body, annotated, annotation, &pointer);
            } else if let Some(property) = object.property(name) {
                self.property(property, value, &pointer);
            } else if above.ends_with("/Oem") && !name.starts_with('#') {
                self.oem(value, &pointer);
            } else if !object.open && !name.starts_with('#') {
                self.say(&pointer, "is not in the schema");
            } else {
                self.empty(value, &pointer);
            }
        }
        // An object in an array says where it is.
        if let Some((_, place)) = body
            .get("@odata.id")
            .and_then(Value::as_str)
            .and_then(|uri| uri.split_once('#'))
            && place != above
        {
            self.say(above, format!("says to be at #{place}"));
        }
    }

    /// What a maker adds; only its type says what it means. Ours is known.
    fn oem(&mut self, value: &Value, pointer: &str) {
        let of = value.get("@odata.type").and_then(Value::as_str);
        let of = of.and_then(|it| it.strip_prefix('#'));
        let Some(of) = of else {
            return self.say(pointer, "has no @odata.type");
        };
        let mut ours = csdl::oem_types().iter();
        match (ours.find(|it| it.name == of), value) {
            (Some(of), Value::Object(body)) => self.object(of, body, pointer),
            _ if of.starts_with("OnPrem") => {
                self.say(pointer, format!("{of} is no type of ours"));
            }
            _ => self.empty(value, pointer),
        }
    }

    /// Empty texts where no schema looks.
    fn empty(&mut self, value: &Value, pointer: &str) {
        match value {
            Value::String(text) if text.is_empty() => {
                self.say(pointer, "is empty");
            }
            Value::Array(values) => {
                for (index, value) in values.iter().enumerate() {
                    self.empty(value, &format!("{pointer}/{index}"));
                }
            }
            Value::Object(values) => {
                for (name, value) in values {
                    self.empty(value, &format!("{pointer}/{name}"));
                }
            }
            _ => {}
        }
    }

    fn annotation(
        &mut self,
        object: &Object,
        body: &Map<String, Value>,
        annotated: &str,
        annotation: &str,
        pointer: &str,
    ) {
        let known = ["odata.", "Redfish.", "Message.ExtendedInfo"];
        if !known.iter().any(|it| annotation.starts_with(it)) {
            self.say(pointer, "is not an annotation of Redfish");
        }
        let members = body.get(annotated);
        let value = body.get(&format!("{annotated}@{annotation}"));
        if !annotated.is_empty() && !object.open {
            let property = object.property(annotated);
            if annotation == "Redfish.AllowableValues" {
                self.allowable(
                    property,
                    value.unwrap_or(&Value::Null),
                    pointer,
                );
            } else if property.is_none() {
                self.say(pointer, "annotates what is not in the schema");
            }
        }
        if annotation == "odata.count" {
            let count = members.and_then(Value::as_array).map(Vec::len);
            let said = value.and_then(Value::as_u64);
            let count = count.map(|it| it as u64);
            let more =
                body.contains_key(&format!("{annotated}@odata.nextLink"));
            if said.is_none() || said < count || said > count && !more {
                self.say(pointer, "is not the number of members");
            }
        }
        if let ("odata.nextLink", Some(uri)) =
            (annotation, value.and_then(Value::as_str))
            && !uri.starts_with('/')
        {
            self.say(pointer, "is not an address");
        }
    }

    fn property(&mut self, property: &Property, value: &Value, pointer: &str) {
        if property.deprecated {
            self.say(pointer, "is deprecated");
        }
        if property.permission == Permission::Write && !value.is_null() {
            return self.say(pointer, "may be written and not read");
        }
        match value {
            Value::Array(elements) if property.collection => {
                if matches!(property.kind, Kind::Link(_)) {
                    self.twice(elements, pointer);
                }
                for (index, element) in elements.iter().enumerate() {
                    let pointer = format!("{pointer}/{index}");
                    self.value(property, element, &pointer);
                }
            }
            _ if property.collection => self.say(pointer, "is not an array"),
            _ => self.value(property, value, pointer),
        }
    }

    /// The same link two times.
    fn twice(&mut self, links: &[Value], pointer: &str) {
        for (index, link) in links.iter().enumerate() {
            if links.iter().take(index).any(|it| it == link) {
                self.say(&format!("{pointer}/{index}"), "is there twice");
            }
        }
    }

    fn value(&mut self, property: &Property, value: &Value, pointer: &str) {
        if let Err(fault) = judge(property, value) {
            let text = match fault {
                Fault::Type if value.is_null() => "may not be null".to_owned(),
                fault => fault.to_string(),
            };
            return self.say(pointer, text);
        }
        if let Some(text) = value.as_str() {
            if text.is_empty() {
                self.say(pointer, "is empty");
            }
            if property.is_deprecated(text) {
                self.say(pointer, format!("{text} is deprecated"));
            }
            if LEADS.contains(&property.name()) {
                self.lead(pointer, text, None);
            }
        }
        let Value::Object(body) = value else { return };
        match property.kind {
            Kind::Object(object) | Kind::Excerpt(object) => {
                self.object(object, body, pointer);
            }
            Kind::Link(_) if body.contains_key("@odata.type") => {
                self.resource(value, pointer);
            }
            Kind::Link(of) => {
                let id = body.get("@odata.id").and_then(Value::as_str);
                match id {
                    Some(uri) if body.len() == 1 && uri.starts_with('/') => {
                        self.lead(pointer, uri, Some(*of));
                    }
                    _ => self.say(pointer, "is not a link"),
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn texts(payload: &Value) -> Vec<String> {
        let say = |it: Problem| format!("{} {}", it.pointer, it.text);
        check(payload).into_iter().map(say).collect()
    }

    fn sensor() -> Value {
        json!({
            "@odata.id": "/redfish/v1/Chassis/1/Sensors/cpu",
            "@odata.type": csdl::type_named("Sensor").unwrap().odata_type(),
            "Id": "cpu",
            "Name": "CPU",
            "Reading": 41.5,
            "ReadingType": "Temperature",
            "Status": {"State": "Enabled", "Health": "OK"},
        })
    }

    #[test]
    fn finds_nothing_wrong_with_a_proper_payload() {
        assert_eq!(check(&sensor()), []);
    }

    fn system() -> Value {
        json!({
            "@odata.id": "/redfish/v1/Systems/1",
            "@odata.type":
                csdl::type_named("ComputerSystem").unwrap().odata_type(),
            "Id": "1",
            "Name": "System",
            "PowerState": "On",
            "Boot": {
                "BootSourceOverrideTarget": "None",
                "BootSourceOverrideTarget@Redfish.AllowableValues":
                    ["None", "Pxe"],
            },
            "Memory": {"@odata.id": "/redfish/v1/Systems/1/Memory"},
            "Links": {
                "Chassis": [{"@odata.id": "/redfish/v1/Chassis/1"}],
                "Chassis@odata.count": 1,
            },
            "Actions": {"#ComputerSystem.Reset": {
                "target":
                    "/redfish/v1/Systems/1/Actions/ComputerSystem.Reset",
                "ResetType@Redfish.AllowableValues": ["On", "ForceOff"],
            }},
            "Oem": {"Maker": {"@odata.type": "#Maker.v1_0_0.Maker"}},
        })
    }

    /// What is wrong with a system or a sensor once `value` stands at
    /// `pointer`; null takes away what is there.
    #[track_caller]
    fn spoilt(of: fn() -> Value, pointer: &str, value: Value, found: &str) {
        let mut payload = of();
        assert_eq!(check(&payload), []);
        let (above, name) = pointer.rsplit_once('/').unwrap();
        let above = payload.pointer_mut(above).unwrap();
        let above = above.as_object_mut().unwrap();
        match value {
            Value::Null => drop(above.shift_remove(name).unwrap()),
            value => drop(above.insert(name.to_owned(), value)),
        }
        assert_eq!(texts(&payload), [found], "{pointer}");
    }

    #[test]
    fn each_rule_finds_a_payload_that_breaks_it() {
        let spoil = spoilt;
        spoil(sensor, "/Name", Value::Null, " lacks Name");
        spoil(sensor, "/Reading", json!("1"), "/Reading has the wrong type");
        spoil(
            sensor,
            "/ReadingType",
            json!("Warmth"),
            "/ReadingType is not in the list of values",
        );
        spoil(
            sensor,
            "/Status/Mood",
            json!("fine"),
            "/Status/Mood is not in the schema",
        );
        spoil(
            sensor,
            "/ReadingTime",
            json!("2026-11-22T15:00:00"),
            "/ReadingTime has the wrong form",
        );
        spoil(sensor, "/ReadingUnits", json!(""), "/ReadingUnits is empty");
        spoil(
            sensor,
            "/SensingInterval",
            json!(3),
            "/SensingInterval has the wrong type",
        );
        spoil(
            sensor,
            "/Id",
            json!("gpu"),
            " the Id is not the end of /redfish/v1/Chassis/1/Sensors/cpu",
        );
        spoil(
            sensor,
            "/@odata.type",
            json!("#Sensor.v1_0_0.Sensor"),
            " #Sensor.v1_0_0.Sensor is not the newest version",
        );
        spoil(sensor, "/@odata.type", Value::Null, " has no @odata.type");
        spoil(sensor, "/@odata.id", Value::Null, " has no @odata.id");
        spoil(
            sensor,
            "/@odata.id",
            json!("/redfish/v1/Chassis/1/Feelers/cpu"),
            " no Sensor lives at /redfish/v1/Chassis/1/Feelers/cpu",
        );
        spoil(
            sensor,
            "/@odata.id",
            json!("/redfish/v1/Chassis/1/Sensors/cpu/"),
            " /redfish/v1/Chassis/1/Sensors/cpu/ is no proper address",
        );
        spoil(
            sensor,
            "/@Maker.Mood",
            json!(1),
            "/@Maker.Mood is not an annotation of Redfish",
        );
    }

    #[test]
    fn each_rule_on_links_and_actions_finds_what_breaks_it() {
        let spoil = spoilt;
        spoil(
            system,
            "/IndicatorLED",
            json!("Lit"),
            "/IndicatorLED is deprecated",
        );
        spoil(
            system,
            "/Boot/BootSourceOverrideTarget@Redfish.AllowableValues",
            json!(["None", "Punchcard"]),
            "/Boot/BootSourceOverrideTarget@Redfish.AllowableValues \
             holds \"Punchcard\", which is not in the list of values",
        );
        spoil(
            system,
            "/Boot/Mood@Redfish.AllowableValues",
            json!(["Fine"]),
            "/Boot/Mood@Redfish.AllowableValues \
             annotates what is not in the schema",
        );
        spoil(
            system,
            "/Memory",
            json!({"href": "/redfish/v1"}),
            "/Memory is not a link",
        );
        spoil(
            system,
            "/Links/Chassis@odata.count",
            json!(2),
            "/Links/Chassis@odata.count is not the number of members",
        );
        let reset = "/Actions/#ComputerSystem.Reset";
        spoil(
            system,
            &format!("{reset}/target"),
            json!("/redfish/v1/Systems/1/Actions/Reset"),
            "/Actions/#ComputerSystem.Reset has a target that is not its URI",
        );
        spoil(
            system,
            &format!("{reset}/ResetType@Redfish.AllowableValues"),
            json!(["Off"]),
            "/Actions/#ComputerSystem.Reset/ResetType@Redfish.AllowableValues \
             holds \"Off\", which is not in the list of values",
        );
        spoil(
            system,
            &format!("{reset}/Mood"),
            json!("fine"),
            "/Actions/#ComputerSystem.Reset/Mood is not part of an action",
        );
        spoil(
            system,
            "/Actions/#ComputerSystem.Rest",
            json!({}),
            "/Actions/#ComputerSystem.Rest is no action of the type",
        );
        spoil(
            system,
            "/Oem/Maker",
            json!({"Mood": "fine"}),
            "/Oem/Maker has no @odata.type",
        );
        spoil(system, "/Oem/Maker/Mood", json!(""), "/Oem/Maker/Mood is empty");
    }

    #[test]
    fn a_link_that_is_there_twice_is_found() {
        let mut payload = system();
        let chassis = json!({"@odata.id": "/redfish/v1/Chassis/1"});
        payload["Links"]["Chassis"] = json!([chassis, chassis]);
        payload["Links"]["Chassis@odata.count"] = json!(2);
        assert_eq!(texts(&payload), ["/Links/Chassis/1 is there twice"]);
    }

    #[test]
    fn null_is_found_underthe_schema_forbids_it() {
        let mut payload = system();
        payload["Name"] = Value::Null;
        assert_eq!(texts(&payload), ["/Name may not be null"]);
    }

    #[test]
    fn a_value_that_the_schema_advises_against_is_found() {
        let old = csdl::types().iter().find_map(|of| {
            of.object.properties.iter().find_map(|property| {
                let all = property.members().iter();
                let old = all.copied().find(|it| property.is_deprecated(it))?;
                Some((*of, property, old))
            })
        });
        let (of, property, old) = old.unwrap();
        let value = json!(old);
        let value = if property.collection { json!([value]) } else { value };
        let payload = json!({
            "@odata.type": of.odata_type(), property.name(): value,
        });
        let wanted = format!("{old} is deprecated");
        let found = texts(&payload);
        assert!(found.iter().any(|it| it.ends_with(&wanted)), "{found:?}");
    }

    #[test]
    fn a_secret_is_found() {
        let payload = json!({
            "@odata.id": "/redfish/v1/AccountService/Accounts/1",
            "@odata.type":
                csdl::type_named("ManagerAccount").unwrap().odata_type(),
            "Id": "1",
            "Name": "Account",
            "AccountTypes": ["Redfish"],
            "Password": "open sesame",
        });
        assert_eq!(texts(&payload), ["/Password may be written and not read"]);
    }
}
