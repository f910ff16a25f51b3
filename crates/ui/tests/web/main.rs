//! The device's screen as a router: its files, its events, its buttons, over the mock service.

#[cfg(test)]
mod catalogue;
#[cfg(test)]
mod screen;
