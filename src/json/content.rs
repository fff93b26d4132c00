//! Whether a body is shown as text.

/// Whether the bytes of this content type are text to people and programs; absent means text/plain.
pub(super) fn is_text(content_type: Option<&str>) -> bool {
    let Some(content_type) = content_type else { return true };
    // What follows are parameters: text/plain; charset=utf-8.
    let essence = content_type.split(';').next().unwrap_or_default().trim_ascii();
    begins(essence, "text/") || essence.eq_ignore_ascii_case("application/json") || ends(essence, "+json")
}

fn begins(text: &str, with: &str) -> bool {
    text.as_bytes().get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with.as_bytes()))
}

fn ends(text: &str, with: &str) -> bool {
    let start = text.len().saturating_sub(with.len());
    text.as_bytes()[start..].eq_ignore_ascii_case(with.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::is_text;

    #[test]
    fn text_and_json_are_text() {
        for text in
            ["text/plain", "Text/Markdown; charset=utf-8", "application/json", "application/json;x=y", "application/ld+JSON"]
        {
            assert!(is_text(Some(text)), "{text}");
        }
        assert!(is_text(None));
    }

    #[test]
    fn everything_else_is_not() {
        for other in ["", "image/png", "text", "application/jsonx", "json", "é", "x; text/plain", "application/octet-stream"] {
            assert!(!is_text(Some(other)), "{other}");
        }
    }
}
