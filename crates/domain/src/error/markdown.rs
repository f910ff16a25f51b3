//! `docs/ERRORS.md`, made from the table.

use alloc::{format, string::String};

use super::{ErrorCode, ErrorName};

const HEAD: &str = "# Errors

Made from the table in `crates/domain/src/error/table.rs`; a test compares the two. Every error has
one stable code. The same code, text and next step appear on every screen, in every answer and in the
audit log. Where the side is `own` the cause lies with whoever reports it, device or station. `retry` says whether the same request may succeed if it is simply repeated.

Before a network peer has proved that it holds the pairing code or token, it gets the one answer
`claim_refused` for every cause; the precise code is in the device's audit log.
";

/// The whole table as `docs/ERRORS.md`: one section per name of [W §7.1], one for the rest.
#[must_use]
pub fn markdown() -> String {
    let mut text = String::from(HEAD);
    for name in ErrorName::ALL {
        section(&mut text, &format!("`{name}` ([W §7.1])"), Some(*name));
    }
    section(&mut text, "Others: operation and administration", None);
    text
}

fn section(text: &mut String, title: &str, name: Option<ErrorName>) {
    text.push_str(&format!(
        "\n## {title}\n\n| code | blame | step | side | HTTP | retry | message | next |\n\
         |---|---|---|---|---|---|---|---|\n"
    ));
    for code in ErrorCode::ALL.iter().filter(|code| code.name() == name) {
        let retry = if code.retryable() { "yes" } else { "no" };
        text.push_str(&format!(
            "| `{code}` | {} | {} | {} | {} | {retry} | {} | {} |\n",
            code.blame(),
            code.step(),
            if code.is_own_ground() { "own" } else { code.side().as_str() },
            code.http_status(),
            code.message(),
            code.next(),
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_one_line() {
        let text = markdown();
        for code in ErrorCode::ALL {
            assert_eq!(text.matches(&format!("\n| `{code}` |")).count(), 1, "{code}");
        }
    }

    #[test]
    fn no_cell_breaks_the_table() {
        for code in ErrorCode::ALL {
            assert!(!code.message().contains('|') && !code.next().contains('|'), "{code}");
        }
    }
}
