//! Unpacks the DMTF CSDL into a folder, for validators that read it.
//!
//! `cargo run -p onprem-redfish --example csdl -- DIR`

use std::{env, fs, path::PathBuf};

fn main() -> anyhow::Result<()> {
    let folder = env::args().nth(1).map(PathBuf::from);
    let Some(folder) = folder else { anyhow::bail!("usage: csdl DIR") };
    fs::create_dir_all(&folder)?;
    for file in fs::read_dir(nv_redfish_schema::REDFISH_CSDL_DIR)? {
        let file = file?;
        fs::copy(file.path(), folder.join(file.file_name()))?;
    }
    Ok(())
}
