//! The bar that a person at a terminal sees while a batch goes on.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use zmon_wire::batch::BatchView;

use super::show::numbers;

/// The bar, the items that have come to their end, and all states in words: below 80 columns.
const TEMPLATE: &str = "{bar:24} {pos:>4}/{len:<4} {msg}";

/// The bar; nobody sees it where standard error is no terminal.
pub(super) struct Progress(ProgressBar);

impl Progress {
    /// A bar on standard error for people, none for programs.
    pub(super) fn new(for_people: bool) -> Self {
        let target =
            if for_people { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Self::on(target)
    }

    fn on(target: ProgressDrawTarget) -> Self {
        let bar = ProgressBar::with_draw_target(Some(0), target);
        // A template of ours that is wrong leaves the usual one.
        if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
            bar.set_style(style.progress_chars("=> "));
        }
        Self(bar)
    }

    /// Shows where the batch stands.
    pub(super) fn show(&self, view: &BatchView) {
        let counts = &view.counts;
        let ended = counts.total() - counts.waiting - counts.pairing;
        self.0.set_length(u64::from(counts.total()));
        self.0.set_position(u64::from(ended));
        self.0.set_message(numbers(view));
    }

    /// Writes something else without tearing the bar.
    pub(super) fn aside<T>(&self, write: impl FnOnce() -> T) -> T {
        self.0.suspend(write)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use indicatif::{InMemoryTerm, TermLike};

    use super::*;
    use crate::batch::show::tests::golden;

    #[test]
    fn the_bar_fits_80_columns() {
        let term = InMemoryTerm::new(4, 80);
        let progress = Progress::on(ProgressDrawTarget::term_like(
            Box::new(term.clone()) as Box<dyn TermLike>
        ));
        let mut view = golden();
        view.counts.paired = 996;
        view.counts.pairing = 64;
        progress.show(&view);
        progress.aside(|| ());
        let shown = term.contents();
        assert_eq!(shown.lines().count(), 1, "{shown}");
        let words = "996 paired, 1 failed, 64 at work, 1 waiting";
        assert!(shown.contains("997/1062") && shown.contains(words), "{shown}");
        drop(progress);
        assert_eq!(term.contents(), "");
    }
}
