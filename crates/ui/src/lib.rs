//! View-model of the provisioning screens ([W §9], [W §11.2]), and one of them: a web page.
//!
//! The document's controller exposed eight properties and five invokables to QML. Here they are one
//! value, [`ProvisioningProperties`], on a tokio watch channel, and five methods of
//! [`ProvisioningViewModel`]. There is no toolkit, no web type and no network in it: a screen of any
//! kind subscribes and draws.
//!
//! # Features
//!
//! - `web` (default): the module `web`, the device's screen as a router over the view-model.

mod properties;
mod view_model;
#[cfg(feature = "web")]
pub mod web;

pub use properties::ProvisioningProperties;
pub use view_model::ProvisioningViewModel;
