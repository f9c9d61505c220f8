//! Files that pages refer to; `build.rs` embeds them.

use bytes::Bytes;
use http::{Response, StatusCode, header};

/// A file, served under its hash and therefore for ever.
#[derive(Debug)]
pub(crate) struct Asset {
    name: &'static str,
    hash: &'static str,
    kind: &'static str,
    plain: &'static [u8],
    packed: &'static [u8],
}

const ASSETS: &[Asset] = include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// Where the file of this name is served, if it was there at build time.
pub(crate) fn path(name: &str) -> Option<String> {
    let asset = ASSETS.iter().find(|asset| asset.name == name)?;
    Some(format!("/assets/{}/{}", asset.hash, asset.name))
}

/// The file at `/assets/{hash}/{name}`.
pub(crate) fn serve(
    hash: &str,
    name: &str,
    gzip: bool,
) -> Option<Response<Bytes>> {
    let asset =
        ASSETS.iter().find(|asset| asset.name == name && asset.hash == hash)?;
    let mut answer = Response::builder()
        .status(StatusCode::OK)
        .header(header::CONTENT_TYPE, asset.kind)
        .header(header::CACHE_CONTROL, "public, max-age=31536000, immutable")
        .header(header::VARY, "accept-encoding")
        .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    let bytes = if gzip {
        answer = answer.header(header::CONTENT_ENCODING, "gzip");
        asset.packed
    } else {
        asset.plain
    };
    answer.body(Bytes::from_static(bytes)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_first_visit_loads_is_small() {
        let packed: usize = ASSETS.iter().map(|asset| asset.packed.len()).sum();
        assert!(packed < 40 * 1024, "{packed} bytes");
    }

    #[test]
    fn an_asset_is_served_under_its_hash_only() {
        let path = path("style.css").unwrap();
        let [_, _, hash, name] = path.split('/').collect::<Vec<_>>()[..] else {
            panic!("{path}")
        };
        assert!(serve(hash, name, true).is_some());
        assert!(serve("0000", name, true).is_none());
    }
}
