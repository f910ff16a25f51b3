//! Identifiers, names and thumbprints: text and bytes that are valid once they exist.

mod binary;
mod text;

pub use binary::{BatchId, MessageId, Serial, SessionId, Thumbprint, TokenId, WindowId};
pub use text::{
    BatchName, BedId, DeviceId, DeviceLabel, DeviceModel, DeviceSerial, FirmwareVersion,
    InstanceName, OperatorId, OverrideReason, SiteId, StationId, StationName,
};
