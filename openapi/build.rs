//! Generates the client and its command tree from the merged document.

use std::{env, error::Error, fs, path::Path};

use onprem_description::{Operation, PageModel, Shape};
use progenitor::{GenerationSettings, Generator, InterfaceStyle};
use serde_json::Value;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    let mut document = onprem_description::document().clone();
    let model = PageModel::from_document(&document);
    // The generator has no commands for bytes of unknown form.
    for operation in model.operations().filter(|o| !is_typed(o)) {
        let method = operation.method.to_lowercase();
        let path = document.get_mut("paths").and_then(Value::as_object_mut);
        if let Some(path) = path.and_then(|p| p.get_mut(&operation.path))
            && let Some(path) = path.as_object_mut()
        {
            path.shift_remove(&method);
        }
    }

    without_patterns(&mut document);
    let document = serde_json::from_value(document)?;
    let mut settings = GenerationSettings::default();
    settings
        .with_interface(InterfaceStyle::Builder)
        .with_derive("schemars::JsonSchema");
    let mut generator = Generator::new(&settings);
    let client = generator.generate_tokens(&document)?;
    let commands = generator.cli(&document, "onprem_client")?;
    let out = env::var("OUT_DIR")?;
    for (name, tokens) in [("client.rs", client), ("cli.rs", commands)] {
        let text = prettyplease::unparse(&syn::parse2(tokens)?);
        fs::write(Path::new(&out).join(name), text)?;
    }
    Ok(())
}

/// The fleet checks patterns and says what is wrong; a second check here would
/// bring a regular-expression engine.
fn without_patterns(node: &mut Value) {
    match node {
        Value::Object(map) => {
            // A property of that name has a schema, which is no text.
            if map.get("pattern").is_some_and(Value::is_string) {
                map.shift_remove("pattern");
            }
            map.values_mut().for_each(without_patterns);
        }
        Value::Array(items) => items.iter_mut().for_each(without_patterns),
        _ => {}
    }
}

fn is_typed(operation: &Operation) -> bool {
    let sends_json = operation
        .body
        .as_ref()
        .is_none_or(|body| body.content_type == "application/json");
    sends_json && operation.answer.shape != Shape::Raw
}
