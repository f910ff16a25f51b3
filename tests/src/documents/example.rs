//! The worked example of `docs/PROTOCOL.md`: one pairing per suite, computed by the shipped code from
//! the keys and messages of `docs/vectors`.

use core::num::NonZeroU32;

use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use serde_json::Value;
use zmon_crypto::{
    Algorithms, IdentityKey, KemKey, PairingToken, RootSecret, Secret32, SoftIdentity,
    envelope::{Envelope, HEADER_LEN, MAC_LEN},
    jws::{Typ, Unverified},
    schedule::{Prk, Transcript, pull_id, transcript},
    sha256,
    token::TokenInputs,
};
use zmon_domain::{
    address::DeviceAddress,
    code::PairingCode,
    hex,
    ids::{DeviceId, DeviceSerial, SessionId, WindowId},
    time::UnixTime,
};
use zmon_wire::b64;

use super::{DocumentError, layout::Block};

/// The whole example of suite 1.
pub(super) fn p256(vectors: &str) -> Result<String, DocumentError> {
    let pairing = Pairing::read(1, vectors)?;
    Ok([
        pairing.token("### 12.1 Token (suite 1)"),
        pairing.messages("### 12.2 Hello, claim and identity document (suite 1)"),
        pairing.session("### 12.3 Session (suite 1)"),
        pairing.envelope("### 12.4 Envelope (suite 1)")?,
        pairing.commit("### 12.5 Status, commit and outcome (suite 1)")?,
        pairing.later("### 12.6 Renewal, recovery, end of life and checkpoint (suite 1)")?,
    ]
    .concat())
}

/// What differs in suite 2.
pub(super) fn rsa2048(vectors: &str) -> Result<String, DocumentError> {
    let pairing = Pairing::read(2, vectors)?;
    Ok([
        pairing.token("### 12.7 Token (suite 2)"),
        pairing.messages("### 12.8 Hello, claim and identity document (suite 2)"),
        pairing.session("### 12.9 Session (suite 2)"),
        pairing.envelope("### 12.10 Envelope (suite 2)")?,
        pairing.commit("### 12.11 Status, commit and outcome (suite 2)")?,
        pairing.later("### 12.12 Renewal, recovery, end of life and checkpoint (suite 2)")?,
    ]
    .concat())
}

/// Inputs of a pairing, and what the code makes of them.
struct Pairing {
    vectors: Vectors,
    root: Vec<u8>,
    token_key: Vec<u8>,
    spki: Vec<u8>,
    window_id: [u8; 16],
    session_id: SessionId,
    nonce: [u8; 16],
    token: PairingToken,
    hello: String,
    identity: String,
    prk: Prk,
    transcript: Transcript,
    kem: KemKey,
    envelope: Vec<u8>,
}

impl Pairing {
    fn read(suite: u8, text: &str) -> Result<Self, DocumentError> {
        let vectors = Vectors::parse(suite, text)?;
        let key = vectors.bytes("/keys/identity")?;
        let identity_key = vectors.take("/keys/identity", SoftIdentity::from_pkcs8(&key))?;
        let root = vectors.bytes("/keys/root")?;
        let secret = Secret32::from_slice(&root);
        let secret = secret.ok_or_else(|| vectors.wrong("/keys/root", "not 32 bytes"))?;
        let root_secret = RootSecret::from_secret(secret);
        let window_id = vectors.array("/token/windowId")?;
        let nonce = vectors.array("/token/nonce")?;
        let port = vectors.value("/token/port")?.as_u64().and_then(|port| port.try_into().ok());
        let thumbprint = identity_key.public().thumbprint();
        let inputs = TokenInputs {
            window_id: &WindowId::from_bytes(window_id),
            port: port.ok_or_else(|| vectors.wrong("/token/port", "not a port"))?,
            nonce: &nonce,
            thumbprint16: &thumbprint.short(),
            device_id: &vectors.parsed("/token/deviceId", DeviceId::parse)?,
            serial: &vectors.parsed("/token/serial", DeviceSerial::parse)?,
            ip: &vectors.parsed("/token/ipAddress", DeviceAddress::parse)?,
            code: &vectors.parsed("/token/code", PairingCode::parse_any)?,
            expires_at: vectors.parsed("/token/expiresAt", UnixTime::parse)?,
        };
        let token = PairingToken::mint(&root_secret.token_key(), &inputs);
        let token = vectors.take("/token", token)?;
        let hello = vectors.text("/hello/jws")?.to_owned();
        let identity = vectors.text("/identity/jws")?.to_owned();
        let kem = vectors.bytes("/keys/kem")?;
        Ok(Self {
            prk: Prk::from_token(hello.as_bytes(), &token),
            transcript: transcript(hello.as_bytes(), identity.as_bytes()),
            kem: vectors.take("/keys/kem", KemKey::from_pkcs8(&kem))?,
            envelope: vectors.bytes("/envelope/bytes")?,
            token_key: root_secret.derive(zmon_crypto::labels::TOKEN).expose().to_vec(),
            spki: identity_key.public().spki_der().to_vec(),
            root,
            window_id,
            session_id: SessionId::from_bytes(vectors.array("/envelope/sessionId")?),
            nonce,
            token,
            hello,
            identity,
            vectors,
        })
    }

    fn token(&self, heading: &str) -> String {
        let shown = |pointer| self.vectors.text(pointer).unwrap_or_default();
        let intro = "§3: the inputs, then what follows from them.";
        Block::new(heading, intro)
            .bytes("root", &self.root)
            .bytes("identity key, SPKI", &self.spki)
            .text("deviceId", shown("/token/deviceId"))
            .text("deviceSerial", shown("/token/serial"))
            .text("ipAddress", shown("/token/ipAddress"))
            .text("pairingCode", shown("/token/code"))
            .text("expiresAt", shown("/token/expiresAt"))
            .text("port", &self.token.port().to_string())
            .bytes("windowId", &self.window_id)
            .bytes("nonce", &self.nonce)
            .bytes("Expand(root, \"zp1 token\", 32)", &self.token_key)
            .bytes("H(SPKI)", &sha256(&self.spki))
            .bytes("thumbprint", &self.token.thumbprint16())
            .bytes("token", self.token.as_bytes())
            .text("pairingToken", &self.token.to_base64url())
            .bytes("tokenId", self.token.id().as_bytes())
            .end()
    }

    fn messages(&self, heading: &str) -> String {
        let hello = self.hello.as_bytes();
        let claim_mac = self.prk.claim_mac(hello);
        let intro = "§4. The payload is the second part of each JWS, decoded.";
        Block::new(heading, intro)
            .text("payload of hello", &payload(&self.hello))
            .text("hello", &self.hello)
            .bytes("H(hello)", &sha256(hello))
            .bytes("claimMac", &claim_mac)
            .text("claimMac in JSON", &b64::encode_url(&claim_mac))
            .text("payload of identity", &payload(&self.identity))
            .text("identity", &self.identity)
            .end()
    }

    fn session(&self, heading: &str) -> String {
        let keys = self.prk.session(&self.transcript);
        let words: Vec<_> = keys.word_indices().iter().map(u16::to_string).collect();
        Block::new(heading, "§4. The words are given by their places in the list, from 0.")
            .bytes("T", self.transcript.as_bytes())
            .bytes("kMac", keys.mac().expose())
            .bytes("psk", keys.psk().expose())
            .bytes("kKey", keys.key().expose())
            .text("words", &words.join(" "))
            .bytes("MAC of blink 1", &keys.blink_mac(self.session_id, NonZeroU32::MIN))
            .end()
    }

    fn commit(&self, heading: &str) -> Result<String, DocumentError> {
        let intro = "§7.1. Device and station say how it ended; the commit itself goes over mutual \
                     TLS and is not signed. A device in doubt asks, with a nonce of its own.";
        let block = self.signed(Block::new(heading, intro), "status", "/status")?;
        let request = self.vectors.text("/commit/request")?;
        let block = block.text("commit request", request);
        let block = self.signed(block, "outcome of the commit", "/commit/outcome")?;
        let block = self.signed(block, "ask", "/ask/ask")?;
        Ok(self.signed(block, "outcome of the ask", "/ask/outcome")?.end())
    }

    fn later(&self, heading: &str) -> Result<String, DocumentError> {
        let intro = "§4.3, §7.3, §7.2. The second checkpoint goes on from the first.";
        let mut block = Block::new(heading, intro);
        for (name, pointer) in [("renewal", "/pull/renewal"), ("recovery", "/pull/recovery")] {
            block = self.signed(block, &format!("pull, {name}"), pointer)?;
            let pull = self.vectors.text(&format!("{pointer}/jws"))?;
            block = block.bytes(&format!("pullId, {name}"), pull_id(pull.as_bytes()).as_bytes());
        }
        block = self.signed(block, "retire statement", "/retire")?;
        for (name, pointer) in [("first", "/checkpoints/0"), ("second", "/checkpoints/1")] {
            block = self.signed(block, &format!("{name} checkpoint"), pointer)?;
            let jws = self.vectors.text(&format!("{pointer}/jws"))?;
            block = block.bytes(&format!("H({name} checkpoint)"), &sha256(jws.as_bytes()));
        }
        Ok(block.end())
    }

    /// A signed message of the vectors: its payload and the JWS, checked by the signer's key.
    fn signed(&self, block: Block, name: &str, pointer: &str) -> Result<Block, DocumentError> {
        let jws = self.vectors.text(&format!("{pointer}/jws"))?;
        let unverified = self.vectors.take(pointer, Unverified::parse(jws.as_bytes()))?;
        let typ = unverified.claimed_typ();
        let typ = typ.ok_or_else(|| self.vectors.wrong(pointer, "of no known type"))?;
        let key = if typ == Typ::Outcome { "/keys/station" } else { "/keys/identity" };
        let key = self.vectors.take(key, SoftIdentity::from_pkcs8(&self.vectors.bytes(key)?))?;
        let verified = unverified.verify_with(typ, key.public(), &Algorithms::rustcrypto());
        self.vectors.take(pointer, verified)?;
        Ok(block.text(&format!("payload of {name}"), &payload(jws)).text(name, jws))
    }

    fn envelope(&self, heading: &str) -> Result<String, DocumentError> {
        let wrong = |reason: &dyn std::fmt::Display| self.vectors.wrong("/envelope/bytes", reason);
        let keys = self.prk.session(&self.transcript);
        let envelope = Envelope::parse(&self.envelope).map_err(|error| wrong(&error))?;
        let proof = envelope.verify_mac(&keys).map_err(|error| wrong(&error))?;
        // Blinds the RSA operation; the plaintext does not depend on it.
        let mut rng = ChaCha20Rng::from_seed([1; 32]);
        let opened = envelope.open(proof, &self.kem, &keys, &self.transcript, &mut rng);
        let opened = opened.map_err(|error| wrong(&error))?;
        let jws = std::str::from_utf8(opened.expose()).map_err(|error| wrong(&error))?;
        let parts = Parts::of(&self.envelope).ok_or_else(|| wrong(&"too short"))?;
        let payload = payload(jws);
        let intro = "§5. The plaintext is the configuration JWS; the hash of its payload is the \
                     `configurationHash` of status and audit log.";
        Ok(Block::new(heading, intro)
            .bytes("kemKey", &self.kem.public().to_bytes())
            .bytes("header", parts.header)
            .bytes("enc", parts.enc)
            .bytes("ct", parts.ct)
            .bytes("HMAC", parts.mac)
            .bytes("envelope", &self.envelope)
            .text("payload of configuration", &payload)
            .bytes("configurationHash", &sha256(payload.as_bytes()))
            .text("configuration", jws)
            .end())
    }
}

/// The parts of an envelope that has been verified.
struct Parts<'a> {
    header: &'a [u8],
    enc: &'a [u8],
    ct: &'a [u8],
    mac: &'a [u8],
}

impl<'a> Parts<'a> {
    fn of(envelope: &'a [u8]) -> Option<Self> {
        let (body, mac) = envelope.split_last_chunk::<MAC_LEN>()?;
        let (header, rest) = body.split_at_checked(HEADER_LEN)?;
        let (enc, rest) = prefixed(rest)?;
        let (ct, _) = prefixed(rest)?;
        Some(Self { header, enc, ct, mac })
    }
}

fn prefixed(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

/// The second part of a JWS, decoded.
fn payload(jws: &str) -> String {
    let part = jws.split('.').nth(1).unwrap_or_default();
    let bytes = b64::decode_url(part).unwrap_or_default();
    String::from_utf8(bytes).unwrap_or_default()
}

/// A file of `docs/vectors`.
struct Vectors {
    suite: u8,
    json: Value,
}

impl Vectors {
    fn parse(suite: u8, text: &str) -> Result<Self, DocumentError> {
        let json = serde_json::from_str(text);
        let json = json.map_err(|error| DocumentError::Vector(suite, error.to_string()))?;
        Ok(Self { suite, json })
    }

    fn wrong(&self, pointer: &str, reason: impl ToString) -> DocumentError {
        DocumentError::Vector(self.suite, format!("{pointer}: {}", reason.to_string()))
    }

    fn value(&self, pointer: &str) -> Result<&Value, DocumentError> {
        self.json.pointer(pointer).ok_or_else(|| self.wrong(pointer, "missing"))
    }

    fn text(&self, pointer: &str) -> Result<&str, DocumentError> {
        self.value(pointer)?.as_str().ok_or_else(|| self.wrong(pointer, "not text"))
    }

    fn bytes(&self, pointer: &str) -> Result<Vec<u8>, DocumentError> {
        let text = self.text(pointer)?.as_bytes();
        let byte = |pair: &[u8]| {
            let pair = std::str::from_utf8(pair).ok()?;
            u8::from_str_radix(pair, 16).ok()
        };
        let bytes: Option<Vec<u8>> = text.chunks(2).map(byte).collect();
        bytes.ok_or_else(|| self.wrong(pointer, "not hexadecimal"))
    }

    fn array<const N: usize>(&self, pointer: &str) -> Result<[u8; N], DocumentError> {
        hex::decode(self.text(pointer)?).ok_or_else(|| self.wrong(pointer, "of another length"))
    }

    fn parsed<T, E: ToString>(
        &self,
        pointer: &str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Result<T, DocumentError> {
        self.take(pointer, parse(self.text(pointer)?))
    }

    fn take<T, E: ToString>(
        &self,
        pointer: &str,
        result: Result<T, E>,
    ) -> Result<T, DocumentError> {
        result.map_err(|error| self.wrong(pointer, error))
    }
}
