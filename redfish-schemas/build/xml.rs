//! An XML document as a tree, without prose.

use crate::Result;
use quick_xml::{
    Reader,
    events::{BytesStart, Event},
};

/// An element with its attributes, children and text.
#[derive(Debug, Default)]
pub(crate) struct Element {
    pub(crate) name: String,
    pub(crate) text: String,
    pub(crate) children: Vec<Element>,
    attributes: Vec<(String, String)>,
}

impl Element {
    /// The value of an attribute.
    pub(crate) fn get(&self, attribute: &str) -> Option<&str> {
        let found = self.attributes.iter().find(|(name, _)| name == attribute);
        found.map(|(_, value)| value.as_str())
    }

    /// The children with this name.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &Element> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// The annotation with this term.
    pub(crate) fn annotation(&self, term: &str) -> Option<&Element> {
        self.all("Annotation").find(|child| child.get("Term") == Some(term))
    }

    /// All elements below this one with this name, at any depth.
    pub(crate) fn descendants<'a>(&'a self, name: &str) -> Vec<&'a Element> {
        let mut found = Vec::new();
        for child in &self.children {
            if child.name == name {
                found.push(child);
            }
            found.extend(child.descendants(name));
        }
        found
    }

    fn prose(&self) -> bool {
        let term = self.get("Term").unwrap_or_default();
        term == "OData.Description" || term == "OData.LongDescription"
    }
}

/// Parses a document and answers with its root element.
pub(crate) fn parse(text: &str) -> Result<Element> {
    let mut reader = Reader::from_str(text);
    let mut open = vec![Element::default()];
    loop {
        match reader.read_event()? {
            Event::Start(tag) => open.push(element(&tag)?),
            Event::Empty(tag) => close(&mut open, element(&tag)?),
            Event::Text(text) => {
                if let Some(parent) = open.last_mut() {
                    parent.text.push_str(text.decode()?.trim());
                }
            }
            Event::End(_) => {
                let done = open.pop().ok_or("an end tag too many")?;
                close(&mut open, done);
            }
            Event::Eof => break,
            _ => {}
        }
    }
    let root = open.pop().and_then(|mut top| top.children.pop());
    Ok(root.ok_or("an empty document")?)
}

fn close(open: &mut [Element], done: Element) {
    if let Some(parent) = open.last_mut()
        && !done.prose()
    {
        parent.children.push(done);
    }
}

fn element(tag: &BytesStart<'_>) -> Result<Element> {
    let name = String::from_utf8(tag.local_name().as_ref().to_vec())?;
    let attributes = tag
        .attributes()
        .map(|attribute| {
            let attribute = attribute?;
            let key = String::from_utf8(attribute.key.as_ref().to_vec())?;
            Ok((key, attribute.unescape_value()?.into_owned()))
        })
        .collect::<Result<_>>()?;
    Ok(Element { name, attributes, ..Element::default() })
}
