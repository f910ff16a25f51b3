//! Plain text wrapped at words for an 80-column terminal.

use crate::streams::DEFAULT_WIDTH;

/// `text` broken at spaces so that no line is longer than 80 columns, where words allow; the first
/// line starts with `first`, the others with as many spaces.
#[must_use]
pub fn paragraph(first: &str, text: &str) -> String {
    let indent = first.chars().count();
    let mut lines = String::from(first);
    let mut column = indent;
    let mut fresh = true;
    for word in text.split_whitespace() {
        let width = word.chars().count();
        if !fresh && column + 1 + width > DEFAULT_WIDTH {
            lines.push('\n');
            lines.extend(std::iter::repeat_n(' ', indent));
            column = indent;
            fresh = true;
        }
        if !fresh {
            lines.push(' ');
            column += 1;
        }
        lines.push_str(word);
        column += width;
        fresh = false;
    }
    lines
}

/// The last `count` lines of `text`.
#[must_use]
pub fn tail(text: &str, count: usize) -> &str {
    let text = text.trim_end_matches('\n');
    let start = text.rmatch_indices('\n').nth(count.saturating_sub(1)).map(|(at, _)| at + 1);
    text.get(start.unwrap_or(0)..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_fit_and_align() {
        let text = "word ".repeat(40);
        let wrapped = paragraph("  next: ", &text);
        assert!(wrapped.lines().all(|line| line.chars().count() <= DEFAULT_WIDTH));
        assert!(wrapped.lines().skip(1).all(|line| line.starts_with("        word")));
        assert_eq!(wrapped.split_whitespace().filter(|word| *word == "word").count(), 40);
    }

    #[test]
    fn a_word_longer_than_the_line_stays_whole() {
        let long = "x".repeat(120);
        assert_eq!(paragraph("", &long), long);
    }

    #[test]
    fn the_tail_keeps_the_last_lines() {
        assert_eq!(tail("a\nb\nc\n", 2), "b\nc");
        assert_eq!(tail("a\nb\n", 5), "a\nb");
        assert_eq!(tail("", 5), "");
    }
}
