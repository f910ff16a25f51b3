//! Where a command writes: the real standard streams, or buffers of a test.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

/// Columns of text when the terminal does not tell.
pub const DEFAULT_WIDTH: usize = 80;

/// The output streams of one command and how it should use them.
pub struct Streams<'a> {
    out: &'a mut (dyn Write + Send),
    err: &'a mut (dyn Write + Send),
    json: bool,
    terminal: bool,
}

impl<'a> Streams<'a> {
    /// Streams over any two writers; `terminal` tells whether a person reads `out` directly.
    pub fn new(
        out: &'a mut (dyn Write + Send),
        err: &'a mut (dyn Write + Send),
        terminal: bool,
    ) -> Self {
        Self { out, err, json: false, terminal }
    }

    /// Switches to one JSON document a line for programs.
    pub fn set_json(&mut self, json: bool) {
        self.json = json;
    }

    /// Whether output is for programs.
    #[must_use]
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// Whether a person reads standard output on a terminal.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// One line for people on standard output; silent in JSON mode.
    ///
    /// # Errors
    /// When the stream cannot be written, e.g. a closed pipe.
    pub fn say(&mut self, line: &str) -> io::Result<()> {
        if self.json { Ok(()) } else { writeln!(self.out, "{line}") }
    }

    /// One line for people on standard error; silent in JSON mode.
    ///
    /// # Errors
    /// When the stream cannot be written.
    pub fn note(&mut self, line: &str) -> io::Result<()> {
        if self.json { Ok(()) } else { writeln!(self.err, "{line}") }
    }

    /// One JSON document as one line on standard output, and flushes it.
    ///
    /// # Errors
    /// When the stream cannot be written.
    pub fn json<T: Serialize>(&mut self, value: &T) -> io::Result<()> {
        let line = serde_json::to_string(value)?;
        writeln!(self.out, "{line}")?;
        self.out.flush()
    }

    /// Standard output itself, for output that is made while it is written.
    pub fn out(&mut self) -> &mut (dyn Write + Send) {
        self.out
    }

    /// Raw bytes on standard output, e.g. an exported file.
    ///
    /// # Errors
    /// When the stream cannot be written.
    pub fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        self.out.flush()
    }
}

/// Whether standard output of this process is a terminal.
#[must_use]
pub fn stdout_is_terminal() -> bool {
    io::stdout().is_terminal()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_silent_in_json_mode() {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut streams = Streams::new(&mut out, &mut err, false);
        streams.say("a").unwrap();
        streams.note("b").unwrap();
        streams.set_json(true);
        streams.say("c").unwrap();
        streams.note("d").unwrap();
        streams.json(&["e"]).unwrap();
        assert_eq!(out, b"a\n[\"e\"]\n");
        assert_eq!(err, b"b\n");
    }
}
