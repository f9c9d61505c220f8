//! Checks the bodies of PATCH, POST and actions, and hands their values out.
//!
//! A body that is not right in every part is refused as a whole, with a message
//! for each thing wrong with it.

use crate::{
    csdl::{Action, Kind, Object, Permission, Property, Type},
    message::{Message, base},
    rule::{Fault, judge},
};
use serde_json::{Map, Value};

/// A value in a message is cut at this many characters.
const SHOWN: usize = 100;
/// What is wrong is told up to this many messages.
const TOLD: usize = 32;

/// Checks the body of a PATCH.
///
/// In arrays an element `null` removes what was there and `{}` leaves it;
/// [`merge_array`] does so.
///
/// # Errors
///
/// All that is wrong with the body; `NoOperation` if nothing in it asks for a
/// change.
pub fn patch(of: &Type, body: &Value) -> Result<Body, Vec<Message>> {
    Check { purpose: Purpose::Patch, messages: Vec::new() }.run(of.object, body)
}

/// Checks the body of a POST that makes a resource of a type.
///
/// # Errors
///
/// All that is wrong with the body, and the properties it lacks.
pub fn create(of: &Type, body: &Value) -> Result<Body, Vec<Message>> {
    Check { purpose: Purpose::Create, messages: Vec::new() }
        .run(of.object, body)
}

/// Checks the body of an action.
///
/// # Errors
///
/// All that is wrong with the body, and the parameters it lacks.
pub fn action(
    action: &'static Action,
    body: &Value,
) -> Result<Body, Vec<Message>> {
    let parameters = Object {
        name: action.name,
        open: false,
        properties: action.parameters,
    };
    Check { purpose: Purpose::Action(action.name), messages: Vec::new() }
        .run(&parameters, body)
}

/// An array after a PATCH of it.
#[must_use]
pub fn merge_array(current: &[Value], patch: &[Value]) -> Vec<Value> {
    let mut merged = Vec::new();
    for (index, element) in patch.iter().enumerate() {
        match element {
            Value::Null => {}
            Value::Object(changes) => {
                let mut element = match current.get(index) {
                    Some(Value::Object(element)) => element.clone(),
                    Some(element) if changes.is_empty() => {
                        merged.push(element.clone());
                        continue;
                    }
                    _ => Map::new(),
                };
                element.extend(changes.clone());
                if !element.is_empty() {
                    merged.push(Value::Object(element));
                }
            }
            value => merged.push(value.clone()),
        }
    }
    merged
}

/// A body that fits the schema. What is not taken out of it is refused by
/// [`Body::finish`], so that nothing a client asks for is silently left out.
#[derive(Debug)]
#[must_use]
pub struct Body {
    purpose: Purpose,
    values: Map<String, Value>,
}

impl Body {
    /// Takes the value at a JSON pointer: `/Boot/BootSourceOverrideTarget`.
    pub fn take(&mut self, pointer: &str) -> Option<Value> {
        let mut names: Vec<&str> = pointer.split('/').skip(1).collect();
        let last = names.pop()?;
        let mut object = &mut self.values;
        for name in names {
            object = object.get_mut(name)?.as_object_mut()?;
        }
        object.shift_remove(last)
    }

    /// Takes a text; the schema has made sure that it is one, or null.
    pub fn take_text(&mut self, pointer: &str) -> Option<String> {
        match self.take(pointer)? {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// Takes one of those values of an enum that the resource supports.
    ///
    /// # Errors
    ///
    /// The message for a value that is not among them.
    pub fn take_one_of(
        &mut self,
        pointer: &str,
        supported: &[&'static str],
    ) -> Result<Option<&'static str>, Message> {
        let Some(value) = self.take(pointer) else { return Ok(None) };
        let found = supported.iter().find(|it| value == **it);
        let property = pointer.rsplit('/').next().unwrap_or_default();
        match found {
            Some(found) => Ok(Some(found)),
            None => Err(self.purpose.message(
                Fault::NotInList,
                &shown(&value),
                property,
                pointer,
            )),
        }
    }

    /// The JSON pointers of what has not been taken.
    #[must_use]
    pub fn rest(&self) -> Vec<String> {
        let mut pointers = Vec::new();
        leaves(&self.values, "", &mut pointers);
        pointers
    }

    /// Makes sure that everything has been taken.
    ///
    /// # Errors
    ///
    /// A message for each value that the resource does not write.
    pub fn finish(self) -> Result<(), Vec<Message>> {
        let messages: Vec<_> = self
            .rest()
            .iter()
            .take(TOLD)
            .map(|pointer| {
                let name = pointer.rsplit('/').next().unwrap_or_default();
                match self.purpose {
                    Purpose::Action(action) => {
                        base::action_parameter_not_supported(name, action)
                    }
                    _ => base::property_not_writable(name).about(pointer),
                }
            })
            .collect();
        if messages.is_empty() { Ok(()) } else { Err(messages) }
    }
}

#[derive(Debug, Clone, Copy)]
enum Purpose {
    Patch,
    Create,
    Action(&'static str),
}

impl Purpose {
    fn message(
        self,
        fault: Fault,
        value: &str,
        name: &str,
        pointer: &str,
    ) -> Message {
        if let Self::Action(action) = self {
            let text = match fault {
                Fault::Type => base::action_parameter_value_type_error,
                Fault::Format => base::action_parameter_value_format_error,
                Fault::NotInList => base::action_parameter_value_not_in_list,
                Fault::OutOfRange => base::action_parameter_value_out_of_range,
            };
            return text(value, name, action);
        }
        let text = match fault {
            Fault::Type => base::property_value_type_error,
            Fault::Format => base::property_value_format_error,
            Fault::NotInList => base::property_value_not_in_list,
            Fault::OutOfRange => base::property_value_out_of_range,
        };
        text(value, name).about(pointer)
    }
}

struct Check {
    purpose: Purpose,
    messages: Vec<Message>,
}

impl Check {
    fn run(
        mut self,
        object: &Object,
        body: &Value,
    ) -> Result<Body, Vec<Message>> {
        let Value::Object(body) = body else {
            return Err(vec![base::unrecognized_request_body()]);
        };
        self.object(object, body, "");
        self.missing(object, body);
        let mut values = body.clone();
        strip(&mut values);
        if matches!(self.purpose, Purpose::Patch) {
            prune(&mut values);
        }
        if values.is_empty()
            && self.messages.is_empty()
            && matches!(self.purpose, Purpose::Patch)
        {
            self.messages.push(base::no_operation());
        }
        if self.messages.is_empty() {
            Ok(Body { purpose: self.purpose, values })
        } else {
            self.messages.truncate(TOLD);
            Err(self.messages)
        }
    }

    fn missing(&mut self, object: &Object, body: &Map<String, Value>) {
        for property in object.properties {
            if body.contains_key(property.name()) {
                continue;
            }
            let name = property.name();
            match self.purpose {
                Purpose::Create if property.required_on_create => {
                    let pointer = format!("/{name}");
                    let message = base::property_missing(name).about(pointer);
                    self.messages.push(message);
                }
                Purpose::Action(action) if property.required => {
                    let message = base::action_parameter_missing(action, name);
                    self.messages.push(message);
                }
                _ => {}
            }
        }
    }

    fn object(
        &mut self,
        object: &Object,
        body: &Map<String, Value>,
        above: &str,
    ) {
        for (name, value) in body {
            if name.contains("@odata.") {
                continue;
            }
            let pointer = format!("{above}/{name}");
            match object.property(name) {
                Some(property) => self.property(property, value, &pointer),
                None if object.open => {}
                None => self.messages.push(match self.purpose {
                    Purpose::Action(action) => {
                        base::action_parameter_unknown(action, name)
                    }
                    _ => base::property_unknown(name).about(pointer),
                }),
            }
        }
    }

    fn property(&mut self, property: &Property, value: &Value, pointer: &str) {
        let fixed = property.permission == Permission::Read;
        if fixed && matches!(self.purpose, Purpose::Patch) {
            let message = base::property_not_writable(property.name());
            self.messages.push(message.about(pointer));
            return;
        }
        match value {
            // DSP0266, "POST (create)": what is not set is left out.
            Value::Null if matches!(self.purpose, Purpose::Create) => {
                self.fault(property, Fault::Type, value, pointer);
            }
            Value::Array(elements) if property.collection => {
                for (index, element) in elements.iter().enumerate() {
                    let pointer = format!("{pointer}/{index}");
                    self.element(property, element, &pointer);
                }
            }
            _ if property.collection => {
                self.fault(property, Fault::Type, value, pointer);
            }
            _ => self.value(property, value, pointer),
        }
    }

    fn element(&mut self, property: &Property, value: &Value, pointer: &str) {
        let empty = value.as_object().is_some_and(Map::is_empty);
        let kept = value.is_null() || empty;
        if !(kept && matches!(self.purpose, Purpose::Patch)) {
            self.value(property, value, pointer);
        }
    }

    fn value(&mut self, property: &Property, value: &Value, pointer: &str) {
        if let Err(fault) = judge(property, value) {
            return self.fault(property, fault, value, pointer);
        }
        let Value::Object(body) = value else { return };
        match property.kind {
            Kind::Object(object) => self.object(object, body, pointer),
            Kind::Link(_) => {
                let id = body.get("@odata.id").filter(|it| it.is_string());
                if body.len() != 1 || id.is_none() {
                    self.fault(property, Fault::Format, value, pointer);
                }
            }
            _ => {}
        }
    }

    fn fault(
        &mut self,
        property: &Property,
        fault: Fault,
        value: &Value,
        pointer: &str,
    ) {
        let text = if secret(property) { "…".into() } else { shown(value) };
        let name = property.name();
        let message = self.purpose.message(fault, &text, name, pointer);
        self.messages.push(message);
    }
}

/// Whether a value must not be repeated to anyone.
fn secret(property: &Property) -> bool {
    let hidden = ["Password", "Passphrase", "Secret", "Token", "Key"];
    property.permission == Permission::Write
        || hidden.iter().any(|word| property.name().contains(word))
}

/// A value as a message shows it.
fn shown(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

/// Drops the annotations that a service ignores. A link keeps its target.
fn strip(object: &mut Map<String, Value>) {
    object.retain(|name, value| {
        if let Value::Object(inner) = value
            && !inner.contains_key("@odata.id")
        {
            strip(inner);
        }
        !name.contains("@odata.")
    });
}

/// Drops objects with nothing in them, which ask for no change.
fn prune(object: &mut Map<String, Value>) {
    object.retain(|_, value| {
        let Value::Object(inner) = value else { return true };
        prune(inner);
        !inner.is_empty()
    });
}

fn leaves(object: &Map<String, Value>, above: &str, found: &mut Vec<String>) {
    for (name, value) in object {
        let pointer = format!("{above}/{name}");
        match value {
            Value::Object(inner) if !inner.contains_key("@odata.id") => {
                leaves(inner, &pointer, found);
            }
            _ => found.push(pointer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::csdl;
    use serde_json::json;

    fn named(name: &str) -> &'static Type {
        csdl::type_named(name).unwrap()
    }

    fn ids(result: Result<Body, Vec<Message>>) -> Vec<String> {
        let messages = result.unwrap_err();
        let short =
            |it: &Message| it.id().rsplit('.').next().unwrap().to_owned();
        messages.iter().map(short).collect()
    }

    #[test]
    fn says_everything_that_is_wrong_with_a_patch() {
        let body = json!({
            "AssetTag": 5,
            "SerialNumber": "1",
            "Colour": "red",
            "Boot": {"BootSourceOverrideTarget": "Tape"},
        });
        let result = patch(named("ComputerSystem"), &body);
        assert_eq!(
            ids(result),
            [
                "PropertyValueTypeError",
                "PropertyNotWritable",
                "PropertyUnknown",
                "PropertyValueNotInList"
            ]
        );
    }

    #[test]
    fn a_patch_of_annotations_alone_changes_nothing() {
        let body = json!({"@odata.id": "/redfish/v1/Systems/1"});
        let result = patch(named("ComputerSystem"), &body);
        assert_eq!(ids(result), ["NoOperation"]);
        let body = json!({"Boot": {"Members@odata.count": 1}, "Links": {}});
        let result = patch(named("ComputerSystem"), &body);
        assert_eq!(ids(result), ["NoOperation"]);
    }

    #[test]
    fn an_account_needs_its_name_password_and_role() {
        let body = json!({"UserName": "ada"});
        let result = create(named("ManagerAccount"), &body);
        assert_eq!(ids(result), ["PropertyMissing", "PropertyMissing"]);
    }

    #[test]
    fn what_is_made_has_no_nulls() {
        let body = json!({"UserName": "ada", "Password": "x", "RoleId": null});
        let result = create(named("ManagerAccount"), &body);
        assert_eq!(ids(result), ["PropertyValueTypeError"]);
    }

    #[test]
    fn an_apply_time_that_is_not_offered_is_named() {
        let time = "@Redfish.OperationApplyTime";
        let body = json!({"UserName": "ada", "Password": "x",
            "RoleId": "Operator", time: "OnReset"});
        let messages = create(named("ManagerAccount"), &body).unwrap_err();
        assert_eq!(messages[0].arguments(), [time]);
        let reset = named("ComputerSystem").action("ComputerSystem.Reset");
        let body = json!({time: "OnReset"});
        let messages = action(reset.unwrap(), &body).unwrap_err();
        assert!(messages[0].arguments().contains(&time.to_owned()));
    }

    #[test]
    fn never_repeats_a_password() {
        let body = json!({"Password": 12_345_678});
        let messages = patch(named("ManagerAccount"), &body).unwrap_err();
        assert!(!messages[0].text().contains("12345678"));
    }

    #[test]
    fn refuses_what_an_action_does_not_know() {
        let reset = named("ComputerSystem").action("ComputerSystem.Reset");
        let body = json!({"ResetType": "Now", "Delay": 5});
        assert_eq!(
            ids(action(reset.unwrap(), &body)),
            ["ActionParameterValueNotInList", "ActionParameterUnknown"]
        );
    }

    #[test]
    fn refuses_what_the_resource_did_not_take() {
        let body = json!({
            "HostName": "blade",
            "Boot": {"BootSourceOverrideTarget": "Pxe", "BootOrder": ["a"]},
        });
        let mut patch = patch(named("ComputerSystem"), &body).unwrap();
        assert_eq!(patch.take_text("/HostName").unwrap(), "blade");
        let target = "/Boot/BootSourceOverrideTarget";
        assert_eq!(patch.take_one_of(target, &["Pxe"]), Ok(Some("Pxe")));
        assert_eq!(patch.rest(), ["/Boot/BootOrder"]);
        assert_eq!(patch.finish().unwrap_err().len(), 1);
    }

    #[test]
    fn an_array_keeps_drops_and_replaces_elements() {
        let servers = json!({"NTP": {"NTPServers": ["b", {}, null]}});
        let checked = patch(named("ManagerNetworkProtocol"), &servers);
        let patched = checked.unwrap().take("/NTP/NTPServers").unwrap();
        let current = [json!("a"), json!("kept"), json!("gone"), json!("cut")];
        let merged = merge_array(&current, patched.as_array().unwrap());
        assert_eq!(merged, [json!("b"), json!("kept")]);
    }
}
