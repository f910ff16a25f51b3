//! Local operators in a file (D22).

mod file;
mod hashing;
mod operators;
mod tries;

pub use file::FileAuthenticator;
pub use hashing::HashCost;
pub use operators::OperatorEntry;
