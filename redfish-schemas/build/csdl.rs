//! The CSDL documents, loaded as they are needed, and questions about types.

use crate::{
    Result,
    xml::{self, Element},
};
use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::PathBuf,
    rc::Rc,
};

/// A schema version such as `v1_28_0`; unversioned namespaces have none.
type Version = (u32, u32, u32);

/// One schema document: its namespaces, oldest first.
#[derive(Debug)]
struct Family {
    namespaces: Vec<(Option<Version>, String)>,
}

/// The CSDL documents of folders.
#[derive(Debug)]
pub(crate) struct Csdl {
    /// DMTF's, SNIA's (which volumes refer to), and ours.
    folders: [PathBuf; 3],
    families: BTreeMap<String, Family>,
    types: HashMap<String, Rc<Element>>,
    actions: HashMap<String, Vec<Rc<Element>>>,
}

impl Csdl {
    pub(crate) fn new(folders: [&str; 3]) -> Self {
        Self {
            folders: folders.map(Into::into),
            families: BTreeMap::new(),
            types: HashMap::new(),
            actions: HashMap::new(),
        }
    }

    /// The documents of DMTF, and those of SNIA that DMTF does not have.
    pub(crate) fn files(&self) -> Result<Vec<PathBuf>> {
        let mut files = BTreeMap::new();
        let [published, storage, _] = &self.folders;
        for folder in [published, storage] {
            for entry in fs::read_dir(folder)? {
                let entry = entry?;
                files.entry(entry.file_name()).or_insert(entry.path());
            }
        }
        let files = files.into_values();
        let is_xml =
            |it: &PathBuf| it.extension().is_some_and(|it| it == "xml");
        Ok(files.filter(is_xml).collect())
    }

    /// The definition of a type, by its qualified name.
    pub(crate) fn definition(&mut self, name: &str) -> Result<Rc<Element>> {
        self.load(family(name))?;
        let found = self.types.get(name).cloned();
        Ok(found.ok_or_else(|| format!("no type {name}"))?)
    }

    /// The newest version of a type that is, or derives from, this one.
    pub(crate) fn newest(&mut self, name: &str) -> Result<String> {
        self.load(family(name))?;
        let local = local(name);
        let family = self.families.get(family(name)).ok_or("not loaded")?;
        for (_, namespace) in family.namespaces.iter().rev() {
            let candidate = format!("{namespace}.{local}");
            let mut ancestor = Some(candidate.clone());
            while let Some(current) = ancestor {
                if current == name {
                    return Ok(candidate);
                }
                ancestor = self
                    .types
                    .get(&current)
                    .and_then(|it| it.get("BaseType"))
                    .map(str::to_owned);
            }
        }
        Ok(name.to_owned())
    }

    /// The newest version of a resource type, by the name of its schema.
    pub(crate) fn newest_resource(&mut self, root: &str) -> Result<String> {
        self.newest(&format!("{root}.{root}"))
    }

    /// A type and those it derives from, the base first.
    pub(crate) fn lineage(&mut self, name: &str) -> Result<Vec<Rc<Element>>> {
        let mut lineage = Vec::new();
        let mut next = Some(name.to_owned());
        while let Some(name) = next {
            let definition = self.definition(&name)?;
            next = definition.get("BaseType").map(str::to_owned);
            lineage.push(definition);
        }
        lineage.reverse();
        Ok(lineage)
    }

    /// The actions bound to a resource type.
    pub(crate) fn actions(&self, root: &str) -> Vec<Rc<Element>> {
        self.actions.get(root).cloned().unwrap_or_default()
    }

    /// The loaded documents of DMTF and ours: name, and namespace of the newest
    /// version. Nothing that is served is of a type of SNIA's.
    pub(crate) fn documents(&self) -> impl Iterator<Item = (&str, &str)> {
        let [published, ..] = &self.folders;
        let served = |name: &str| {
            let file = published.join(format!("{name}_v1.xml"));
            is_own(name) || file.exists()
        };
        let families = self.families.iter();
        let families = families.filter(move |(name, _)| served(name));
        families.filter_map(|(name, family)| {
            let (_, newest) = family.namespaces.last()?;
            Some((name.as_str(), newest.as_str()))
        })
    }

    fn load(&mut self, family: &str) -> Result<()> {
        if self.families.contains_key(family) {
            return Ok(());
        }
        let [published, storage, own] = &self.folders;
        let name = format!("{family}_v1.xml");
        let file = if is_own(family) {
            own.join(name)
        } else {
            let file = published.join(&name);
            if file.exists() { file } else { storage.join(name) }
        };
        let text = fs::read_to_string(&file)
            .map_err(|error| format!("{}: {error}", file.display()))?;
        let document = xml::parse(&text)?;
        let mut namespaces = Vec::new();
        for schema in
            document.all("DataServices").flat_map(|it| it.all("Schema"))
        {
            let namespace = schema.get("Namespace").unwrap_or_default();
            namespaces.push((version(namespace), namespace.to_owned()));
        }
        namespaces.sort();
        let name = family.to_owned();
        self.families.insert(name, Family { namespaces });
        for services in document.children {
            for schema in services.children {
                self.add(schema);
            }
        }
        Ok(())
    }

    fn add(&mut self, schema: Element) {
        if schema.name != "Schema" {
            return;
        }
        let namespace = schema.get("Namespace").unwrap_or_default().to_owned();
        for item in schema.children {
            let Some(name) = item.get("Name") else { continue };
            if item.name == "Action" {
                let family = family(&namespace).to_owned();
                self.actions.entry(family).or_default().push(Rc::new(item));
            } else {
                let name = format!("{namespace}.{name}");
                self.types.insert(name, Rc::new(item));
            }
        }
    }
}

/// The schema that a qualified name or namespace belongs to.
pub(crate) fn family(name: &str) -> &str {
    name.split('.').next().unwrap_or(name)
}

/// Whether the schema of this name is one of ours.
pub(crate) fn is_own(family: &str) -> bool {
    family.starts_with("OnPrem")
}

/// A qualified name without its namespace.
pub(crate) fn local(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

fn version(namespace: &str) -> Option<Version> {
    let text = namespace.split_once(".v")?.1;
    let mut parts = text.split('_').map(str::parse);
    let mut next = || parts.next()?.ok();
    Some((next()?, next()?, next()?))
}
