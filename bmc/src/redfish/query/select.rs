//! `$select`: which properties are wanted (DSP0266, "The $select query
//! parameter").

use serde_json::{Map, Value};

/// Paths of properties, without those before where one is.
type Paths<'a> = [&'a [String]];

/// Reads a list of paths; `None` if it is none.
pub(super) fn parse(text: &str) -> Option<Vec<Vec<String>>> {
    let paths = text.split(',').map(|path| {
        let names: Vec<_> = path.trim().split('/').map(str::to_owned).collect();
        let whole = names.iter().all(|name| !name.is_empty());
        whole.then_some(names)
    });
    paths.collect()
}

/// Keeps of `body` what one of `paths` leads to, and the annotations. Of a
/// collection with its members in place, it keeps that of each member.
pub(super) fn select(
    body: &mut Map<String, Value>,
    paths: &[Vec<String>],
    expanded: bool,
) {
    let paths: Vec<&[String]> = paths.iter().map(Vec::as_slice).collect();
    if !expanded {
        return narrow(body, &paths);
    }
    let of_members: Vec<&[String]> = paths
        .iter()
        .map(|path| match path.split_first() {
            Some((first, rest)) if first == "Members" && !rest.is_empty() => {
                rest
            }
            _ => path,
        })
        .collect();
    let all = paths.iter().any(|path| {
        path.split_first()
            .is_some_and(|(it, rest)| it == "Members" && rest.is_empty())
    });
    let members = body.shift_remove("Members");
    let about: Vec<_> = ["Members@odata.count", "Members@odata.nextLink"]
        .into_iter()
        .filter_map(|name| Some((name, body.shift_remove(name)?)))
        .collect();
    narrow(body, &paths);
    body.extend(about.into_iter().map(|(name, it)| (name.to_owned(), it)));
    if let Some(Value::Array(mut members)) = members {
        if !all {
            for member in members.iter_mut().filter_map(Value::as_object_mut) {
                narrow(member, &of_members);
            }
        }
        body.insert("Members".to_owned(), members.into());
    }
}

fn narrow(object: &mut Map<String, Value>, paths: &Paths<'_>) {
    let old = std::mem::take(object);
    for (name, mut value) in old {
        if name.starts_with("@odata.") {
            object.insert(name, value);
            continue;
        }
        let property = match name.split_once('@') {
            Some((property, _)) if !property.is_empty() => property,
            _ => &name,
        };
        let below: Vec<&[String]> = paths
            .iter()
            .filter_map(|path| path.split_first())
            .filter(|(first, _)| *first == property)
            .map(|(_, rest)| rest)
            .collect();
        if below.is_empty() {
            continue;
        }
        if below.iter().all(|rest| !rest.is_empty()) {
            match &mut value {
                Value::Object(inner) => narrow(inner, &below),
                Value::Array(items) => {
                    for item in
                        items.iter_mut().filter_map(Value::as_object_mut)
                    {
                        narrow(item, &below);
                    }
                }
                // It has nothing in it that could be meant, nor has what is
                // said about it.
                _ => continue,
            }
        }
        object.insert(name, value);
    }
}
