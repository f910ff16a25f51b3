//! The configuration payload as [I §3.2] shows it.

use core::fmt;

use zmon_crypto::jws::{Typ, Unverified};
use zmon_crypto::{Algorithms, IdentityPublic};
use zmon_domain::error::{ErrorCode, ErrorReport, FieldError};
use zmon_domain::ids::DeviceId;
use zmon_domain::settings::{Language, MeasurementUnit, SyncInterval};
use zmon_domain::time::{Now, UnixTime};
use zmon_wire::configuration::ConfigurationDocument;
use zmon_wire::secret::SecretText;

/// The members of [I §3.2], as the station sent them.
pub use zmon_wire::configuration::ProvisioningPayload as PayloadFields;

/// A configuration payload from the station ([I §3.2]), in one of three forms:
///
/// - **sealed** ([`from_envelope`](Self::from_envelope)): "encrypted and signed", as it arrives; the
///   production service applies only this one, because nothing else proves that it was made for
///   this pairing. Its members are unknown until the device has opened it;
/// - **signed** ([`from_jws`](Self::from_jws)): opened, the members read from the exact signed
///   bytes; [`verify_signature`](Self::verify_signature) says by whom;
/// - **plain** ([`from_fields`](Self::from_fields)): for the mock and for simulation.
#[derive(Clone, Debug)]
pub struct ProvisioningPayload {
    form: Form,
}

#[derive(Clone)]
enum Form {
    Sealed(Vec<u8>),
    Signed { jws: Vec<u8>, fields: Box<PayloadFields> },
    Plain(Box<PayloadFields>),
}

impl fmt::Debug for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sealed(_) => f.write_str("Sealed"),
            Self::Signed { fields, .. } => f.debug_tuple("Signed").field(fields).finish(),
            Self::Plain(fields) => f.debug_tuple("Plain").field(fields).finish(),
        }
    }
}

impl ProvisioningPayload {
    /// The sealed envelope, exactly as it arrived.
    #[must_use]
    pub fn from_envelope(envelope: Vec<u8>) -> Self {
        Self { form: Form::Sealed(envelope) }
    }

    /// An opened configuration: the exact `zp-config` JWS. Its signature is *not* checked here.
    ///
    /// # Errors
    ///
    /// `jws_malformed` or `configuration_malformed`, with the field.
    pub fn from_jws(jws: Vec<u8>) -> Result<Self, ErrorReport> {
        let unverified = Unverified::parse(&jws).map_err(|error| error.code())?;
        let document = ConfigurationDocument::parse(unverified.payload_unverified())
            .map_err(|error| error.report(ErrorCode::ConfigurationMalformed))?;
        let signature = jws.rsplit(|byte| *byte == b'.').next().unwrap_or_default();
        let signature = core::str::from_utf8(signature).map_err(|_| ErrorCode::JwsMalformed)?;
        let fields = Box::new(PayloadFields::new(&document, signature));
        Ok(Self { form: Form::Signed { jws, fields } })
    }

    /// Members without any proof.
    #[must_use]
    pub fn from_fields(fields: PayloadFields) -> Self {
        Self { form: Form::Plain(Box::new(fields)) }
    }

    /// What a simulated station sends to `device_id` ([W §9.3]): well formed, good for nothing.
    #[must_use]
    pub fn mock(device_id: &DeviceId, pairing_code: &str, now: UnixTime) -> Self {
        Self::from_fields(PayloadFields {
            device_id: device_id.as_str().into(),
            pairing_code: SecretText::new(pairing_code),
            server_url: "https://mock-central-station.invalid:8443".into(),
            sync_interval: SyncInterval::default(),
            client_certificate: "mock client certificate".into(),
            client_private_key: SecretText::new(""),
            ca_certificate: "mock CA certificate".into(),
            server_certificate: "mock server certificate".into(),
            device_label: "MOCK-MON-01".into(),
            bed_id: "MOCK-1".into(),
            measurement_unit: MeasurementUnit::default(),
            language: Language::default(),
            signature: "mock signature".into(),
            timestamp: now,
            expires_at: None,
        })
    }

    /// The members; `None` while they are sealed.
    #[must_use]
    pub fn fields(&self) -> Option<&PayloadFields> {
        match &self.form {
            Form::Sealed(_) => None,
            Form::Signed { fields, .. } | Form::Plain(fields) => Some(fields),
        }
    }

    /// Whether the members that nothing works without are there: device, server, client
    /// certificate, signature. A sealed payload is valid if it is not empty.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.members().is_ok()
    }

    fn members(&self) -> Result<(), FieldError> {
        match &self.form {
            Form::Sealed(envelope) if envelope.is_empty() => {
                Err(FieldError::new("envelope", "must not be empty"))
            }
            Form::Sealed(_) => Ok(()),
            Form::Signed { fields, .. } | Form::Plain(fields) => fields.check(),
        }
    }

    /// Whether `now` is past `expires_at`; the exact instant is still inside. A sealed payload says
    /// `false`: the device checks it when it has opened it.
    #[must_use]
    pub fn is_expired(&self, now: UnixTime) -> bool {
        self.fields().is_some_and(|fields| fields.is_expired(now))
    }

    /// Whether the payload was signed by `public_key`. Only a signed payload can be.
    #[must_use]
    pub fn verify_signature(&self, public_key: &IdentityPublic, algorithms: &Algorithms) -> bool {
        let Form::Signed { jws, .. } = &self.form else { return false };
        Unverified::parse(jws)
            .is_ok_and(|jws| jws.verify_with(Typ::Config, public_key, algorithms).is_ok())
    }

    /// The envelope, if this is the sealed form.
    #[must_use]
    pub fn envelope(&self) -> Option<&[u8]> {
        match &self.form {
            Form::Sealed(envelope) => Some(envelope),
            Form::Signed { .. } | Form::Plain(_) => None,
        }
    }

    /// What [I §2.1] has checked before anything is applied: members, device, expiry (where the
    /// clock may be compared, D14).
    pub(crate) fn check(&self, device_id: &DeviceId, now: &Now) -> Result<(), ErrorReport> {
        self.members()
            .map_err(|member| ErrorReport::field(ErrorCode::ConfigurationMalformed, member))?;
        if self.fields().is_some_and(|fields| fields.device_id != device_id.as_str()) {
            return Err(ErrorReport::from(ErrorCode::DeviceMismatch));
        }
        if now.synced().is_some_and(|now| self.is_expired(now)) {
            return Err(ErrorReport::from(ErrorCode::ConfigurationExpired));
        }
        Ok(())
    }
}
