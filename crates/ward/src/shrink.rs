//! The shortest list of steps that still breaks something.

use crate::bug::Bug;
use crate::run::run;
use crate::step::Plan;

/// Cuts a failing plan down: leaves out ever smaller pieces as long as what is left fails, in at most
/// `runs` runs.
#[must_use]
pub fn shrink(plan: &Plan, bug: Option<Bug>, runs: usize) -> Plan {
    let mut best = plan.clone();
    let mut left = runs;
    let mut size = best.steps.len().div_ceil(2);
    while size > 0 {
        let mut at = 0;
        let mut shrunk = false;
        while at < best.steps.len() && left > 0 {
            let mut shorter = best.clone();
            let end = at.saturating_add(size).min(shorter.steps.len());
            drop(shorter.steps.drain(at..end));
            left -= 1;
            if run(&shorter, bug).breaks.is_empty() {
                at = end;
            } else {
                best = shorter;
                shrunk = true;
            }
        }
        if left == 0 {
            break;
        }
        if !shrunk || size > 1 {
            size /= 2;
        }
    }
    best
}
