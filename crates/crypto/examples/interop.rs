//! The counterpart of other implementations (`tests/interop`, `docs/vectors`): a pairing with new keys,
//! and the opening of one that somebody else has made.
//!
//! ```text
//! interop make 1          one pairing as JSON, with new keys of suite 1 or 2
//! interop open < FILE     opens such a file and prints the configuration
//! ```
#![expect(dead_code, reason = "the modules also serve the tests that read the vectors back")]
#![expect(clippy::unwrap_used, reason = "a panic is the report")]
#![expect(clippy::unwrap_in_result, reason = "a panic is the report")]
#![expect(clippy::panic, reason = "a panic is the report")]
#![expect(clippy::indexing_slicing, reason = "a panic is the report")]
#![expect(clippy::print_stdout, reason = "its answer")]
#![expect(unreachable_pub, reason = "an example has no public interface")]

#[path = "../tests/it/vectors/after.rs"]
mod after;
#[path = "../tests/it/vectors/build.rs"]
mod build;
#[path = "../tests/it/support.rs"]
mod support;

use build::{Keys, hex, pairing, unhex};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use serde_json::Value;
use zmon_crypto::envelope::Envelope;
use zmon_crypto::jws::{Typ, Unverified};
use zmon_crypto::schedule::{Prk, transcript};
use zmon_crypto::token::TokenInputs;
use zmon_crypto::{
    Algorithms, IdentityKey, IdentityPublic, KemKey, PairingToken, RootSecret, Secret32,
    SoftIdentity, Suite,
};
use zmon_domain::address::DeviceAddress;
use zmon_domain::code::PairingCode;
use zmon_domain::ids::{DeviceId, DeviceSerial, WindowId};
use zmon_domain::time::UnixTime;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["make", suite] => {
            let suite = suite.parse().ok().and_then(Suite::from_u8).unwrap();
            let mut rng = ChaCha20Rng::from_seed(seed());
            println!("{}", pairing(suite, &Keys::generate(suite, &mut rng)));
        }
        ["open"] => {
            let made: Value = serde_json::from_reader(std::io::stdin()).unwrap();
            println!("{}", open(&made));
        }
        _ => panic!("make SUITE, or open < FILE"),
    }
}

fn seed() -> [u8; 32] {
    let mut seed = [0; 32];
    std::io::Read::read_exact(&mut std::fs::File::open("/dev/urandom").unwrap(), &mut seed)
        .unwrap();
    seed
}

/// Everything that a device checks of a pairing, in the same order.
fn open(made: &Value) -> String {
    let text = |section: &str, member: &str| made[section][member].as_str().unwrap().to_owned();
    let algorithms = Algorithms::rustcrypto();
    let key = |name: &str| SoftIdentity::from_pkcs8(&unhex(&made["keys"][name])).unwrap();
    let (station, identity) = (key("station"), key("identity"));
    let verified = |jws: &[u8], typ: Typ, key: &IdentityPublic| {
        let verified = Unverified::parse(jws).unwrap().verify_with(typ, key, &algorithms).unwrap();
        String::from_utf8(verified.into_payload().to_vec()).unwrap()
    };

    let token = token(made, &identity);
    let hello = text("hello", "jws");
    assert_eq!(verified(hello.as_bytes(), Typ::Hello, station.public()), text("hello", "payload"));
    let prk = Prk::from_token(hello.as_bytes(), &token);
    let claim: [u8; 32] = unhex(&made["claim"]["claimMac"]).try_into().unwrap();
    drop(prk.verify_claim(hello.as_bytes(), &claim).unwrap());
    let document = text("identity", "jws");
    let said = verified(document.as_bytes(), Typ::Identity, identity.public());
    assert_eq!(said, text("identity", "payload"));

    let t = transcript(hello.as_bytes(), document.as_bytes());
    let keys = prk.session(&t);
    let bytes = unhex(&made["envelope"]["bytes"]);
    let envelope = Envelope::parse(&bytes).unwrap();
    assert_eq!(hex(envelope.session_id().as_bytes()), text("envelope", "sessionId"));
    let kem = KemKey::from_pkcs8(&unhex(&made["keys"]["kem"])).unwrap();
    let proof = envelope.verify_mac(&keys).unwrap();
    let mut rng = ChaCha20Rng::from_seed(seed());
    let opened = envelope.open(proof, &kem, &keys, &t, &mut rng).unwrap();
    verified(opened.expose(), Typ::Config, station.public())
}

/// The token, if it was made for what stands beside it.
fn token(made: &Value, identity: &SoftIdentity) -> PairingToken {
    let shown = &made["token"];
    let text = |name: &str| shown[name].as_str().unwrap();
    let token = PairingToken::parse_base64url(text("text")).unwrap();
    let inputs = TokenInputs {
        window_id: &WindowId::from_bytes(unhex(&shown["windowId"]).try_into().unwrap()),
        port: token.port(),
        nonce: &unhex(&shown["nonce"]).try_into().unwrap(),
        thumbprint16: &identity.public().thumbprint().short(),
        device_id: &DeviceId::parse(text("deviceId")).unwrap(),
        serial: &DeviceSerial::parse(text("serial")).unwrap(),
        ip: &DeviceAddress::parse(text("ipAddress")).unwrap(),
        code: &PairingCode::parse_any(text("code")).unwrap(),
        expires_at: UnixTime::parse(text("expiresAt")).unwrap(),
    };
    let root = Secret32::from_slice(&unhex(&made["keys"]["root"])).unwrap();
    token.verify(&RootSecret::from_secret(root).token_key(), &inputs).unwrap();
    token
}
