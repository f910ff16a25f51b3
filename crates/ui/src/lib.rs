//! View-model of the provisioning screens ([W §9], [W §11.2]), and two of them: web pages.
//!
//! The document's controller exposed eight properties and five invokables to QML. Here they are one
//! value, [`ProvisioningProperties`], on a tokio watch channel, and five methods of
//! [`ProvisioningViewModel`]. There is no toolkit, no web type and no network in it: a screen of any
//! kind subscribes and draws.
//!
//! # Features
//!
//! - `view-model` (default): the view-model.
//! - `web` (default): the module `web`, the device's screen as a router over the view-model.
//! - `tablet` (default): the module `tablet`, the station's page for tablets; needs no view-model.
//! - `console` (default): the module `console`, the station's console, beside the page for tablets.

#[cfg(feature = "console")]
pub mod console;
#[cfg(any(feature = "web", feature = "tablet"))]
mod files;
#[cfg(feature = "view-model")]
mod properties;
#[cfg(feature = "tablet")]
pub mod tablet;
#[cfg(feature = "view-model")]
mod view_model;
#[cfg(feature = "web")]
pub mod web;

#[cfg(feature = "view-model")]
pub use properties::ProvisioningProperties;
#[cfg(feature = "view-model")]
pub use view_model::ProvisioningViewModel;
