//! The response structs, made by `nv-redfish-csdl-compiler`.

use crate::{Result, csdl::Csdl, sparse};
use nv_redfish_csdl_compiler::{
    edmx::QualifiedTypeName,
    generator::server_rust::{Builder, Input},
};

/// Rust source with one module a schema.
pub(crate) fn generate(csdl: &mut Csdl, roots: &[String]) -> Result<String> {
    let mut names = Vec::<QualifiedTypeName>::new();
    for root in roots {
        let name = csdl.newest_resource(root)?;
        names.push(name.parse().map_err(|_| format!("bad name {name}"))?);
    }
    let names: Vec<_> = names.iter().map(Into::into).collect();
    let files = csdl.files()?;
    let source = Builder::new(&names)
        .generate(Input::Files(&files))
        .map_err(|error| error.to_string())?;
    sparse::rewrite(&source)
}
