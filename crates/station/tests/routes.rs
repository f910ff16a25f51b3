//! Pull and courier (D7): devices that the station cannot or may not dial.

#[cfg(test)]
#[path = "cases/routes.rs"]
mod cases;
#[cfg(test)]
mod common;
