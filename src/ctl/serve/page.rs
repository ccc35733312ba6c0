//! The status page: one document without any other file, and what its browser may do with it.

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

/// The document.
pub(super) const PAGE: &str = include_str!("page.html");

/// `Content-Security-Policy`: exactly this document's own style and script, and nothing from
/// elsewhere. Should a text of the daemon ever become markup, it is dead markup.
pub(super) static POLICY: LazyLock<String> = LazyLock::new(|| {
    format!(
        "default-src 'none'; style-src {}; script-src {}; connect-src 'self'; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        source("style"),
        source("script"),
    )
});

/// The hash of the one element of this kind.
fn source(element: &str) -> String {
    let after = PAGE.split_once(&format!("<{element}>")).map_or("", |(_, after)| after);
    let text = after.split_once(&format!("</{element}>")).map_or("", |(text, _)| text);
    format!("'sha256-{}'", STANDARD.encode(Sha256::digest(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rule: the page is complete in itself, and no text of the daemon can become markup in it.
    #[test]
    fn the_page_is_self_contained() {
        for foreign in ["http:", "https:", "//cdn", "@import", "url(", "src=", "<link rel=\"style"]
        {
            assert!(!PAGE.contains(foreign), "{foreign}");
        }
        for dangerous in ["innerHTML", "outerHTML =", "insertAdjacent", "document.write", "eval("] {
            assert!(!PAGE.contains(dangerous), "{dangerous}");
        }
        assert!(!PAGE.contains(" style=") && !PAGE.contains(" onclick="));
    }

    /// Rule: the policy allows exactly one style and one script, by what is in them.
    #[test]
    fn the_policy_names_what_is_in_the_page() {
        let empty = STANDARD.encode(Sha256::digest(""));
        assert_eq!(POLICY.matches("'sha256-").count(), 2);
        assert!(!POLICY.contains(&empty) && !POLICY.contains("unsafe"), "{}", *POLICY);
        assert_eq!(PAGE.matches("<script").count(), 1);
        assert_eq!(PAGE.matches("<style").count(), 1);
    }
}
