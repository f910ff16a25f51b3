//! TLS 1.3 configurations: one function per kind of endpoint (D17).
//!
//! | endpoint | server shows | client shows | checked by |
//! |---|---|---|---|
//! | device provisioning listener | self-signed by the identity key | nothing | [`pinned_client`]: thumbprint and CertificateVerify |
//! | operators' listener | station certificate | nothing | [`trusting_client`]: path to a given CA, name |
//! | device listener of the station | station certificate | device certificate | [`ClientAuthority`], CRL live; [`device_client`]: path, name, SPKI pin |
//!
//! No configuration resumes a session: a resumed session skips the certificate, so a revoked
//! device would come back. Servers keep no session store and send no tickets, clients store none.

mod client;
mod context;
mod identity;
mod peer;
mod pin;
mod revocation;
mod server;

pub use client::{
    ClientCredentials, certificates_from_pem, device_client, nameless_client, pinned_client,
    trusting_client,
};
pub use context::{TlsContext, TlsSetupError};
pub use identity::identity_server;
pub use peer::PeerCertificate;
#[cfg(feature = "station")]
pub(crate) use peer::refused_peer;
pub use pin::PinMismatch;
pub use revocation::ClientAuthority;
pub use server::{ServerCredentials, mutual_server, operator_server};
