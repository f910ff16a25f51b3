//! Keys of the station that a hardware module keeps (D8): they sign, and nobody has them.

#[cfg(test)]
mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::runtime::TestClock;
use common::world::{anchors, ca_params, site};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use rustls_pki_types::CertificateRevocationListDer;
use zmon_crypto::x509::{self, CertificateChain, ClientExpectation};
use zmon_crypto::{Algorithms, IdentityKey, IdentityPublic, KeyError, SoftIdentity, Suite};
use zmon_domain::ids::{DeviceId, Serial};
use zmon_station::ca::{CaError, CaKey, CaMaterial, CaModules, CaParts, ModuleKey};
use zmon_station::ports::{CertificateIssuer, ClientCertificateOrder, CrlOrder, IssueError};
use zmon_wire::kind::TrustLevel;

#[cfg(test)]
fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

#[cfg(test)]
fn key(seed: u64) -> SoftIdentity {
    SoftIdentity::generate(Suite::P256, &mut rng(seed)).unwrap()
}

/// A module whose key signs as long as the module is there.
struct Module {
    key: SoftIdentity,
    is_there: AtomicBool,
}

#[cfg(test)]
impl Module {
    fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self { key: key(seed), is_there: AtomicBool::new(true) })
    }
}

impl ModuleKey for Module {
    fn public(&self) -> &IdentityPublic {
        self.key.public()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        if !self.is_there.load(Ordering::SeqCst) {
            return Err(KeyError::Signing);
        }
        self.key.sign(message, &mut ChaCha20Rng::seed_from_u64(1))
    }
}

#[cfg(test)]
fn made(client_ca: &Arc<Module>, signing: &Arc<Module>) -> CaMaterial {
    let modules = CaModules {
        client_ca: Some(Arc::clone(client_ca) as Arc<dyn ModuleKey>),
        signing: Some(Arc::clone(signing) as Arc<dyn ModuleKey>),
    };
    CaMaterial::generate_with(&ca_params(), modules, &mut rng(3), TestClock::first()).unwrap()
}

#[cfg(test)]
fn order(key: &SoftIdentity) -> ClientCertificateOrder {
    ClientCertificateOrder {
        spki: key.public().spki_der().to_vec(),
        device_id: DeviceId::parse("ZM-001").unwrap(),
        serial: Serial::from_bytes(&[1; 16]).unwrap(),
        not_before: TestClock::first(),
        not_after: TestClock::first() + Duration::from_secs(86_400),
        trust: TrustLevel::Anchored,
    }
}

#[cfg(test)]
fn list() -> CrlOrder {
    let first = TestClock::first();
    let next_update = first + Duration::from_secs(3600);
    CrlOrder { number: 1, this_update: first, next_update, revoked: Vec::new() }
}

#[tokio::test]
async fn keys_in_a_module_sign_what_keys_in_files_do_and_never_leave_it() {
    let (client_ca, signing) = (Module::new(1), Module::new(2));
    let parts = made(&client_ca, &signing).to_parts().unwrap();
    assert!(parts.client_ca_key.file().is_none() && parts.signing_key.file().is_none());
    let material = CaMaterial::from_parts(&parts).unwrap();
    let spki = x509::spki_of(material.client_ca_der()).unwrap();
    assert_eq!(spki, client_ca.public().spki_der());

    let device = key(5);
    let order = order(&device);
    let issuer = material.issuer().unwrap();
    let issued = issuer.issue(&order).await.unwrap();
    let chain = CertificateChain::from_der(issued.chain).unwrap();
    let expected = ClientExpectation {
        device_id: &order.device_id,
        public_key: device.public(),
        anchors: &anchors(),
        trust: TrustLevel::Anchored,
    };
    let issuers = chain.issuer_chain().unwrap();
    let (now, algorithms) = (Some(TestClock::first()), Algorithms::rustcrypto());
    x509::verify_client_chain(&chain, &issuers, &expected, now, &algorithms).unwrap();
    let list = CertificateRevocationListDer::from(issuer.revocation_list(&list()).await.unwrap());
    let list = webpki::BorrowedCertRevocationList::from_der(&list).unwrap();
    assert!(list.to_owned().is_ok());

    let signer = material.signer().unwrap();
    assert_eq!(signer.key.public(), signing.public());
    let signature = signer.key.sign(b"configuration", &mut rng(1)).unwrap();
    let signature = zmon_crypto::es256_to_der(&signature).unwrap();
    let verifier = algorithms.ecdsa_p256_sha256();
    let bits = signing.public().key_bits();
    assert!(verifier.verify_signature(bits, b"configuration", &signature).is_ok());
    // Another module's key under the same certificate is noticed before anything is signed.
    let wrong = CaParts { client_ca_key: CaKey::Module(Module::new(9)), ..parts };
    assert_eq!(CaMaterial::from_parts(&wrong).unwrap_err(), CaError::Mismatch("client CA"));
}

#[tokio::test]
async fn a_module_that_is_gone_issues_nothing_and_says_so() {
    let client_ca = Module::new(1);
    let issuer = made(&client_ca, &Module::new(2)).issuer().unwrap();
    client_ca.is_there.store(false, Ordering::SeqCst);
    let refused = issuer.issue(&order(&key(5))).await.unwrap_err();
    assert!(matches!(refused, IssueError::Signing { .. }), "{refused:?}");
    let refused = issuer.revocation_list(&list()).await.unwrap_err();
    assert!(matches!(refused, IssueError::Signing { .. }), "{refused:?}");
    client_ca.is_there.store(true, Ordering::SeqCst);
    assert!(issuer.issue(&order(&key(5))).await.is_ok(), "and comes back with it");
}

/// A module that signs once somebody else was served.
struct Patient {
    key: SoftIdentity,
    served: Mutex<Receiver<()>>,
}

impl ModuleKey for Patient {
    fn public(&self) -> &IdentityPublic {
        self.key.public()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        // The end of a test that fails, and of no other.
        let served = self.served.lock().map_err(|_| KeyError::Signing)?;
        served.recv_timeout(Duration::from_secs(20)).map_err(|_| KeyError::Signing)?;
        self.key.sign(message, &mut ChaCha20Rng::seed_from_u64(1))
    }
}

/// One thread for all tasks: whoever waits on it keeps everybody.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_slow_module_keeps_nobody_else_waiting() {
    let (serve, served) = channel();
    let patient = Arc::new(Patient { key: key(2), served: Mutex::new(served) });
    let modules = CaModules { client_ca: None, signing: Some(patient as Arc<dyn ModuleKey>) };
    // The anchor signs the certificate of this key: the key itself signs nothing yet.
    let material =
        CaMaterial::generate_with(&ca_params(), modules, &mut rng(3), TestClock::first()).unwrap();
    let signer = material.signer().unwrap();
    let signed = tokio::spawn(async move {
        // It waits for the thread of the one that signs.
        tokio::spawn(async move { serve.send(()) });
        signer.key.sign(b"configuration", &mut rng(1)).is_ok()
    });
    assert!(signed.await.unwrap());
}

#[test]
fn a_key_in_a_module_stays_when_its_certificate_is_renewed() {
    let signing = Module::new(2);
    let mut material = made(&Module::new(1), &signing);
    let before = material.signer().unwrap().chain;
    let later = TestClock::first() + Duration::from_secs(86_400);
    material.renew_signing(&ca_params(), &mut rng(7), later).unwrap();
    let after = material.signer().unwrap();
    assert_ne!(after.chain, before);
    assert_eq!(x509::spki_of(&after.chain[0]).unwrap(), signing.public().spki_der());
    let anchor = x509::Anchor::parse(material.anchor_der(), site()).unwrap();
    assert!(x509::AnchorSet::from_anchors([anchor]).is_ok());
}
