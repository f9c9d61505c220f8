//! `excerpt`: the main properties of a resource, as the annotations
//! `Redfish.Excerpt` of its schema have it.

use onprem_redfish::csdl::{self, Kind, Object};
use serde_json::{Map, Value};

/// Reduces `body`, and the resources in it, to their excerpts. A resource of
/// which the schema knows none stays as it is.
pub(super) fn reduce(body: &mut Map<String, Value>) {
    let of = body.get("@odata.type").and_then(Value::as_str);
    let of = of.and_then(|it| csdl::type_named(it.rsplit('.').next()?));
    if let Some(of) = of
        && has_excerpt(of.object)
    {
        return keep(body, of.object);
    }
    body.values_mut().for_each(within);
}

fn within(value: &mut Value) {
    match value {
        Value::Object(body) => reduce(body),
        Value::Array(values) => values.iter_mut().for_each(within),
        _ => {}
    }
}

fn has_excerpt(object: &Object) -> bool {
    object.properties.iter().any(|it| it.excerpt)
}

fn keep(body: &mut Map<String, Value>, object: &Object) {
    body.retain(|name, value| {
        let name = name.split_once('@').map_or(name.as_str(), |(it, _)| it);
        // Annotations of the resource itself.
        if name.is_empty() {
            return true;
        }
        let Some(property) = object.property(name) else { return false };
        if let (Kind::Object(inner), Some(value)) =
            (property.kind, value.as_object_mut())
            && has_excerpt(inner)
        {
            keep(value, inner);
            return property.excerpt && !value.is_empty();
        }
        property.excerpt
    });
}
