//! What never changes in a world: keys, anchors, parameters, and the bug that was planted.

use std::sync::Mutex;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use rand_core::CryptoRng;
use webpki::aws_lc_rs::ECDSA_P256_SHA256;
use zmon_crypto::algorithms::Verification;
use zmon_crypto::{Algorithms, IdentityKey, IdentityPublic, KeyError, SoftIdentity};
use zmon_protocol::device::DeviceContext;
use zmon_protocol::station::SessionContext;

use crate::common::Pair;
use crate::common::ca::TestCa;
use crate::common::clock::start;

/// A mistake that a driver or a store could make. Every one must be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plant {
    None,
    /// The device works with slot B before the station's answer.
    FlipBeforeProof,
    /// The station forgets to supersede the certificate that a commit replaces.
    ForgetRevoke,
    /// The device goes on showing a code that has been claimed.
    DoubleClaim,
    /// The device gives slot B up when its question gets no answer.
    SilenceMeansNo,
    /// The station says `aborted` and does not write it down.
    ForgetAbort,
}

/// The fixed part of every world.
pub(crate) struct Bed {
    pub(super) pair: Pair,
    device_key: FastKey,
    station_key: FastKey,
    rogue_key: FastKey,
    rogue_chain: Vec<Vec<u8>>,
    algorithms: Algorithms,
    /// Issues client certificates; their serial numbers differ from world to world.
    pub(super) issuer: Mutex<TestCa>,
    pub(super) plant: Plant,
}

impl Bed {
    pub(super) fn new(plant: Plant) -> Self {
        static ALL: &[Verification] = &[ECDSA_P256_SHA256];
        let pair = Pair::new(0x5eed);
        // Of the same names, and of another anchor.
        let rogue = TestCa::new("north", "cs-1", start());
        Self {
            device_key: FastKey::new(&pair.device.identity),
            station_key: FastKey::new(&pair.station.ca.signer),
            rogue_key: FastKey::new(&rogue.signer),
            rogue_chain: rogue.signing_chain.clone(),
            algorithms: Algorithms::new(ECDSA_P256_SHA256, None, ALL),
            issuer: Mutex::new(TestCa::new("north", "cs-1", start())),
            pair,
            plant,
        }
    }

    pub(super) fn device(&self) -> DeviceContext<'_> {
        let context = self.pair.device.context();
        DeviceContext { identity: &self.device_key, algorithms: &self.algorithms, ..context }
    }

    pub(super) fn station(&self) -> SessionContext<'_> {
        let context = self.pair.station.context();
        SessionContext { signer: &self.station_key, algorithms: &self.algorithms, ..context }
    }

    /// A station with the same names that no anchor vouches for.
    pub(super) fn rogue(&self) -> SessionContext<'_> {
        let signing_chain = &self.rogue_chain;
        SessionContext { signer: &self.rogue_key, signing_chain, ..self.station() }
    }

    pub(super) fn device_public(&self) -> &IdentityPublic {
        self.device_key.public()
    }
}

/// The same key in a faster library: a model check signs a hundred thousand times.
struct FastKey {
    public: IdentityPublic,
    key: EcdsaKeyPair,
}

impl FastKey {
    fn new(key: &SoftIdentity) -> Self {
        let pkcs8 = key.to_pkcs8().unwrap();
        let fast = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.expose());
        Self { public: key.public().clone(), key: fast.unwrap() }
    }
}

impl IdentityKey for FastKey {
    fn public(&self) -> &IdentityPublic {
        &self.public
    }

    fn sign(&self, message: &[u8], _: &mut dyn CryptoRng) -> Result<Vec<u8>, KeyError> {
        let signature = self.key.sign(&SystemRandom::new(), message);
        signature.map(|signature| signature.as_ref().to_vec()).map_err(|_| KeyError::Signing)
    }
}
