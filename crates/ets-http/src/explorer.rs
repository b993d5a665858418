//! The explorer's files, as they lie in `web/`, inside the program.

/// What the answers with these files say of where the page may load from:
/// only from here, and nothing inline.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; base-uri 'none'; form-action 'self'; \
     frame-ancestors 'none'; object-src 'none'";

/// A file of the explorer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asset {
    /// The path under which it is served.
    pub path: &'static str,
    /// Its `Content-Type`.
    pub media_type: &'static str,
    /// Its bytes.
    pub body: &'static [u8],
}

macro_rules! assets {
    ($($path:literal $file:literal $media_type:literal)*) => {
        &[$(Asset { path: $path, media_type: $media_type, body: include_bytes!(concat!("../web/", $file)) }),*]
    };
}

/// Every file. bytes.js, registry.js and verify.js are those of
/// examples/verify-js, by symbolic links: one definition.
pub const ASSETS: &[Asset] = assets! {
    "/" "index.html" "text/html; charset=utf-8"
    "/assets/style.css" "style.css" "text/css; charset=utf-8"
    "/assets/icon.svg" "icon.svg" "image/svg+xml"
    "/assets/api.js" "api.js" "text/javascript; charset=utf-8"
    "/assets/app.js" "app.js" "text/javascript; charset=utf-8"
    "/assets/bytes.js" "bytes.js" "text/javascript; charset=utf-8"
    "/assets/checkpoints.js" "checkpoints.js" "text/javascript; charset=utf-8"
    "/assets/dom.js" "dom.js" "text/javascript; charset=utf-8"
    "/assets/ed25519.js" "ed25519.js" "text/javascript; charset=utf-8"
    "/assets/event.js" "event.js" "text/javascript; charset=utf-8"
    "/assets/file.js" "file.js" "text/javascript; charset=utf-8"
    "/assets/listing.js" "listing.js" "text/javascript; charset=utf-8"
    "/assets/live.js" "live.js" "text/javascript; charset=utf-8"
    "/assets/plot.js" "plot.js" "text/javascript; charset=utf-8"
    "/assets/registry.js" "registry.js" "text/javascript; charset=utf-8"
    "/assets/sha2.js" "sha2.js" "text/javascript; charset=utf-8"
    "/assets/steps.js" "steps.js" "text/javascript; charset=utf-8"
    "/assets/trust.js" "trust.js" "text/javascript; charset=utf-8"
    "/assets/verify.js" "verify.js" "text/javascript; charset=utf-8"
    "/assets/vendor/noble-ed25519.js" "vendor/noble-ed25519.js" "text/javascript; charset=utf-8"
    "/assets/vendor/noble-ed25519.LICENSE" "vendor/noble-ed25519.LICENSE" "text/plain; charset=utf-8"
};

/// The file that is served at `path`.
pub fn asset(path: &str) -> Option<&'static Asset> {
    ASSETS.iter().find(|asset| asset.path == path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(asset: &Asset) -> &'static str {
        std::str::from_utf8(asset.body).expect("text")
    }

    /// What a file names in `before`…`"`.
    fn named<'a>(text: &'a str, before: &'a str) -> impl Iterator<Item = &'a str> {
        text.split(before).skip(1).filter_map(|rest| rest.split('"').next())
    }

    #[test]
    fn what_the_page_and_its_modules_name_is_there() {
        let page = text(asset("/").expect("the page"));
        let linked: Vec<&str> = named(page, "\"/assets/").collect();
        assert!(linked.len() >= 3);
        for file in linked {
            assert!(asset(&format!("/assets/{file}")).is_some(), "index.html names {file}");
        }
        let mut imports = 0;
        for module in ASSETS.iter().filter(|asset| asset.path.ends_with(".js")) {
            let source = text(module);
            for file in named(source, "from \"./").chain(named(source, "import(\"./")) {
                assert!(asset(&format!("/assets/{file}")).is_some(), "{} imports {file}", module.path);
                imports += 1;
            }
        }
        assert!(imports > 30);
        assert_eq!(asset("/assets/../Cargo.toml"), None);
    }

    #[test]
    fn the_policy_allows_what_the_files_do() {
        for file in ASSETS.iter().filter(|asset| !asset.path.contains("/vendor/")) {
            let source = text(file);
            for forbidden in [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
                " style=",
                " onclick=",
            ] {
                assert!(!source.contains(forbidden), "{} has {forbidden}", file.path);
            }
            let hosts = source
                .match_indices("//")
                .filter(|(at, _)| source[..*at].ends_with("http:") || source[..*at].ends_with("https:"));
            let hosts: Vec<&str> = hosts
                .map(|(at, _)| &source[at..])
                .filter(|rest| !rest.starts_with("//www.w3.org/2000/svg"))
                .collect();
            assert_eq!(hosts, Vec::<&str>::new(), "{} names another host", file.path);
        }
    }

    #[test]
    fn the_page_stays_small() {
        let first = |asset: &&Asset| !asset.path.contains("/vendor/") && !asset.path.ends_with("/sha2.js");
        let size: usize = ASSETS.iter().filter(first).map(|asset| asset.body.len()).sum();
        assert!(size < 80_000, "{size} bytes, without what only old browsers load");
    }
}
