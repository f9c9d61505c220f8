//! `OpenAPI` Overlay 1.0: updates and removals at `JSONPath` targets.

use serde::Deserialize;
use serde_json::Value;

use crate::json_path::{BadPath, JsonPath};

/// Why an overlay cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OverlayError {
    #[error("cannot read the overlay")]
    Read(#[from] serde_norway::Error),
    #[error("the overlay is version `{0}`, and 1.0 or 1.1 is expected")]
    Version(String),
    #[error("the overlay has a target that cannot be read")]
    Target(#[from] BadPath),
}

/// An overlay document.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Overlay {
    #[serde(rename = "overlay")]
    version: String,
    #[serde(rename = "info")]
    _info: Value,
    #[serde(default, rename = "extends")]
    _extends: Option<String>,
    actions: Vec<Action>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Action {
    target: String,
    #[serde(default, rename = "description")]
    _description: Option<String>,
    #[serde(default)]
    update: Option<Value>,
    #[serde(default)]
    remove: bool,
}

impl Overlay {
    /// Reads an overlay from YAML.
    pub(crate) fn parse(text: &str) -> Result<Self, OverlayError> {
        let overlay: Self = serde_norway::from_str(text)?;
        if ["1.0", "1.1"].iter().any(|v| overlay.version.starts_with(v)) {
            Ok(overlay)
        } else {
            Err(OverlayError::Version(overlay.version))
        }
    }

    /// Changes `document`, and answers the targets that led nowhere.
    pub(crate) fn apply(
        &self,
        document: &mut Value,
    ) -> Result<Vec<String>, OverlayError> {
        let mut unmatched = Vec::new();
        for action in &self.actions {
            let found = JsonPath::parse(&action.target)?.find(document);
            if found.is_empty() {
                unmatched.push(action.target.clone());
            }
            // From the end, so that the removal of an array's entry does
            // not move those still to come.
            for at in found.iter().rev() {
                if action.remove {
                    remove(document, at);
                } else if let Some(update) = &action.update
                    && let Some(node) = document.pointer_mut(at)
                {
                    merge(node, update);
                }
            }
        }
        Ok(unmatched)
    }
}

fn remove(document: &mut Value, at: &str) {
    let Some((parent, name)) = at.rsplit_once('/') else { return };
    let name = name.replace("~1", "/").replace("~0", "~");
    match document.pointer_mut(parent) {
        Some(Value::Object(map)) => {
            map.shift_remove(&name);
        }
        Some(Value::Array(items)) => {
            if let Some(index) = name.parse().ok().filter(|i| *i < items.len())
            {
                items.remove(index);
            }
        }
        _ => {}
    }
}

fn merge(node: &mut Value, update: &Value) {
    match (node, update) {
        (Value::Object(node), Value::Object(update)) => {
            for (name, value) in update {
                match node.get_mut(name) {
                    Some(old) => merge(old, value),
                    None => {
                        node.insert(name.clone(), value.clone());
                    }
                }
            }
        }
        (Value::Array(node), Value::Array(update)) => {
            node.extend(update.iter().cloned());
        }
        (Value::Array(node), update) => node.push(update.clone()),
        (node, update) => *node = update.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const OVERLAY: &str = "
overlay: 1.0.0
info: {title: t, version: '1'}
actions:
  - target: $.paths['/a'].get
    update: {x-onprem-live: topic, tags: [more]}
  - target: $.tags[*]
    remove: true
  - target: $.nowhere
    update: {}
";

    #[test]
    fn merges_removes_and_tells_what_led_nowhere() {
        let mut document = json!({
            "paths": {"/a": {"get": {"tags": ["one"]}}},
            "tags": [1, 2, 3],
        });
        let overlay = Overlay::parse(OVERLAY).unwrap();
        assert_eq!(overlay.apply(&mut document).unwrap(), ["$.nowhere"]);
        let expected = json!({
            "paths": {"/a": {"get": {
                "tags": ["one", "more"], "x-onprem-live": "topic",
            }}},
            "tags": [],
        });
        assert_eq!(document, expected);
    }

    #[test]
    fn refuses_other_versions_and_unknown_keys() {
        let other = OVERLAY.replace("1.0.0", "2.0.0");
        assert!(Overlay::parse(&other).is_err());
        let unknown = OVERLAY.replace("remove:", "removed:");
        assert!(Overlay::parse(&unknown).is_err());
    }
}
