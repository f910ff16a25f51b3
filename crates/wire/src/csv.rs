//! Tables for spreadsheets (RFC 4180).

use alloc::{borrow::Cow, string::String};

/// Writes one line. What a spreadsheet would take for a formula begins with an apostrophe.
#[must_use]
pub fn line<'a>(cells: impl IntoIterator<Item = Cow<'a, str>>) -> String {
    let mut line = String::new();
    for (index, text) in cells.into_iter().enumerate() {
        if index > 0 {
            line.push(',');
        }
        cell(&mut line, &text);
    }
    line.push_str("\r\n");
    line
}

fn cell(line: &mut String, text: &str) {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let apostrophe = if formula { "'" } else { "" };
    if text.contains(['"', ',', '\r', '\n']) {
        line.push('"');
        line.push_str(apostrophe);
        line.push_str(&text.replace('"', "\"\""));
        line.push('"');
    } else {
        line.push_str(apostrophe);
        line.push_str(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(cells: &[&'static str]) -> String {
        line(cells.iter().map(|text| Cow::Borrowed(*text)))
    }

    #[test]
    fn what_needs_quotes_has_them() {
        assert_eq!(written(&["a", "", "b c"]), "a,,b c\r\n");
        assert_eq!(
            written(&["a,b", "say \"x\"", "1\n2"]),
            "\"a,b\",\"say \"\"x\"\"\",\"1\n2\"\r\n"
        );
    }

    #[test]
    fn no_cell_is_a_formula() {
        for formula in
            ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "=HYPERLINK(\"http://x\",\"y\")"]
        {
            let written = written(&[formula]);
            let first = written.trim_start_matches('"').chars().next();
            assert_eq!(first, Some('\''), "{written}");
        }
        assert_eq!(written(&["ZM-001"]), "ZM-001\r\n");
    }
}
