//! Pull and courier (D7): devices that the station cannot or may not dial; and what an operator has a claimed
//! device do by whichever route.

#[cfg(test)]
#[path = "cases/blink.rs"]
mod blink;
#[cfg(test)]
#[path = "cases/routes.rs"]
mod cases;
#[cfg(test)]
mod common;
