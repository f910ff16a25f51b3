//! Provisioning of a bedside monitor: `IProvisioningService`, its ports, and the driver that
//! executes the device machine.
//!
//! ```text
//!   screens, control socket        listener (transport)      store, keys (persistence)
//!            │                            │                            ▲
//!            ▼                            ▼                            │
//!   IProvisioningService ────────► driver: one task, one machine ──────┤
//!            ▲                            │                            │
//!   events, view, link ◄── LinkSupervisor ◄── StartLink / StopLink     ▼
//!                                                            station link (transport)
//! ```
//!
//! The machine (`zmon-protocol`) decides; this crate commits what it decided, durably and with its
//! audit rows, **before** anything happens in the world (D16). It reads no clock but the [`Clock`]
//! port, draws no randomness but from [`SharedRng`], and does no network or disk of its own.
//!
//! [`Clock`]: ports::Clock
//! [`SharedRng`]: ports::SharedRng
//!
//! # Composing a device
//!
//! Fill in [`DeviceParts`] with adapters, await [`CentralStationProvisioningService::start`], share
//! the service as `Arc<dyn IProvisioningService>`, and await `shutdown` before the process ends.
//! [`MockProvisioningService`] behaves alike without any adapter.
//!
//! # Features
//!
//! - `simulate`: [`IProvisioningService::simulate_provisioning`] runs the real machine against a
//!   station in memory (D20). Development only; never in a release device.

pub mod clock;
pub mod link;
pub mod ports;
pub mod qr;

mod central;
mod driver;
mod mock;
mod operators;
mod rng;
mod service;
mod settings;
#[cfg(feature = "simulate")]
mod simulate;

pub use central::CentralStationProvisioningService;
pub use driver::{AnchorImport, DeviceParts};
pub use mock::{MockConfig, MockProvisioningService};
pub use operators::{AuditedOperators, LocalOperator};
pub use service::{
    CertificateView, CodeVerdict, Confirmation, EventHub, EventStream, IProvisioningService,
    ManualView, Opening, PairingView, PayloadFields, ProvisioningError, ProvisioningEvent,
    ProvisioningPayload, ProvisioningResult, QrView, ServiceView, VerifiedConfiguration,
};
pub use settings::SlotSettings;
#[cfg(feature = "simulate")]
pub use simulate::SimulatedStation;
