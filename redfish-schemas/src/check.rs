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

/// All that is wrong with the payload of a resource.
#[must_use]
pub fn check(payload: &Value) -> Vec<Problem> {
    let mut check = Check { problems: Vec::new() };
    check.resource(payload, "");
    check.problems
}

struct Check {
    problems: Vec<Problem>,
}

impl Check {
    fn say(&mut self, pointer: &str, text: impl Into<String>) {
        let pointer = pointer.to_owned();
        self.problems.push(Problem { pointer, text: text.into() });
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
        for (name, action) in actions.iter().filter(|(it, _)| *it != "Oem") {
            let pointer = format!("{above}/Actions/{name}");
            let known = name.strip_prefix('#').and_then(|it| of.action(it));
            let Some(known) = known else {
                self.say(&pointer, "is no action of the type");
                continue;
            };
            let uri = uri.trim_end_matches('/');
            if action["target"] != format!("{uri}/Actions/{}", known.name) {
                self.say(&pointer, "has a target that is not its URI");
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
            if !body.contains_key(property.name) {
                self.say(above, format!("lacks {}", property.name));
            }
        }
        for (name, value) in body {
            let pointer = format!("{above}/{name}");
            if let Some((annotated, annotation)) = name.split_once('@') {
                self.annotation(object, body, annotated, annotation, &pointer);
            } else if let Some(property) = object.property(name) {
                self.property(property, value, &pointer);
            } else if !object.open && !name.starts_with('#') {
                self.say(&pointer, "is not in the schema");
            }
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
        if !annotated.is_empty() && !object.open {
            let parameter = annotation.starts_with("Redfish.Allowable");
            if object.property(annotated).is_none() && !parameter {
                self.say(pointer, "annotates what is not in the schema");
            }
        }
        if annotation == "odata.count" {
            let count = members.and_then(Value::as_array).map(Vec::len);
            let said = body.get(&format!("{annotated}@{annotation}"));
            let said = said.and_then(Value::as_u64);
            if said.is_none() || said < count.map(|it| it as u64) {
                self.say(pointer, "is not the number of members");
            }
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
                for (index, element) in elements.iter().enumerate() {
                    let pointer = format!("{pointer}/{index}");
                    self.value(property, element, &pointer);
                }
            }
            _ if property.collection => self.say(pointer, "is not an array"),
            _ => self.value(property, value, pointer),
        }
    }

    fn value(&mut self, property: &Property, value: &Value, pointer: &str) {
        if let Err(fault) = judge(property, value) {
            return self.say(
                pointer,
                match fault {
                    Fault::Type if value.is_null() => "may not be null",
                    Fault::Type => "has the wrong type",
                    Fault::Format => "has the wrong form",
                    Fault::NotInList => "is not in the list of values",
                    Fault::OutOfRange => "is out of range",
                },
            );
        }
        if value.as_str() == Some("") {
            self.say(pointer, "is empty");
        }
        let Value::Object(body) = value else { return };
        match property.kind {
            Kind::Object(object) | Kind::Excerpt(object) => {
                self.object(object, body, pointer);
            }
            Kind::Link(_) if body.contains_key("@odata.type") => {
                self.resource(value, pointer);
            }
            Kind::Link(_) => {
                let id = body.get("@odata.id").and_then(Value::as_str);
                if body.len() != 1 || !id.is_some_and(|it| it.starts_with('/'))
                {
                    self.say(pointer, "is not a link");
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

    #[test]
    fn finds_what_the_schema_does_not_allow() {
        let mut payload = sensor();
        payload["Id"] = json!("gpu");
        payload["Reading"] = json!("41.5");
        payload["ReadingType"] = json!("Warmth");
        payload["Status"]["Mood"] = json!("fine");
        payload.as_object_mut().unwrap().shift_remove("Name");
        assert_eq!(
            texts(&payload),
            [
                " the Id is not the end of /redfish/v1/Chassis/1/Sensors/cpu",
                " lacks Name",
                "/Reading has the wrong type",
                "/ReadingType is not in the list of values",
                "/Status/Mood is not in the schema",
            ]
        );
    }

    #[test]
    fn a_secret_and_a_false_link_are_found() {
        let payload = json!({
            "@odata.id": "/redfish/v1/AccountService/Accounts/1",
            "@odata.type": csdl::type_named("ManagerAccount").unwrap().odata_type(),
            "Id": "1",
            "Name": "Account",
            "AccountTypes": ["Redfish"],
            "Password": "open sesame",
            "Links": {"Role": {"href": "/redfish/v1"}},
        });
        assert_eq!(
            texts(&payload),
            [
                "/Password may be written and not read",
                "/Links/Role is not a link"
            ]
        );
    }
}
