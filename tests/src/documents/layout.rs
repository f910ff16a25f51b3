//! How values stand in a document.

use zmon_domain::hex;

/// Characters of a line of a long value.
const WIDTH: usize = 96;
/// Characters of a value that is given whole; longer ones by their size and SHA-256.
const LONGEST: usize = 2400;

/// A heading and its values, `name = value`, in one block.
pub(super) struct Block {
    text: String,
}

impl Block {
    pub(super) fn new(heading: &str, intro: &str) -> Self {
        Self { text: format!("\n{heading}\n\n{intro}\n\n```text\n") }
    }

    /// A value that is text as it is.
    pub(super) fn text(mut self, name: &str, value: &str) -> Self {
        let size = value.len();
        if size > LONGEST {
            let hash = hex::encode(&zmon_crypto::sha256(value.as_bytes()));
            self.text.push_str(&format!("{name} ({size} characters)\n  SHA-256 {hash}\n"));
        } else if name.len() + size + 3 <= WIDTH {
            self.text.push_str(&format!("{name} = {value}\n"));
        } else {
            self.text.push_str(&format!("{name} ({size} characters)\n"));
            self.lines(value);
        }
        self
    }

    /// Bytes in hexadecimal.
    pub(super) fn bytes(mut self, name: &str, value: &[u8]) -> Self {
        let size = value.len();
        if size > LONGEST / 2 {
            let hash = hex::encode(&zmon_crypto::sha256(value));
            self.text.push_str(&format!("{name} ({size} bytes)\n  SHA-256 {hash}\n"));
            return self;
        }
        let digits = hex::encode(value);
        if name.len() + digits.len() + 3 <= WIDTH {
            self.text.push_str(&format!("{name} = {digits}\n"));
        } else {
            self.text.push_str(&format!("{name} ({size} bytes)\n"));
            self.lines(&digits);
        }
        self
    }

    pub(super) fn end(mut self) -> String {
        self.text.push_str("```\n");
        self.text
    }

    fn lines(&mut self, mut rest: &str) {
        while !rest.is_empty() {
            let mut at = rest.len().min(WIDTH - 2);
            while !rest.is_char_boundary(at) {
                at -= 1;
            }
            let (line, further) = rest.split_at(at);
            self.text.push_str(&format!("  {line}\n"));
            rest = further;
        }
    }
}
