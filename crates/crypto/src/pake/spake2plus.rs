//! [`Pake`] by the crate `spake2plus`.
//!
//! The crate's sessions are consumed by their steps. Here a run is a value instead, so each step plays
//! the run again from its recorded scalar; that costs two multiplications more on the device.

use core::convert::Infallible;

use ::spake2plus::{
    ConfirmP, ConfirmV, Context, Error, P256Sha256, Prover, ProverSecret, ShareP, ShareV, Suite,
    Verifier, VerifierConfirming,
};
use rand_core::{TryCryptoRng, TryRng};

use super::{Confirmation, Pake, PakeError, Run, SHARE_LEN, Share};
use crate::secret::Secret32;

/// SPAKE2+ with P-256, SHA-256, HKDF-SHA256 and HMAC-SHA256 (RFC 9383 §4).
#[derive(Debug, Clone, Copy)]
pub enum Spake2Plus {}

impl Pake for Spake2Plus {
    const NAME: &'static str = P256Sha256::NAME;

    fn check_share(bytes: &[u8; SHARE_LEN]) -> Result<(), PakeError> {
        parse_p(bytes).map(|_| ())
    }

    fn share_p(run: &Run) -> Result<Share, PakeError> {
        let (_, share) = prover(run)?;
        Ok(Share(*share.as_bytes()))
    }

    fn answer(run: &Run, share_p: &Share) -> Result<(Share, Confirmation), PakeError> {
        let (share_v, _, confirm_v) = verifier(run, share_p)?;
        Ok((Share(*share_v.as_bytes()), *confirm_v.as_bytes()))
    }

    fn finish_prover(
        run: &Run,
        share_v: &Share,
        confirm_v: &Confirmation,
    ) -> Result<(Confirmation, Secret32), PakeError> {
        let (prover, _) = prover(run)?;
        let share_v = ShareV::from_bytes(share_v.as_bytes()).map_err(refusal)?;
        let confirm_v = ConfirmV::from_bytes(confirm_v).map_err(refusal)?;
        let confirming = prover.receive(&share_v).map_err(refusal)?;
        let (confirm_p, shared) = confirming.finish(&confirm_v).map_err(refusal)?;
        Ok((*confirm_p.as_bytes(), Secret32::from_bytes(*shared.as_bytes())))
    }

    fn finish_verifier(
        run: &Run,
        share_p: &Share,
        confirm_p: &Confirmation,
    ) -> Result<Secret32, PakeError> {
        let (_, confirming, _) = verifier(run, share_p)?;
        let confirm_p = ConfirmP::from_bytes(confirm_p).map_err(refusal)?;
        let shared = confirming.finish(&confirm_p).map_err(refusal)?;
        Ok(Secret32::from_bytes(*shared.as_bytes()))
    }
}

fn prover(run: &Run) -> Result<(Prover<P256Sha256>, ShareP<P256Sha256>), PakeError> {
    let secret = ProverSecret::from_pbkdf_output(run.key.as_slice()).map_err(refusal)?;
    Ok(Prover::start(&secret, &context(run), &mut Recorded(run)))
}

type Answered = (ShareV<P256Sha256>, VerifierConfirming<P256Sha256>, ConfirmV<P256Sha256>);

fn verifier(run: &Run, share_p: &Share) -> Result<Answered, PakeError> {
    let secret = ProverSecret::from_pbkdf_output(run.key.as_slice()).map_err(refusal)?;
    let record = secret.verifier_record();
    let (verifier, share_v) = Verifier::start(&record, &context(run), &mut Recorded(run));
    let (confirming, confirm_v) =
        verifier.receive(&parse_p(share_p.as_bytes())?).map_err(refusal)?;
    Ok((share_v, confirming, confirm_v))
}

fn context(run: &Run) -> Context<'_> {
    Context { context: &run.context, prover_id: &run.prover_id, verifier_id: &run.verifier_id }
}

fn parse_p(bytes: &[u8; SHARE_LEN]) -> Result<ShareP<P256Sha256>, PakeError> {
    ShareP::from_bytes(bytes).map_err(refusal)
}

fn refusal(error: Error) -> PakeError {
    match error {
        Error::ConfirmationFailed => PakeError::Confirmation,
        Error::InvalidPoint | Error::DegenerateShare | Error::Length { .. } => PakeError::Share,
        Error::PbkdfOutputLength { .. } | Error::InvalidScalar | _ => PakeError::Derivation,
    }
}

/// Gives the run's recorded bytes to the one draw of a session.
struct Recorded<'a>(&'a Run);

impl TryRng for Recorded<'_> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        for (to, from) in out.iter_mut().zip(self.0.scalar.iter()) {
            *to = *from;
        }
        Ok(())
    }
}

impl TryCryptoRng for Recorded<'_> {}
