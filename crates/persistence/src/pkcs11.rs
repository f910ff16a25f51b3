//! Keys in a PKCS#11 token (OASIS PKCS #11): a hardware security module, or SoftHSM.
//!
//! The station's client CA and configuration signing can have their keys there. A key is made inside the token,
//! marked so that it cannot be read, and only signs. What a token has signed is verified before it leaves here.
//!
//! A session with the token is kept open. When it breaks, another one is opened, and where that is not to be had
//! the module is started anew, because some find a token that was gone only then. A PIN that was refused is never
//! shown again: tokens lock after a few wrong ones.
//!
//! Calls of a module come one after the other. Keep one [`Token`] a module and process: a restart ends the sessions
//! of all.

use core::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error as TokenError, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use zmon_crypto::{Algorithms, IdentityPublic, KeyError, ec_parameters, es256_to_der, sha256};
use zmon_domain::error::ErrorCode;
use zmon_station::ca::ModuleKey;

use crate::error::{PersistenceError, Result};

/// A token whose PIN was accepted.
#[derive(Clone)]
pub struct Token(Arc<Inner>);

struct Inner {
    context: Pkcs11,
    /// How often the module was started. Whoever calls it holds this.
    starts: Mutex<u64>,
    label: String,
    pin: AuthPin,
    /// The PIN was refused: it is not shown again.
    barred: AtomicBool,
}

impl Token {
    /// Loads a module, finds the one token of this label in it and tries the PIN.
    ///
    /// # Errors
    /// `key_store_unavailable`: no such module or token, two tokens of the label, or a PIN it refuses.
    pub fn open(module: &Path, label: &str, pin: &str) -> Result<Self> {
        let failed = |error: TokenError| refused(format!("{}: {error}", module.display()));
        let context = Pkcs11::new(module).map_err(failed)?;
        initialize(&context).map_err(failed)?;
        let this = Inner {
            context,
            starts: Mutex::new(0),
            label: label.to_owned(),
            pin: AuthPin::from(pin.to_owned()),
            barred: AtomicBool::new(false),
        };
        close(this.session(false)?);
        Ok(Self(Arc::new(this)))
    }

    /// A key that was made there before.
    ///
    /// # Errors
    /// `key_store_unavailable`: no such key, two of the label, one that is not P-256, or one that could be
    /// read out of the token.
    pub fn key(&self, label: &str) -> Result<TokenKey> {
        let starts = self.0.starts();
        let open = self.0.find(label, *starts)?;
        let public = self.0.point(&open.session, label).and_then(|point| {
            let public = IdentityPublic::from_ec_point(&point);
            public.map_err(|error| self.0.refused(format!("{label}: {error}")))
        });
        let public = match public {
            Ok(public) => public,
            Err(error) => {
                close(open.session);
                return Err(error);
            }
        };
        let (token, label) = (Arc::clone(&self.0), label.to_owned());
        Ok(TokenKey { token, label, public, open: Mutex::new(Some(open)) })
    }

    /// Makes a P-256 key that never leaves the token.
    ///
    /// # Errors
    /// `state_conflict` for a label that is taken; `key_store_unavailable`.
    pub fn make_key(&self, label: &str) -> Result<TokenKey> {
        let starts = self.0.starts();
        let session = self.0.session(true)?;
        let made = self.0.make(&session, label);
        close(session);
        drop(starts);
        made.and_then(|()| self.key(label))
    }
}

impl Inner {
    fn starts(&self) -> MutexGuard<'_, u64> {
        self.starts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the module anew; every session of before is gone.
    fn restart(&self, starts: &mut u64) -> Result<()> {
        *starts = starts.wrapping_add(1);
        // What cannot be ended cannot be begun either, and that is told.
        let _ended = self.context.clone().finalize();
        initialize(&self.context).map_err(|error| self.refused(error.to_string()))
    }

    /// A session in which the user is logged in.
    fn session(&self, writes: bool) -> Result<Session> {
        let failed = |error: TokenError| self.refused(error.to_string());
        if self.barred.load(Ordering::SeqCst) {
            return Err(self.refused("the PIN was refused, and is not shown again".to_owned()));
        }
        let slot = self.slot()?;
        let session = match writes {
            true => self.context.open_rw_session_no_drop(slot),
            false => self.context.open_ro_session_no_drop(slot),
        };
        let session = session.map_err(failed)?;
        match session.login(UserType::User, Some(&self.pin)) {
            // Logins are the process's, not the session's.
            Ok(()) | Err(TokenError::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(session),
            Err(error) => {
                if let TokenError::Pkcs11(RvError::PinIncorrect | RvError::PinLocked, _) = &error {
                    self.barred.store(true, Ordering::SeqCst);
                }
                close(session);
                Err(failed(error))
            }
        }
    }

    /// Makes a pair of keys under a label that nothing has yet.
    fn make(&self, session: &Session, label: &str) -> Result<()> {
        let failed = |error: TokenError| self.refused(format!("{label}: {error}"));
        let name = Attribute::Label(label.as_bytes().to_vec());
        if !session.find_objects(core::slice::from_ref(&name)).map_err(failed)?.is_empty() {
            let context = format!("{self}: {label}: there is such a key already");
            return Err(PersistenceError::new(ErrorCode::StateConflict, context));
        }
        let id = Attribute::Id(sha256(label.as_bytes()).to_vec());
        let curve = ec_parameters().map_err(|error| self.refused(error.to_string()))?;
        let public = [
            Attribute::Token(true),
            Attribute::Private(false),
            Attribute::Verify(true),
            Attribute::EcParams(curve),
            name.clone(),
            id.clone(),
        ];
        let private = [
            Attribute::Token(true),
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Sign(true),
            Attribute::Derive(false),
            name,
            id,
        ];
        let pair = session.generate_key_pair(&Mechanism::EccKeyPairGen, &public, &private);
        pair.map(drop).map_err(failed)
    }

    fn slot(&self) -> Result<Slot> {
        let failed = |error: TokenError| self.refused(error.to_string());
        let mut found = None;
        for slot in self.context.get_slots_with_initialized_token().map_err(failed)? {
            let token = self.context.get_token_info(slot).map_err(failed)?;
            if token.label().trim_end() == self.label && found.replace(slot).is_some() {
                return Err(self.refused("there are two tokens of this label".to_owned()));
            }
        }
        found.ok_or_else(|| self.refused("there is no such token".to_owned()))
    }

    /// The private key of this label, in a session of its own.
    fn find(&self, label: &str, start: u64) -> Result<Open> {
        let session = self.session(false)?;
        match self.guarded(&session, label) {
            Ok(key) => Ok(Open { session, key, start }),
            Err(error) => {
                close(session);
                Err(error)
            }
        }
    }

    /// The private key of this label, which cannot be read.
    fn guarded(&self, session: &Session, label: &str) -> Result<ObjectHandle> {
        let key = self.one(session, ObjectClass::PRIVATE_KEY, label)?;
        let guards = [AttributeType::Sensitive, AttributeType::Extractable];
        let told = session
            .get_attributes(key, &guards)
            .map_err(|error| self.refused(format!("{label}: {error}")))?;
        let guarded = [Attribute::Sensitive(true), Attribute::Extractable(false)];
        if guarded.iter().all(|guard| told.contains(guard)) {
            return Ok(key);
        }
        Err(self.refused(format!("{label}: the key could be read out of the token")))
    }

    fn point(&self, session: &Session, label: &str) -> Result<Vec<u8>> {
        let failed = |error: TokenError| self.refused(format!("{label}: {error}"));
        let key = self.one(session, ObjectClass::PUBLIC_KEY, label)?;
        let told = session.get_attributes(key, &[AttributeType::EcPoint]).map_err(failed)?;
        let point = told.into_iter().find_map(|attribute| {
            if let Attribute::EcPoint(point) = attribute { Some(point) } else { None }
        });
        point.ok_or_else(|| self.refused(format!("{label}: the key has no point")))
    }

    fn one(&self, session: &Session, class: ObjectClass, label: &str) -> Result<ObjectHandle> {
        let wanted = [
            Attribute::Class(class),
            Attribute::KeyType(KeyType::EC),
            Attribute::Label(label.as_bytes().to_vec()),
        ];
        let found = session
            .find_objects(&wanted)
            .map_err(|error| self.refused(format!("{label}: {error}")))?;
        match *found.as_slice() {
            [key] => Ok(key),
            [] => Err(self.refused(format!("{label}: there is no such key"))),
            _ => Err(self.refused(format!("{label}: there are two such keys"))),
        }
    }

    fn refused(&self, why: String) -> PersistenceError {
        refused(format!("{self}: {why}"))
    }
}

impl fmt::Display for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "token {}", self.label)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({})", self.0.label)
    }
}

fn refused(context: String) -> PersistenceError {
    PersistenceError::new(ErrorCode::KeyStoreUnavailable, context)
}

fn initialize(context: &Pkcs11) -> Result<(), TokenError> {
    match context.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        Ok(()) | Err(TokenError::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Sessions are closed by name: one of before a restart may have the number of somebody else's by now.
fn close(session: Session) {
    if let Err(error) = session.close() {
        tracing::debug!(%error, "session with the token");
    }
}

/// A session that knows its key.
struct Open {
    session: Session,
    key: ObjectHandle,
    /// The start of the module that it belongs to.
    start: u64,
}

/// A P-256 key in a token.
pub struct TokenKey {
    token: Arc<Inner>,
    label: String,
    public: IdentityPublic,
    open: Mutex<Option<Open>>,
}

impl TokenKey {
    fn try_sign(&self, open: &Open, message: &[u8]) -> Result<Vec<u8>, String> {
        // The hash is made here: every token signs one, not every token makes one.
        let signed = open.session.sign(&Mechanism::Ecdsa, open.key, &sha256(message));
        let signature = signed.map_err(|error| error.to_string())?;
        let der = es256_to_der(&signature).map_err(|error| error.to_string())?;
        Algorithms::rustcrypto()
            .ecdsa_p256_sha256()
            .verify_signature(self.public.key_bits(), message, &der)
            .map_err(|_| "what it signed does not verify under its own key".to_owned())?;
        Ok(signature)
    }

    /// Signs in another session; where there is none to be had, after another start of the module.
    fn open_and_sign(&self, message: &[u8], starts: &mut u64) -> Result<(Vec<u8>, Open), String> {
        let told = |error: PersistenceError| error.describe();
        let open = match self.token.find(&self.label, *starts) {
            Ok(open) => open,
            Err(_) if !self.token.barred.load(Ordering::SeqCst) => {
                self.token.restart(starts).map_err(told)?;
                self.token.find(&self.label, *starts).map_err(told)?
            }
            Err(error) => return Err(told(error)),
        };
        match self.try_sign(&open, message) {
            Ok(signature) => Ok((signature, open)),
            Err(why) => {
                close(open.session);
                Err(why)
            }
        }
    }
}

impl ModuleKey for TokenKey {
    fn public(&self) -> &IdentityPublic {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let mut kept = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let mut starts = self.token.starts();
        let failed = |why: String| {
            tracing::warn!(token = %self.token, key = %self.label, %why, "the token did not sign");
        };
        // A session of before may be gone, e.g. since the token was restarted.
        if let Some(open) = kept.take().filter(|open| open.start == *starts) {
            match self.try_sign(&open, message) {
                Ok(signature) => {
                    *kept = Some(open);
                    return Ok(signature);
                }
                Err(why) => failed(why),
            }
            close(open.session);
        }
        match self.open_and_sign(message, &mut starts) {
            Ok((signature, open)) => {
                *kept = Some(open);
                Ok(signature)
            }
            Err(why) => {
                failed(why);
                Err(KeyError::Signing)
            }
        }
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenKey({}, {})", self.token, self.label)
    }
}
