//! The part of `JSONPath` that overlays need: names, wildcards, indices,
//! descent and filters on equality.

use serde_json::Value;

/// Why a path cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot read the JSONPath `{path}` at character {at}")]
pub(crate) struct BadPath {
    path: String,
    at: usize,
}

#[derive(Debug, Clone, PartialEq)]
enum Step {
    /// `.name`, `['name']`, `['a', 'b']`
    Names(Vec<String>),
    /// `.*`, `[*]`
    All,
    /// `[0]`
    Index(usize),
    /// `..`: the node and all below it
    Descend,
    /// `[?(@.name == 'x')]`, or `[?(@.name)]` for "has it"
    Filter { names: Vec<String>, equals: Option<Value> },
}

/// A path that was read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct JsonPath(Vec<Step>);

impl JsonPath {
    /// Reads `text`, which starts with `$`.
    pub(crate) fn parse(text: &str) -> Result<Self, BadPath> {
        let mut reader = Reader { text, rest: text };
        if !reader.take("$") {
            return Err(reader.bad());
        }
        let mut steps = Vec::new();
        while !reader.rest.is_empty() {
            if reader.take("..") {
                steps.push(Step::Descend);
                if reader.take("*") {
                    steps.push(Step::All);
                } else if !reader.rest.starts_with('[') {
                    steps.push(Step::Names(vec![reader.word()?]));
                }
            } else if reader.take(".*") {
                steps.push(Step::All);
            } else if reader.take(".") {
                steps.push(Step::Names(vec![reader.word()?]));
            } else if reader.take("[") {
                steps.push(reader.brackets()?);
            } else {
                return Err(reader.bad());
            }
        }
        Ok(Self(steps))
    }

    /// The JSON pointers of all nodes the path leads to.
    pub(crate) fn find(&self, root: &Value) -> Vec<String> {
        let mut found = vec![String::new()];
        for step in &self.0 {
            found = found
                .iter()
                .filter_map(|at| Some((at, root.pointer(at)?)))
                .flat_map(|(at, node)| walk(step, at, node))
                .collect();
        }
        found.sort();
        found.dedup();
        found
    }
}

fn walk(step: &Step, at: &str, node: &Value) -> Vec<String> {
    match step {
        Step::Names(names) => names
            .iter()
            .filter(|name| node.get(name.as_str()).is_some())
            .map(|name| child(at, name))
            .collect(),
        Step::Index(index) => node
            .get(*index)
            .map(|_| child(at, &index.to_string()))
            .into_iter()
            .collect(),
        Step::All => children(at, node).into_iter().map(|c| c.0).collect(),
        Step::Descend => {
            let mut all = vec![at.to_owned()];
            for (at, node) in children(at, node) {
                all.extend(walk(step, &at, node));
            }
            all
        }
        Step::Filter { names, equals } => children(at, node)
            .into_iter()
            .filter(|(_, node)| {
                let found = names
                    .iter()
                    .try_fold(*node, |node, name| node.get(name.as_str()));
                match equals {
                    Some(_) => found == equals.as_ref(),
                    None => found.is_some(),
                }
            })
            .map(|c| c.0)
            .collect(),
    }
}

fn child(at: &str, name: &str) -> String {
    format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"))
}

fn children<'a>(at: &str, node: &'a Value) -> Vec<(String, &'a Value)> {
    match node {
        Value::Object(map) => {
            map.iter().map(|(name, node)| (child(at, name), node)).collect()
        }
        Value::Array(items) => items
            .iter()
            .enumerate()
            .map(|(index, node)| (child(at, &index.to_string()), node))
            .collect(),
        _ => Vec::new(),
    }
}

struct Reader<'a> {
    text: &'a str,
    rest: &'a str,
}

impl Reader<'_> {
    fn bad(&self) -> BadPath {
        BadPath {
            path: self.text.to_owned(),
            at: self.text.len() - self.rest.len() + 1,
        }
    }

    fn take(&mut self, prefix: &str) -> bool {
        let after = self.rest.strip_prefix(prefix);
        self.rest = after.unwrap_or(self.rest);
        after.is_some()
    }

    fn expect(&mut self, prefix: &str) -> Result<(), BadPath> {
        self.rest = self.rest.trim_start();
        if self.take(prefix) { Ok(()) } else { Err(self.bad()) }
    }

    fn until(&mut self, end: impl Fn(char) -> bool) -> &str {
        let length = self.rest.find(end).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(length);
        self.rest = rest;
        word
    }

    fn word(&mut self) -> Result<String, BadPath> {
        let plain = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
        match self.until(|c| !plain(c)) {
            "" => Err(self.bad()),
            word => Ok(word.to_owned()),
        }
    }

    fn quoted(&mut self) -> Result<Option<String>, BadPath> {
        self.rest = self.rest.trim_start();
        let Some(quote) =
            self.rest.chars().next().filter(|c| *c == '\'' || *c == '"')
        else {
            return Ok(None);
        };
        self.take(&quote.to_string());
        let word = self.until(|c| c == quote).to_owned();
        self.expect(&quote.to_string())?;
        Ok(Some(word))
    }

    fn brackets(&mut self) -> Result<Step, BadPath> {
        self.rest = self.rest.trim_start();
        let step = if self.take("*") {
            Step::All
        } else if self.take("?") {
            self.filter()?
        } else if let Some(name) = self.quoted()? {
            let mut names = vec![name];
            while self.rest.trim_start().starts_with(',') {
                self.expect(",")?;
                names.push(self.quoted()?.ok_or_else(|| self.bad())?);
            }
            Step::Names(names)
        } else {
            let index = self.word()?.parse().map_err(|_| self.bad())?;
            Step::Index(index)
        };
        self.expect("]")?;
        Ok(step)
    }

    fn filter(&mut self) -> Result<Step, BadPath> {
        let enclosed = self.take("(");
        self.expect("@")?;
        let mut names = Vec::new();
        loop {
            if self.take(".") {
                names.push(self.word()?);
            } else if self.take("[") {
                names.push(self.quoted()?.ok_or_else(|| self.bad())?);
                self.expect("]")?;
            } else {
                break;
            }
        }
        self.rest = self.rest.trim_start();
        let equals = if self.take("==") {
            let value = if let Some(text) = self.quoted()? {
                Value::String(text)
            } else {
                let word = self.word()?;
                serde_json::from_str(&word).map_err(|_| self.bad())?
            };
            Some(value)
        } else {
            None
        };
        if enclosed {
            self.expect(")")?;
        }
        Ok(Step::Filter { names, equals })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(path: &str) -> Vec<String> {
        let document = json!({
            "paths": {"/v1/a": {"get": {"x": 1}}, "/v1/b": {"get": {}}},
            "tags": [{"name": "a"}, {"name": "b", "live": true}],
        });
        JsonPath::parse(path).unwrap().find(&document)
    }

    #[test]
    fn finds_names_wildcards_indices_and_filters() {
        assert_eq!(found("$"), [""]);
        assert_eq!(found("$.paths['/v1/a'].get"), ["/paths/~1v1~1a/get"]);
        assert_eq!(found("$.paths['/v1/a', \"/v1/b\"]").len(), 2);
        assert_eq!(found("$.paths.*.get").len(), 2);
        assert_eq!(found("$.tags[1]"), ["/tags/1"]);
        assert_eq!(found("$.tags[?(@.name == 'b')]"), ["/tags/1"]);
        assert_eq!(found("$.tags[?@.live==true]"), ["/tags/1"]);
        assert_eq!(found("$.tags[?(@.live)]"), ["/tags/1"]);
        assert_eq!(found("$..x"), ["/paths/~1v1~1a/get/x"]);
        assert_eq!(found("$.none.at.all"), [""; 0]);
    }

    #[test]
    fn says_where_a_path_cannot_be_read() {
        for (path, at) in [("paths", 1), ("$.a[", 5), ("$.a['b", 7)] {
            assert_eq!(JsonPath::parse(path).unwrap_err().at, at, "{path}");
        }
    }
}
