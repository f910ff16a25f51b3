//! View-model of the provisioning screens ([W §9], [W §11.2]).
//!
//! The document's controller exposed eight properties and five invokables to QML. Here they are one
//! value, [`ProvisioningProperties`], on a tokio watch channel, and five methods of
//! [`ProvisioningViewModel`]. There is no toolkit, no web type and no network in this crate: a
//! screen of any kind subscribes and draws.

mod properties;
mod view_model;

pub use properties::ProvisioningProperties;
pub use view_model::ProvisioningViewModel;
