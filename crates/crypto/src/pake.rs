//! The key exchange behind a typed code: SPAKE2+ (RFC 9383) on P-256 (D2).
//!
//! The station is the prover, the device the verifier. The order is `shareP` → `shareV, confirmV` →
//! `confirmP`, and the prover says nothing after a wrong `confirmV`: whoever listens, and whoever
//! takes part without the code, learns nothing that a code could be searched with.
//!
//! ```text
//! w0s ‖ w1s = PBKDF2-HMAC-SHA256(len(code) ‖ code ‖ len(stationId) ‖ stationId ‖ len(deviceId) ‖ deviceId,
//!                                salt = "zp1 pake" ‖ windowId, 10,000 rounds, 80 bytes)
//! context   = "zp1 pake" ‖ SHA-256(hello)        idProver = stationId        idVerifier = deviceId
//! prk       = Extract(salt = H("zp1 hello" ‖ L(hello)), K_shared)
//! ```
//!
//! `len` is eight bytes, little-endian, as the RFC has it; the code is its canonical symbols.
//!
//! A run is a value: [`Prover`] and [`Verifier`] keep their inputs, and each message is computed from
//! them. So a step of a machine that could not be committed has spent nothing and changed nothing.

mod spake2plus;
#[cfg(test)]
mod tests;

use alloc::vec::Vec;
use core::fmt;

use hmac::Hmac;
use rand_core::CryptoRng;
use sha2::Sha256;
use zeroize::Zeroizing;
use zmon_domain::code::PairingCode;
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::{DeviceId, StationId, WindowId};

use crate::evidence::CodeClaimed;
use crate::hash::sha256;
use crate::labels;
use crate::schedule::Prk;
use crate::secret::{Secret32, SecretBytes};

pub use self::spake2plus::Spake2Plus;

/// Rounds of PBKDF2 over the code. The device keeps code and derived key equally long in the same
/// memory, so nothing stolen is searched slower by more of them; the bound is for small devices.
pub const ROUNDS: u32 = 10_000;

/// Length of a share: a point of P-256, SEC1 uncompressed.
pub const SHARE_LEN: usize = 65;
/// Length of a confirmation: one HMAC-SHA256.
pub const CONFIRMATION_LEN: usize = 32;

/// A key confirmation as it travels.
pub type Confirmation = [u8; CONFIRMATION_LEN];

/// The key exchange this build uses.
type Chosen = Spake2Plus;

/// Why a run ended without a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PakeError {
    /// The share is no point of the group, or cancels the code's mask.
    #[error("the share is not a usable point of the group")]
    Share,
    /// The confirmation is not the expected one: another code, hello, station or device.
    #[error("the key confirmation does not match")]
    Confirmation,
    /// The code could not be turned into a key.
    #[error("no key could be derived from the code")]
    Derivation,
}

impl PakeError {
    /// The error code for screens and the audit log.
    #[must_use]
    pub fn code(self) -> ErrorCode {
        match self {
            Self::Share => ErrorCode::RequestMalformed,
            Self::Confirmation => ErrorCode::InvalidPairingCode,
            Self::Derivation => ErrorCode::Internal,
        }
    }
}

/// An augmented password-authenticated key exchange, as pure functions of a run's inputs.
pub trait Pake {
    /// The suite's name in its standard.
    const NAME: &'static str;

    /// Whether these bytes are an element of the group other than the identity.
    ///
    /// # Errors
    /// [`PakeError::Share`] if they are not.
    fn check_share(bytes: &[u8; SHARE_LEN]) -> Result<(), PakeError>;

    /// The prover's first message, `shareP`.
    ///
    /// # Errors
    /// [`PakeError::Derivation`].
    fn share_p(run: &Run) -> Result<Share, PakeError>;

    /// The verifier's answer, `shareV` and `confirmV`.
    ///
    /// # Errors
    /// [`PakeError::Share`], [`PakeError::Derivation`].
    fn answer(run: &Run, share_p: &Share) -> Result<(Share, Confirmation), PakeError>;

    /// The prover's end of the run: checks `confirmV`, and only then gives `confirmP` and `K_shared`.
    ///
    /// # Errors
    /// [`PakeError`].
    fn finish_prover(
        run: &Run,
        share_v: &Share,
        confirm_v: &Confirmation,
    ) -> Result<(Confirmation, Secret32), PakeError>;

    /// The verifier's end of the run: checks `confirmP`, and only then gives `K_shared`.
    ///
    /// # Errors
    /// [`PakeError`].
    fn finish_verifier(
        run: &Run,
        share_p: &Share,
        confirm_p: &Confirmation,
    ) -> Result<Secret32, PakeError>;
}

/// A share, checked to be an element of the group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Share([u8; SHARE_LEN]);

impl Share {
    /// Reads a share received from the peer.
    ///
    /// # Errors
    /// [`PakeError::Share`] for anything but a point of the curve other than the identity.
    pub fn parse(bytes: &[u8; SHARE_LEN]) -> Result<Self, PakeError> {
        Chosen::check_share(bytes)?;
        Ok(Self(*bytes))
    }

    /// The share as it travels.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; SHARE_LEN] {
        &self.0
    }
}

/// What both sides bind a run to.
#[derive(Clone, Copy, Debug)]
pub struct PakeInputs<'a> {
    /// The code: typed at the station, shown by the device.
    pub code: &'a PairingCode,
    /// The window the code belongs to.
    pub window_id: &'a WindowId,
    /// The hello JWS, exact bytes.
    pub hello: &'a [u8],
    /// The prover, as the hello names it.
    pub station_id: &'a StationId,
    /// The verifier, as the hello names it.
    pub device_id: &'a DeviceId,
}

/// One side's inputs of one run. Wiped on drop.
#[derive(Clone)]
pub struct Run {
    /// `w0s ‖ w1s`.
    key: Zeroizing<[u8; Self::KEY_LEN]>,
    /// What the ephemeral scalar is reduced from.
    scalar: Zeroizing<[u8; Self::SCALAR_LEN]>,
    context: Vec<u8>,
    prover_id: Vec<u8>,
    verifier_id: Vec<u8>,
}

impl Run {
    /// Each half is 64 bits longer than the group's order, so that its reduction is not biased.
    const KEY_LEN: usize = 80;
    const SCALAR_LEN: usize = 64;

    fn new(inputs: &PakeInputs<'_>, rng: &mut dyn CryptoRng) -> Result<Self, PakeError> {
        let mut scalar = Zeroizing::new([0; Self::SCALAR_LEN]);
        rng.fill_bytes(scalar.as_mut_slice());
        let (station_id, device_id) = (inputs.station_id, inputs.device_id);
        Ok(Self::bound(derive(inputs)?, scalar, inputs.hello, station_id, device_id))
    }

    fn bound(
        key: Zeroizing<[u8; Self::KEY_LEN]>,
        scalar: Zeroizing<[u8; Self::SCALAR_LEN]>,
        hello: &[u8],
        station_id: &StationId,
        device_id: &DeviceId,
    ) -> Self {
        Self {
            key,
            scalar,
            context: [labels::PAKE, &sha256(hello)].concat(),
            prover_id: station_id.as_str().into(),
            verifier_id: device_id.as_str().into(),
        }
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// The station's side of a run.
#[derive(Clone, Debug)]
pub struct Prover {
    run: Run,
}

impl Prover {
    /// Begins a run and gives `shareP`.
    ///
    /// # Errors
    /// [`PakeError::Derivation`].
    pub fn start(
        inputs: &PakeInputs<'_>,
        rng: &mut dyn CryptoRng,
    ) -> Result<(Self, Share), PakeError> {
        let run = Run::new(inputs, rng)?;
        let share = Chosen::share_p(&run)?;
        Ok((Self { run }, share))
    }

    /// Checks the device's confirmation; only then `confirmP` and the session's secret exist.
    ///
    /// `hello` is the one of [`PakeInputs`].
    ///
    /// # Errors
    /// [`PakeError::Confirmation`] when the device shows another code. Send nothing more.
    pub fn finish(
        &self,
        hello: &[u8],
        share_v: &Share,
        confirm_v: &Confirmation,
    ) -> Result<(Confirmation, Prk), PakeError> {
        let (confirm_p, shared) = Chosen::finish_prover(&self.run, share_v, confirm_v)?;
        Ok((confirm_p, Prk::from_hello(hello, shared.expose())))
    }

    /// The secrets of the run, for a station that keeps a running session, sealed.
    #[must_use]
    pub fn expose(&self) -> SecretBytes {
        let mut bytes = Vec::with_capacity(Run::KEY_LEN + Run::SCALAR_LEN);
        bytes.extend_from_slice(self.run.key.as_slice());
        bytes.extend_from_slice(self.run.scalar.as_slice());
        SecretBytes::new(bytes)
    }

    /// Takes back what [`Prover::expose`] gave, with the other inputs of the run; `None` for any other
    /// length.
    #[must_use]
    pub fn kept(
        bytes: &[u8],
        hello: &[u8],
        station_id: &StationId,
        device_id: &DeviceId,
    ) -> Option<Self> {
        let (key, scalar) = bytes.split_first_chunk::<{ Run::KEY_LEN }>()?;
        let (key, scalar) = (Zeroizing::new(*key), Zeroizing::new(scalar.try_into().ok()?));
        Some(Self { run: Run::bound(key, scalar, hello, station_id, device_id) })
    }
}

/// The device's side of a run.
#[derive(Clone, Debug)]
pub struct Verifier {
    run: Run,
    share_p: Share,
}

impl Verifier {
    /// Takes `shareP` and gives `shareV` and `confirmV`. Whoever gets them has tested one code: count
    /// the try before they leave.
    ///
    /// # Errors
    /// [`PakeError`].
    pub fn start(
        inputs: &PakeInputs<'_>,
        share_p: Share,
        rng: &mut dyn CryptoRng,
    ) -> Result<(Self, Share, Confirmation), PakeError> {
        let run = Run::new(inputs, rng)?;
        let (share_v, confirm_v) = Chosen::answer(&run, &share_p)?;
        Ok((Self { run, share_p }, share_v, confirm_v))
    }

    /// Checks the station's confirmation in constant time: it knows the code.
    ///
    /// `hello` is the one of [`PakeInputs`].
    ///
    /// # Errors
    /// [`PakeError::Confirmation`] when it does not match.
    pub fn finish(
        &self,
        hello: &[u8],
        confirm_p: &Confirmation,
    ) -> Result<(Prk, CodeClaimed), PakeError> {
        let shared = Chosen::finish_verifier(&self.run, &self.share_p, confirm_p)?;
        Ok((Prk::from_hello(hello, shared.expose()), CodeClaimed(())))
    }
}

/// `w0s ‖ w1s` of RFC 9383 §3.2.
fn derive(inputs: &PakeInputs<'_>) -> Result<Zeroizing<[u8; Run::KEY_LEN]>, PakeError> {
    let mut password = Zeroizing::new(Vec::with_capacity(256));
    let parts = [
        inputs.code.canonical(),
        inputs.station_id.as_str().as_bytes(),
        inputs.device_id.as_str().as_bytes(),
    ];
    for part in parts {
        let length = u64::try_from(part.len()).map_err(|_| PakeError::Derivation)?;
        password.extend_from_slice(&length.to_le_bytes());
        password.extend_from_slice(part);
    }
    let salt = [labels::PAKE, inputs.window_id.as_bytes()].concat();
    let mut key = Zeroizing::new([0; Run::KEY_LEN]);
    pbkdf2::pbkdf2::<Hmac<Sha256>>(&password, &salt, ROUNDS, key.as_mut_slice())
        .map_err(|_| PakeError::Derivation)?;
    Ok(key)
}
