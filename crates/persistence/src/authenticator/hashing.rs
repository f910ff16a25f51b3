//! argon2id over HMAC(pepper, operator ‖ role ‖ PIN).

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use hmac::{Hmac, KeyInit, Mac};
use rand_core::CryptoRng;
use sha2::Sha256;
use zeroize::Zeroizing;
use zmon_crypto::Secret32;
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::OperatorId;
use zmon_domain::role::Role;
use zmon_provisioning::ports::Pin;

use crate::error::{PersistenceError, Result};
use crate::hex;

/// What a stored hash may cost at most: more is a damaged file, not a setting.
const MEMORY_MAX_KIB: u32 = 256 * 1024;
const PASSES_MAX: u32 = 16;

/// Separates the two uses of the pepper.
const PIN_USE: &[u8] = b"pin";
const TRY_USE: &[u8] = b"try";

/// What one hash costs (RFC 9106).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashCost {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub passes: u32,
}

impl HashCost {
    /// The least argon2 knows: for tests, which prove the logic and not the delay.
    pub const LEAST: Self = Self { memory_kib: 8, passes: 1 };
}

impl Default for HashCost {
    /// 19 MiB and two passes. A PIN has twenty bits: what keeps it is the pepper, which a copied
    /// file does not hold, and the back-off.
    fn default() -> Self {
        Self { memory_kib: Params::DEFAULT_M_COST, passes: Params::DEFAULT_T_COST }
    }
}

/// Hashes PINs under one device's pepper.
pub(super) struct Hasher {
    pepper: Secret32,
    argon: Argon2<'static>,
    /// Verified for operators that do not exist, so that they cost the same.
    nobody: String,
}

impl Hasher {
    pub(super) fn new(pepper: Secret32, cost: HashCost) -> Result<Self> {
        let params = Params::new(cost.memory_kib, cost.passes, 1, None).map_err(|error| {
            PersistenceError::caused_by(ErrorCode::Internal, "the cost of a PIN hash", error)
        })?;
        let nobody = hash_of_nobody(&params);
        parse(&nobody)?;
        let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        Ok(Self { pepper, argon, nobody })
    }

    /// The stored form of a PIN. Id and role go in, so that a file edited to give somebody another
    /// role holds a hash that matches nothing.
    pub(super) fn hash(
        &self,
        id: &OperatorId,
        role: Role,
        pin: &Pin,
        rng: &mut dyn CryptoRng,
    ) -> Result<String> {
        let mut salt = [0; 16];
        rng.fill_bytes(&mut salt);
        hash_with(&self.argon, &*self.peppered(id, role, pin)?, &salt)
    }

    /// Whether `known` is the hash of this PIN; the same work without one.
    pub(super) fn verify(
        &self,
        id: &OperatorId,
        known: Option<(Role, &str)>,
        pin: &Pin,
    ) -> Result<bool> {
        let (role, text) = known.unwrap_or((Role::Auditor, &self.nobody));
        let hash = parse(text)?;
        let peppered = self.peppered(id, role, pin)?;
        let matches = self.argon.verify_password(&*peppered, &hash).is_ok();
        Ok(known.is_some() && matches)
    }

    /// The name under which tries are counted. Not the id: people type PINs into name fields.
    pub(super) fn try_key(&self, id: &OperatorId) -> Result<String> {
        let mut mac = self.mac(TRY_USE)?;
        mac.update(id.as_str().as_bytes());
        Ok(hex::encode(&mac.finalize().into_bytes()))
    }

    fn peppered(&self, id: &OperatorId, role: Role, pin: &Pin) -> Result<Zeroizing<[u8; 32]>> {
        let mut mac = self.mac(PIN_USE)?;
        for part in [id.as_str().as_bytes(), role.as_str().as_bytes(), pin.expose()] {
            let length = u32::try_from(part.len()).unwrap_or(u32::MAX);
            mac.update(&length.to_be_bytes());
            mac.update(part);
        }
        Ok(Zeroizing::new(mac.finalize().into_bytes().into()))
    }

    fn mac(&self, purpose: &[u8]) -> Result<Hmac<Sha256>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.pepper.expose())
            .map_err(|_| PersistenceError::new(ErrorCode::Internal, "the pepper's length"))?;
        mac.update(purpose);
        Ok(mac)
    }
}

/// Checks that a stored hash is argon2id of a bearable cost.
pub(super) fn parse(text: &str) -> Result<PasswordHash> {
    let damaged = || PersistenceError::corrupt("operators.json: a hash is not argon2id");
    let hash = PasswordHash::new(text).map_err(|_| damaged())?;
    let params = Params::try_from(&hash).map_err(|_| damaged())?;
    let bearable = params.m_cost() <= MEMORY_MAX_KIB
        && params.t_cost() <= PASSES_MAX
        && params.p_cost() == 1
        && hash.algorithm == argon2::ARGON2ID_IDENT
        && hash.salt.is_some()
        && hash.hash.is_some();
    if bearable { Ok(hash) } else { Err(damaged()) }
}

/// A hash that no PIN has, in the form and at the cost of a real one. Written down, because making
/// it would cost every start what a PIN costs.
fn hash_of_nobody(params: &Params) -> String {
    let (salt, hash) = ("A".repeat(22), "A".repeat(43));
    let (memory, passes) = (params.m_cost(), params.t_cost());
    format!("$argon2id$v=19$m={memory},t={passes},p=1${salt}${hash}")
}

fn hash_with(argon: &Argon2<'_>, input: &[u8], salt: &[u8]) -> Result<String> {
    let hash: PasswordHash = argon.hash_password_with_salt(input, salt).map_err(|error| {
        PersistenceError::caused_by(ErrorCode::Internal, "a PIN cannot be hashed", error)
    })?;
    Ok(hash.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_operator_costs_what_a_known_one_costs() {
        for cost in [HashCost::default(), HashCost::LEAST] {
            let params = Params::new(cost.memory_kib, cost.passes, 1, None).unwrap();
            let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
            let made = parse(&hash_with(&argon, &[0; 32], &[0; 16]).unwrap()).unwrap();
            let nobody = parse(&hash_of_nobody(&params)).unwrap();
            assert_eq!(nobody.algorithm, made.algorithm);
            assert_eq!(nobody.version, made.version);
            assert_eq!(nobody.params, made.params);
            assert_eq!(nobody.salt.map(|salt| salt.len()), made.salt.map(|salt| salt.len()));
            assert_eq!(nobody.hash.map(|hash| hash.len()), made.hash.map(|hash| hash.len()));
        }
    }
}
