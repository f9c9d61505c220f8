//! The `$metadata` document of the served schemas.

use crate::csdl::{Csdl, is_own};

const ODATA: &str = "http://docs.oasis-open.org/odata/ns";
/// The namespace that declares the container every service extends.
const CONTAINER: &str = "ServiceRoot.v1_0_0";
/// Where the service itself serves our own schemas.
const STORE: &str = "/redfish/v1/SchemaStore";
const PUBLISHED: &str = "http://redfish.dmtf.org/schemas/v1";

/// XML with a reference to each schema in use. The entity container is in the
/// first schema of the data services, where clients look for it.
pub(crate) fn generate(csdl: &Csdl) -> String {
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <edmx:Edmx xmlns:edmx=\"{ODATA}/edmx\" Version=\"4.0\">\n"
    );
    for (name, newest) in csdl.documents() {
        text.push_str(&reference(name, newest));
    }
    text + &format!(
        "  <edmx:Reference Uri=\"{PUBLISHED}/RedfishExtensions_v1.xml\">\n    \
         <edmx:Include Namespace=\"RedfishExtensions.v1_0_0\" Alias=\"Redfish\"/>\n  \
         </edmx:Reference>\n  \
         <edmx:DataServices>\n    \
         <Schema xmlns=\"{ODATA}/edm\" Namespace=\"Service\">\n      \
         <EntityContainer Name=\"Service\" Extends=\"{CONTAINER}.ServiceContainer\"/>\n    \
         </Schema>\n  \
         </edmx:DataServices>\n\
         </edmx:Edmx>\n"
    )
}

fn reference(name: &str, newest: &str) -> String {
    let include =
        |namespace| format!("    <edmx:Include Namespace=\"{namespace}\"/>\n");
    let mut versioned = String::new();
    if name == "ServiceRoot" {
        versioned.push_str(&include(CONTAINER));
    }
    if newest != name {
        versioned.push_str(&include(newest));
    }
    let at = if is_own(name) { STORE } else { PUBLISHED };
    format!(
        "  <edmx:Reference Uri=\"{at}/{name}_v1.xml\">\n{}{versioned}  </edmx:Reference>\n",
        include(name)
    )
}
