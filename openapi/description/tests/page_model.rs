//! What follows from a document by itself, and what the facts change.

use onprem_description::{
    Confirm, Danger, Format, Kind, PageModel, Shape, Tone,
};
use serde_json::{Value, json};

#[expect(clippy::unwrap_used, reason = "a test")]
fn sample() -> Value {
    serde_norway::from_str(include_str!("sample.yaml")).unwrap()
}

fn model() -> PageModel {
    PageModel::from_document(&sample())
}

#[test]
fn puts_operations_to_resources() {
    let model = model();
    let fan = model.resource("fan").unwrap();
    assert_eq!(fan.plural, "fans");
    assert_eq!(fan.kind, "Fan");
    assert_eq!(fan.title, "Fans");
    assert_eq!(fan.list.as_ref().unwrap().answer.shape, Shape::List);
    assert!(fan.list.as_ref().unwrap().paged);
    assert_eq!(fan.view.as_ref().unwrap().answer.shape, Shape::Item);
    assert_eq!(fan.actions.len(), 1);
    assert_eq!(fan.actions[0].name, "stop");
    let blade = model.resource("fan-blade").unwrap();
    assert_eq!(blade.parent.as_deref(), Some("fan"));
    assert_eq!((&*blade.singular, &*blade.plural), ("blade", "blades"));
    assert_eq!(model.resource("BLADES").unwrap().name, "fan-blade");
    let motor = model.resource("motor").unwrap();
    assert!(motor.is_single());
    assert_eq!(motor.parent.as_deref(), Some("fan"));
    assert_eq!(model.problems, [""; 0]);
}

#[test]
fn gives_properties_defaults_that_follow_from_the_schema() {
    let model = model();
    let blade = model.resource("blade").unwrap();
    let names: Vec<_> =
        blade.properties.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(names, ["id", "length", "madeAt", "tags"]);
    let formats: Vec<_> = blade.properties.iter().map(|p| p.format).collect();
    assert_eq!(
        formats,
        [Format::Text, Format::Number, Format::Time, Format::Tags]
    );
    let dtypes: Vec<_> =
        blade.properties.iter().map(|p| p.kind.dtype()).collect();
    assert_eq!(dtypes, ["str", "f64", "datetime", "struct"]);
    assert_eq!(blade.properties[2].title, "Made at");
    assert_eq!(blade.columns.len(), 4);
    assert!(blade.columns.iter().all(|column| !column.wide));
}

#[test]
fn shows_what_the_facts_say() {
    let model = model();
    let fan = model.resource("fan").unwrap();
    assert_eq!(fan.aliases, ["vent", "f"]);
    let columns: Vec<_> =
        fan.columns.iter().map(|c| (&*c.property.name, c.wide)).collect();
    assert_eq!(columns, [("name", false), ("state", false), ("speed", true)]);
    assert_eq!(fan.columns[0].sort.as_deref(), Some("name"));
    let state = fan.property("/state").unwrap();
    assert_eq!(state.state("stalled").unwrap().tone, Tone::Bad);
    assert_eq!(state.state("turning").unwrap().label, "Turning");
    assert_eq!(
        state.kind,
        Kind::Enum(vec!["turning".into(), "stalled".into()])
    );
    let speed = fan.property("/speed").unwrap();
    assert_eq!(speed.show(&json!(3200)), "3200 rpm");
    let stop = &fan.actions[0].action;
    assert_eq!(stop.label, "Stop the fan");
    assert_eq!(stop.danger, Danger::Disruptive);
    assert_eq!(stop.confirm, Confirm::Click);
    assert_eq!(stop.states, ["turning"]);
    assert_eq!(fan.live.as_deref(), Some("fans"));
    let delete = fan.delete.as_ref().unwrap();
    assert_eq!(delete.action.danger, Danger::Destructive);
    assert_eq!(fan.empty.as_ref().unwrap().text, "No fan turns here.");
}

#[test]
fn names_the_facts_it_cannot_understand() {
    let mut document = sample();
    let fan = document.pointer_mut("/components/schemas/Fan").unwrap();
    fan["properties"]["speed"]["x-onprem-format"] = json!("furlongs");
    fan["properties"]["name"]["x-onprem-ref"] = json!("nobody");
    fan["x-onprem-columns"] = json!(["none"]);
    let problems = PageModel::from_document(&document).problems.join("\n");
    for word in ["furlongs", "nobody", "none"] {
        assert!(problems.contains(word), "{word} in {problems}");
    }
}

#[test]
fn writes_the_command_that_does_the_same() {
    let model = model();
    let fan = model.resource("fan").unwrap();
    let command = |operation: Option<&_>, values: &[&str]| {
        model.command(fan, operation.unwrap(), values)
    };
    assert_eq!(command(fan.list.as_ref(), &[]), "onprem get fans");
    assert_eq!(
        command(fan.view.as_ref(), &["a b"]),
        "onprem describe fan 'a b'"
    );
    assert_eq!(command(fan.actions.first(), &["a"]), "onprem stop a");
    let blade = model.resource("blade").unwrap();
    let list = blade.list.as_ref().unwrap();
    assert_eq!(model.command(blade, list, &["a"]), "onprem get blades a");
    assert_eq!(
        fan.view.as_ref().unwrap().fill(&["../x/y"]),
        "/v1/fans/..%2Fx%2Fy"
    );
}
