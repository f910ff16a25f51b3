//! Every domain-separation label of the protocol in one place (`docs/CRYPTO.md` has the table).
//!
//! Labels are ASCII without a terminator. No two are equal, and none that shares a key with
//! another is a prefix of it in the position where variable data follows.

/// Root secret → key that authenticates pairing tokens (D3).
pub const TOKEN: &[u8] = b"zp1 token";
/// Hash prefix of a token's public name, [`crate::token::PairingToken::id`].
pub const TOKEN_ID: &[u8] = b"zp1 token id";
/// Hash prefix of the name of a device's pull, [`crate::schedule::pull_id`].
pub const PULL_ID: &[u8] = b"zp1 pull id";
/// Hash prefix of the extract salt that binds a session's secrets to the hello.
pub const HELLO: &[u8] = b"zp1 hello";
/// Pseudorandom key → key of the claim MAC.
pub const CLAIM: &[u8] = b"zp1 claim";
/// Prefix of the salt and of the context of a typed code's key exchange (D2).
pub const PAKE: &[u8] = b"zp1 pake";
/// Hash prefix of the session transcript `T`.
pub const SESSION: &[u8] = b"zp1 session";
/// Pseudorandom key → envelope MAC key.
pub const MAC: &[u8] = b"zp1 mac";
/// Pseudorandom key → HPKE pre-shared key.
pub const PSK: &[u8] = b"zp1 psk";
/// Pseudorandom key → `kKey`, which seals a station-made client key (D6).
pub const KEY: &[u8] = b"zp1 key";
/// Pseudorandom key → bytes behind the four comparison words.
pub const WORDS: &[u8] = b"zp1 words";
/// Pseudorandom key → `kBlink`, key of the MAC over a blink.
pub const BLINK: &[u8] = b"zp1 blink";
/// `info` prefix of the configuration envelope.
pub const CONFIG: &[u8] = b"zp1 config";
/// `info` prefix of a client key that the station made (D6).
pub const PRIVATE: &[u8] = b"zp1 private";
/// Expand label of the content key of suite 2.
pub const RSA: &[u8] = b"zp1 rsa";
/// Hash prefix of the audit chain (D16).
pub const AUDIT: &[u8] = b"zp1 audit";

/// Root secret → key of the hash that stands for a pairing code in the audit log.
pub const CODE_HASH: &[u8] = b"zp1 code hash";
/// Root secret → pepper of operator PINs (D22).
pub const PIN: &[u8] = b"zp1 pin";
/// Root secret → key that seals statements waiting for their station (D21).
pub const RETIRE: &[u8] = b"zp1 retire";
/// Root secret → key that seals slot secrets of a file key store (D19).
pub const SLOT: &[u8] = b"zp1 slot";
/// Root secret → key that seals the identity key of a file key store (D19).
pub const IDENTITY: &[u8] = b"zp1 identity";
/// Root secret → MAC key over the device database's own state.
pub const STATE: &[u8] = b"zp1 state";
/// A station's root secret → key that seals what it keeps of one running session; the session's id follows.
pub const HELD: &[u8] = b"zp1 held";
/// A station's root secret → key that seals, beside the database, how far its record had come; the station's id
/// follows.
pub const HIGH_WATER: &[u8] = b"zp1 high water";

/// Every label that is expanded by itself under a root secret.
pub const ROOT: [&[u8]; 7] = [TOKEN, CODE_HASH, PIN, SLOT, RETIRE, STATE, IDENTITY];
