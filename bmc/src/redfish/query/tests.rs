use rand::{Rng as _, SeedableRng as _, rngs::StdRng, seq::SliceRandom as _};
use serde_json::json;

use super::{filter::model, *};

struct Linked;

impl Source for Linked {
    fn fetch(&self, uri: &str) -> Option<Map<String, Value>> {
        json!({"@odata.id": uri, "Next": {"@odata.id": "/deeper"}})
            .as_object()
            .cloned()
    }
}

fn status(text: &str) -> Option<u16> {
    Query::parse(text).err().map(|error| error.status.as_u16())
}

fn apply(kind: &str, text: &str, body: Value) -> Result<Value, Error> {
    let Value::Object(body) = body else { panic!("an object") };
    let query = Query::parse(text).unwrap();
    query.apply(kind, "/c", body, &Linked).map(Value::Object)
}

#[test]
fn refuses_what_it_does_not_understand_and_ignores_what_it_may() {
    for (text, expected) in [
        ("$whatever", Some(501)),
        ("$filter=", Some(400)),
        ("$filter=a eq", Some(400)),
        ("only=foo", Some(400)),
        ("excerpt=foo", Some(400)),
        ("$expand=foo", Some(400)),
        ("$expand=.($levels=99)", Some(400)),
        ("$expand=.($levels=0)", Some(400)),
        ("$select=", Some(400)),
        ("$select=a//b", Some(400)),
        ("$top=-1", Some(400)),
        ("$skip=x", Some(400)),
        ("$top=99999999999999999999999", Some(400)),
        ("only&$select=Name", Some(400)),
        ("only&excerpt", Some(400)),
        ("only&$skip=0", Some(400)),
        ("$top=1&$top=2", Some(400)),
        ("whatever=1&only&whatever=2", None),
        ("only=", None),
        ("%24expand=*(%24levels=2)", None),
        ("$filter=Id%20eq+'a'", None),
        ("", None),
    ] {
        assert_eq!(status(text), expected, "{text}");
    }
}

#[test]
fn a_mistake_in_a_filter_is_named_with_its_place() {
    let said = |error: Error| {
        let message = error.messages.first().unwrap();
        assert_eq!(message.arguments().last().unwrap(), "$filter");
        message.resolution().to_owned()
    };
    for (text, expected) in [
        ("Id eq 'a' and", "At character 14 of $filter: something is missing"),
        ("(Id eq 'a'", "At character 1 of $filter: the parenthesis is never"),
        ("Id eq 'a')", "At character 10 of $filter: the parenthesis was neve"),
        ("Id eq 'a", "At character 7 of $filter: the text has no closing"),
        ("Id is 'a'", "At character 4 of $filter: an operator is missing"),
        ("Id eq 5x", "At character 7 of $filter: '5x' is no number"),
        ("Id eq \"a\"", "At character 7 of $filter: the character '\"'"),
        ("a//b eq 1", "At character 1 of $filter: 'a//b' lacks a name"),
        ("and eq 1", "At character 1 of $filter: a property, a value"),
    ] {
        let query = Query::parse(&format!("$filter={text}"));
        let advice = said(query.unwrap_err());
        assert!(advice.starts_with(expected), "{text}: {advice}");
    }
    for (text, expected) in [
        ("Colour eq 1", "At character 1 of $filter: there is no property"),
        ("Reading eq 'a'", "At character 9 of $filter: a number is compared"),
        ("Id", "At character 1 of $filter: this is neither true nor false"),
        ("not Id eq 'a'", "At character 5 of $filter: this is neither"),
        ("Status eq 'OK'", "At character 1 of $filter: Status is an object"),
        ("Id/x eq 'OK'", "At character 1 of $filter: Id has nothing in it"),
        ("RelatedItem eq 1", "At character 1 of $filter: RelatedItem is an a"),
        ("ReadingTime gt '2'", "At character 16 of $filter: '2' is no point"),
        ("Enabled gt true", "At character 9 of $filter: true and false have"),
    ] {
        let text = format!("$filter={text}");
        let advice =
            said(apply("SensorCollection", &text, json!({})).unwrap_err());
        assert!(advice.starts_with(expected), "{text}: {advice}");
    }
}

#[test]
fn what_is_long_or_deep_is_refused_before_it_is_read() {
    for text in [
        format!("{}a{}", "(".repeat(65), ")".repeat(65)),
        format!("{}a", "not ".repeat(65)),
        format!("a{}", " eq a".repeat(65)),
        "(".repeat(4097),
        format!("'{}'", "x".repeat(4096)),
    ] {
        assert_eq!(status(&format!("$filter={text}")), Some(400));
    }
    let wide = vec!["a eq 1"; 400].join(" or ");
    assert_eq!(status(&format!("$filter={wide}")), None);
}

#[test]
fn collections_alone_are_filtered_and_paged() {
    for text in ["$filter=Id eq 'a'", "$top=1", "$skip=0", "only"] {
        let error = apply("Role", text, json!({"Id": "a"})).unwrap_err();
        let message = error.messages.first().unwrap();
        assert!(message.id().ends_with(".QueryNotSupportedOnResource"));
    }
}

#[test]
fn selects_the_named_properties_and_the_annotations() {
    let body = json!({
        "@odata.id": "/a", "Name": "a", "Id": "1",
        "Status": {"State": "Enabled", "Health": "OK"},
        "Name@Redfish.Deprecated": "it is", "@Redfish.Other": 1,
    });
    let selected = apply("Role", "$select=Name,Status/Health", body).unwrap();
    let expected = json!({
        "@odata.id": "/a", "Name": "a", "Status": {"Health": "OK"},
        "Name@Redfish.Deprecated": "it is",
    });
    assert_eq!(selected, expected);
}

#[test]
fn selects_of_each_member_that_is_put_in_place() {
    let body = || {
        json!({"@odata.id": "/c", "Name": "C", "Members@odata.count": 1,
        "Members": [{"@odata.id": "/1"}]})
    };
    let kind = "RoleCollection";
    let shown = apply(kind, "$expand=.&$select=Next", body()).unwrap();
    let member = json!({"@odata.id": "/1", "Next": {"@odata.id": "/deeper"}});
    let expected = json!({"@odata.id": "/c", "Members@odata.count": 1,
        "Members": [member]});
    assert_eq!(shown, expected);
    let same = apply(kind, "$expand=.&$select=Members/Next", body());
    assert_eq!(same.unwrap(), expected);
    let name = apply(kind, "$select=Name", body()).unwrap();
    assert_eq!(name, json!({"@odata.id": "/c", "Name": "C"}));
}

#[test]
fn expands_as_deep_as_asked() {
    let body = || {
        json!({
            "@odata.id": "/a", "Sub": {"@odata.id": "/b"},
            "Links": {"Other": [{"@odata.id": "/o"}]},
            "ExpandQuery": {"Links": true},
        })
    };
    let apply = |text| apply("ServiceRoot", text, body()).unwrap();
    let near = apply("$expand=.");
    assert_eq!(near["Sub"]["Next"], json!({"@odata.id": "/deeper"}));
    assert_eq!(near["Links"]["Other"][0], json!({"@odata.id": "/o"}));
    assert_eq!(near["ExpandQuery"]["Links"], json!(true));
    let deep = apply("$expand=.($levels=2)");
    assert_eq!(deep["Sub"]["Next"]["@odata.id"], json!("/deeper"));
    assert!(deep["Sub"]["Next"]["Next"].is_object());
    let related = apply("$expand=~");
    assert_eq!(related["Sub"], json!({"@odata.id": "/b"}));
    assert!(related["Links"]["Other"][0]["Next"].is_object());
}

#[test]
fn what_does_not_fit_into_an_answer_is_refused() {
    let members: Vec<_> =
        (0..200).map(|n| json!({"@odata.id": format!("/{n}")})).collect();
    let body = || json!({"Members": members.clone()});
    let kind = "RoleCollection";
    assert!(apply(kind, "$expand=.($levels=5)", body()).is_ok());
    let error = apply(kind, "$expand=.($levels=6)", body()).unwrap_err();
    assert_eq!(error.status.as_u16(), 507);
}

#[test]
fn an_excerpt_is_what_the_schema_says() {
    let sensor = || {
        json!({"@odata.id": "/s", "@odata.type": "#Sensor.v1_9_0.Sensor",
        "Id": "s", "Name": "S", "Reading": 1, "PhysicalContext": "CPU",
        "Thresholds": {"UpperCritical": {"Reading": 9},
            "LowerCritical": {"Reading": 1, "Activation": "Increasing"}}})
    };
    let expected = json!({"@odata.id": "/s",
        "@odata.type": "#Sensor.v1_9_0.Sensor",
        "Reading": 1, "PhysicalContext": "CPU",
        "Thresholds": {"LowerCritical": {"Reading": 1}}});
    let shown = apply("Sensor", "excerpt", sensor()).unwrap();
    assert_eq!(shown, expected);
    let within = json!({"Id": "x", "Members": [sensor()]});
    let shown = apply("SensorCollection", "excerpt", within).unwrap();
    assert_eq!(shown, json!({"Id": "x", "Members": [expected]}));
    let role = json!({"@odata.type": "#Role.v1_0_0.Role", "Id": "x"});
    assert_eq!(apply("Role", "excerpt", role.clone()).unwrap(), role);
}

#[test]
fn pages_point_to_the_next_one_with_all_that_was_asked() {
    let members = json!([{"@odata.id": "/1"}, {"@odata.id": "/2"}]);
    let body = || json!({"Members@odata.count": 2, "Members": members});
    let apply = |text| apply("RoleCollection", text, body()).unwrap();
    let first = apply("$top=1&$filter=not%20(Id%20eq%20'a')&x=1");
    assert_eq!(first["Members"], json!([{"@odata.id": "/1"}]));
    assert_eq!(first["Members@odata.count"], 2);
    let next = "/c?$filter=not%20(Id%20eq%20'a')&x=1&$skip=1&$top=1";
    assert_eq!(first["Members@odata.nextLink"], next);
    let last = apply("$skip=1&$top=1");
    assert_eq!(last["Members"], json!([{"@odata.id": "/2"}]));
    assert_eq!(last.get("Members@odata.nextLink"), None);
    let none = apply("$top=0");
    assert_eq!(none["Members"], json!([]));
    assert_eq!(none["Members@odata.count"], 2);
    let beyond = apply("$skip=9");
    assert_eq!(beyond["Members"], json!([]));
}

#[test]
fn a_large_collection_goes_out_in_pages_by_itself() {
    let members: Vec<_> =
        (0..2500).map(|n| json!({"@odata.id": format!("/{n}")})).collect();
    let body = || json!({"Members@odata.count": 2500, "Members": members});
    let mut text = String::new();
    let mut found = Vec::new();
    for _ in 0..3 {
        let page = apply("RoleCollection", &text, body()).unwrap();
        found.extend(page["Members"].as_array().unwrap().clone());
        assert_eq!(page["Members@odata.count"], 2500);
        let next = page.get("Members@odata.nextLink");
        text = next.map_or_else(String::new, |next| {
            next.as_str().unwrap().trim_start_matches("/c?").to_owned()
        });
    }
    assert_eq!(text, "");
    assert_eq!(found, members);
    let large = apply("RoleCollection", "$top=2000", body()).unwrap();
    let next = "/c?$skip=1000&$top=2000";
    assert_eq!(large["Members@odata.nextLink"], next);
    let whole = apply("RoleCollection", "$expand=.&$top=999", body()).unwrap();
    assert_eq!(whole["Members"].as_array().unwrap().len(), EXPANDED_PAGE);
}

/// Members by URI.
struct Kept(Vec<Map<String, Value>>);

impl Source for Kept {
    fn fetch(&self, uri: &str) -> Option<Map<String, Value>> {
        let named = |it: &&Map<_, _>| it.get("@odata.id") == Some(&uri.into());
        self.0.iter().find(named).cloned()
    }
}

/// Parameters that were drawn, and what they should make of `kept`.
struct Drawn {
    text: String,
    expected: Vec<Value>,
    count: usize,
}

fn draw(random: &mut StdRng, kept: &[Map<String, Value>]) -> Drawn {
    let mut parameters = Vec::new();
    let mut members = kept.to_vec();
    if random.random_bool(0.7) {
        // What cannot mean anything is refused, and not of interest here.
        let (meant, written) = loop {
            let meant = model::node(random, 3);
            let written = meant.print(random, 0);
            let filter = Filter::parse(&written).unwrap();
            if filter.of_members(None).is_ok() {
                break (meant, written);
            }
        };
        let encoded = form_encoded(&written);
        parameters.push(format!("$filter={encoded}"));
        members.retain(|member| meant.of(member) == Value::Bool(true));
    }
    let count = members.len();
    if random.random_bool(0.5) {
        let skip = random.random_range(0..6);
        parameters.push(format!("$skip={skip}"));
        members = members.split_off(skip.min(members.len()));
    }
    if random.random_bool(0.5) {
        let top = random.random_range(0..6);
        parameters.push(format!("$top={top}"));
        members.truncate(top);
    }
    let expand = random.random_bool(0.5);
    let select = expand && random.random_bool(0.5);
    if expand {
        parameters.push("$expand=.".to_owned());
    }
    if select {
        parameters.push("$select=A,S/B".to_owned());
    }
    let shown = members.iter().map(|member| {
        let id = &member["@odata.id"];
        let mut whole = json!({"@odata.id": id});
        if expand {
            whole = Value::Object(member.clone());
        }
        if select {
            let mut part = json!({"@odata.id": id});
            if let Some(a) = member.get("A") {
                part["A"] = a.clone();
            }
            if let Some(s) = member.get("S") {
                part["S"] = json!({"B": s["B"]});
            }
            whole = part;
        }
        whole
    });
    let expected = shown.collect();
    parameters.shuffle(random);
    Drawn { text: parameters.join("&"), expected, count }
}

fn form_encoded(text: &str) -> String {
    let safe = |b: &u8| b.is_ascii_alphanumeric() || b"/().'".contains(b);
    let encode = |b: u8| {
        if safe(&b) { char::from(b).to_string() } else { format!("%{b:02X}") }
    };
    text.bytes().map(encode).collect()
}

#[test]
fn any_combination_gives_what_a_simple_model_gives() {
    for seed in 0..1500 {
        let mut random = StdRng::seed_from_u64(seed);
        let random = &mut random;
        let kept: Vec<_> = (0..random.random_range(0..10))
            .map(|n| {
                let mut member = model::member(random);
                member.insert("@odata.id".into(), format!("/c/{n}").into());
                member
            })
            .collect();
        let links: Vec<_> = kept
            .iter()
            .map(|it| json!({"@odata.id": it["@odata.id"]}))
            .collect();
        let body = json!({"@odata.id": "/c", "Name": "C",
            "Members@odata.count": links.len(), "Members": links});
        let Drawn { text, expected, count } = draw(random, &kept);
        let query = Query::parse(&text).unwrap();
        let body = body.as_object().unwrap().clone();
        let kept = Kept(kept);
        let found = query.apply("XCollection", "/c", body, &kept).unwrap();
        let members = found["Members"].as_array().unwrap();
        assert_eq!(*members, expected, "{seed}: {text}");
        assert_eq!(found["Members@odata.count"], count, "{seed}: {text}");
        let more = found.get("Members@odata.nextLink");
        let skip = query.skip.unwrap_or_default();
        let rest = skip + members.len() < count && !members.is_empty();
        assert_eq!(more.is_some(), rest, "{seed}: {text}: {more:?}");
        if let Some(next) = more.and_then(Value::as_str) {
            let next = Query::parse(next.split_once('?').unwrap().1).unwrap();
            assert_eq!(next.skip, Some(skip + members.len()));
            assert_eq!(next.filter, query.filter);
            assert_eq!((next.top, next.select), (query.top, query.select));
            assert_eq!(next.expand, query.expand);
        }
    }
}
