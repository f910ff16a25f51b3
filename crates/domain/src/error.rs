//! Every error that a person or a peer can be shown ([W §7.1], D24).
//!
//! A [`ErrorCode`] is a stable name for one cause. Its row in the table says who is to blame, at which
//! step and on which side it happened, what to say, what to do next and how HTTP carries it. The
//! same text appears on every screen, in every answer and in the audit log.

mod markdown;
mod name;
mod report;
mod table;

pub use markdown::markdown;
pub use name::{Blame, ErrorName, Side, Step};
pub use report::{ErrorReport, FieldError};
pub use table::ErrorCode;
