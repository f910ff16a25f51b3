//! The device inside another program: what this one is, without its command line, its page and its
//! control socket. `zmon-ffi` is such a program's door.

use std::{path::PathBuf, sync::Arc};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;
use zmon_cli::{Failure, logging};
use zmon_crypto::Suite;
use zmon_domain::{
    error::ErrorCode,
    ids::{DeviceId, DeviceSerial, FirmwareVersion, OperatorId, SiteId, Thumbprint},
    limits,
    role::Role,
};
use zmon_provisioning::{IProvisioningService, ports::Clock};
use zmon_transport::control::ControlParts;
use zmon_ui::web::LocalOperators;
use zmon_wire::{kind, secret::SecretText, strict, text};

use crate::{
    anchors,
    args::{CodeFormatName, Run},
    init::{self, Order, Person},
    running::Running,
    settings::{Settings, SettingsFile},
};

/// Longest JSON text of this module, in bytes.
const CONFIGURATION_MAX: usize = limits::BODY_MAX.default;
/// Site of the anchors when nobody names it, as for `device init`.
const SITE: &str = "site-1";

/// What to make: `device init` as JSON.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewDevice {
    /// New or empty directory.
    directory: PathBuf,
    #[serde(with = "text")]
    device_id: DeviceId,
    #[serde(with = "text")]
    device_serial: DeviceSerial,
    #[serde(with = "text")]
    firmware_version: FirmwareVersion,
    /// Files with the hospital's CA certificates; none only with `proximity`.
    #[serde(default)]
    anchors: Vec<PathBuf>,
    /// Site the anchors belong to.
    #[serde(default, with = "text::option")]
    site: Option<SiteId>,
    #[serde(default)]
    proximity: bool,
    #[serde(default)]
    suite: Option<kind::Suite>,
    #[serde(default)]
    code_format: Option<CodeFormatName>,
    administrator: Account,
    #[serde(default)]
    technician: Option<Account>,
}

/// A first operator.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Account {
    #[serde(with = "text")]
    operator: OperatorId,
    pin: SecretText,
}

/// What was made.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MadeDevice {
    #[serde(with = "text")]
    device_id: DeviceId,
    #[serde(with = "text")]
    device_serial: DeviceSerial,
    /// Full SHA-256 of the identity key: what a registry holds.
    #[serde(with = "text")]
    identity_key: Thumbprint,
    /// Fingerprints of the anchors.
    anchors: Vec<String>,
}

impl NewDevice {
    /// Reads the order from JSON.
    ///
    /// # Errors
    /// `request_malformed` or `request_too_large`, with the member and its rule.
    pub fn parse(json: &[u8]) -> Result<Self, Failure> {
        parse(json)
    }

    /// Makes the device.
    ///
    /// # Errors
    /// A usage failure or `pin_too_weak` before anything is made, `state_conflict` for a directory that
    /// is not empty; what the disk says.
    pub async fn make(self) -> Result<MadeDevice, Failure> {
        if self.anchors.is_empty() != self.proximity {
            let rule = "must name at least one file, or none with proximity";
            return Err(Failure::usage("anchors", rule));
        }
        let is_named = |other: &Account| other.operator == self.administrator.operator;
        if self.technician.as_ref().is_some_and(is_named) {
            return Err(Failure::usage("technician.operator", "must have a name of their own"));
        }
        let site = match self.site {
            Some(site) => site,
            None => SiteId::parse(SITE)?,
        };
        let anchors = anchors::read(&self.anchors, &site).map_err(|wrong| wrong.at("anchors"))?;
        let technician = self.technician.map(|account| account.person(Role::Technician));
        let made = init::make(Order {
            dir: self.directory,
            file: SettingsFile {
                device_id: self.device_id.to_string(),
                device_serial: self.device_serial.to_string(),
                firmware_version: self.firmware_version.to_string(),
                code_format: self.code_format,
                proximity: self.proximity.then_some(true),
                ..SettingsFile::default()
            },
            anchors,
            site,
            suite: match self.suite {
                Some(kind::Suite::Rsa2048) => Suite::Rsa2048,
                Some(kind::Suite::P256) | None => Suite::P256,
            },
            people: [self.administrator.person(Role::Administrator)]
                .into_iter()
                .chain(technician)
                .collect(),
        });
        let made = made.await?;
        Ok(MadeDevice {
            device_id: made.profile.device_id,
            device_serial: made.profile.serial,
            identity_key: made.identity_key,
            anchors: made.anchors,
        })
    }
}

impl Account {
    fn person(self, role: Role) -> Person {
        let pin = Zeroizing::new(self.pin.expose().to_owned());
        Person { id: self.operator, role, pin, is_made: false }
    }
}

/// What to open: a directory, and settings that win over those of its file.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Configuration {
    directory: PathBuf,
    /// The keys of `device.toml`, and its values as JSON.
    #[serde(default)]
    settings: SettingsFile,
}

impl Configuration {
    /// Reads the configuration from JSON.
    ///
    /// # Errors
    /// As [`NewDevice::parse`]; `settings_invalid` for a setting that is not the embedder's.
    pub fn parse(json: &[u8]) -> Result<Self, Failure> {
        let read: Self = parse(json)?;
        let settings = &read.settings;
        let foreign = [
            ("settings.device_id", !settings.device_id.is_empty()),
            ("settings.device_serial", !settings.device_serial.is_empty()),
            ("settings.screen", settings.screen.is_some()),
            ("settings.control", settings.control.is_some()),
        ];
        match foreign.into_iter().find(|(_, is_given)| *is_given) {
            Some((key, _)) => Err(Failure::usage(key, "must not be given to an embedded device")),
            None => Ok(read),
        }
    }
}

/// An open device whose screen is another program's.
///
/// Its owner awaits [`keep`](Self::keep), [`stop`](Self::stop)s it when that returns or when it wants
/// to, and makes it anew by [`StoppedDevice::open_again`] in the first case.
pub struct EmbeddedDevice {
    directory: PathBuf,
    settings: Arc<Settings>,
    running: Running,
}

/// A stopped device that can be opened again.
pub struct StoppedDevice {
    directory: PathBuf,
    settings: Arc<Settings>,
}

impl EmbeddedDevice {
    /// Opens a device. Logs go to standard error, and only if the configuration says `log`. Needs a tokio
    /// runtime.
    ///
    /// # Errors
    /// `not_initialised`, `settings_invalid` with the key, and what else stops `device run` before its
    /// ready line.
    pub async fn open(configuration: Configuration) -> Result<Self, Failure> {
        let Configuration { directory, settings: over } = configuration;
        let logs = over.log.is_some();
        let file = SettingsFile::load(&directory)?.overlaid(over);
        let args = Run { dir: directory.clone(), ..Run::default() };
        let settings = Arc::new(Settings::merge(&args, file)?);
        if logs {
            logging::init(settings.log.clone(), settings.log_format);
        }
        let running = Running::open(directory.clone(), Arc::clone(&settings), false).await?;
        Ok(Self { directory, settings, running })
    }

    /// The service.
    #[must_use]
    pub fn service(&self) -> Arc<dyn IProvisioningService> {
        self.running.service()
    }

    /// The time that the service goes by.
    #[must_use]
    pub fn clock(&self) -> Arc<dyn Clock> {
        self.running.clock()
    }

    /// What answers the requests of the control socket.
    #[must_use]
    pub fn control(&self) -> ControlParts {
        self.running.control()
    }

    /// Whom a PIN pad offers.
    #[must_use]
    pub fn operators(&self) -> Arc<dyn LocalOperators> {
        self.running.screen().operators
    }

    /// Does what has to be done from time to time; returns when a factory reset has asked for a new
    /// identity: the device has to be stopped and opened again.
    pub async fn keep(&self) {
        self.running.keep().await;
    }

    /// Stops the device in order.
    ///
    /// # Errors
    /// What the audit log says to the last row.
    pub async fn stop(self) -> Result<StoppedDevice, Failure> {
        self.running.stop().await?;
        Ok(StoppedDevice { directory: self.directory, settings: self.settings })
    }
}

impl StoppedDevice {
    /// Opens it again, with the settings of before.
    ///
    /// # Errors
    /// As [`EmbeddedDevice::open`]; `state_conflict` when somebody still uses the one before.
    pub async fn open_again(self) -> Result<EmbeddedDevice, Failure> {
        let Self { directory, settings } = self;
        let running = Running::open_again(directory.clone(), Arc::clone(&settings), false).await?;
        Ok(EmbeddedDevice { directory, settings, running })
    }
}

fn parse<T: serde::de::DeserializeOwned>(json: &[u8]) -> Result<T, Failure> {
    strict::parse(json, CONFIGURATION_MAX)
        .map_err(|error| error.report(ErrorCode::RequestMalformed).into())
}

#[cfg(test)]
mod tests {
    use zmon_domain::error::FieldError;

    use super::*;

    const PIN: &str = "483920";

    fn order(dir: &std::path::Path, more: &str) -> String {
        let dir = dir.display();
        format!(
            r#"{{"directory":"{dir}","deviceId":"ZM-001","deviceSerial":"SN-2024-001234",
            "firmwareVersion":"1.2.3","administrator":{{"operator":"admin","pin":"{PIN}"}}{more}}}"#
        )
    }

    fn field(failure: &Failure) -> String {
        failure.report().detail.as_ref().map(FieldError::field).unwrap_or_default().to_owned()
    }

    #[tokio::test]
    async fn a_device_is_made_opened_and_opened_again() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("bed-7");
        let order = order(&dir, r#","proximity":true"#);
        let made = NewDevice::parse(order.as_bytes()).unwrap().make().await.unwrap();
        assert_eq!(made.device_id.as_str(), "ZM-001");
        let twice = NewDevice::parse(order.as_bytes()).unwrap().make().await.unwrap_err();
        assert_eq!(twice.code(), ErrorCode::StateConflict);

        let text = format!(
            r#"{{"directory":"{}","settings":{{"firmware_version":"2.0.0","window_minutes":5}}}}"#,
            dir.display()
        );
        let open = async || EmbeddedDevice::open(Configuration::parse(text.as_bytes())?).await;
        let device = open().await.unwrap();
        assert_eq!(device.settings.profile.window().as_secs(), 300);
        assert_eq!(device.settings.profile.firmware.to_string(), "2.0.0");
        assert_eq!(device.service().device_id().as_str(), "ZM-001");
        assert_eq!(device.operators().operators().await.len(), 1);
        let Err(locked) = open().await else { panic!("opened twice") };
        assert_eq!(locked.code(), ErrorCode::StateConflict);
        let device = device.stop().await.unwrap().open_again().await.unwrap();
        device.stop().await.unwrap();
    }

    #[tokio::test]
    async fn an_order_that_breaks_a_rule_makes_nothing() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("bed-7");
        let cases = [
            ("", "anchors"),
            (r#","anchors":["/nowhere/a.pem"],"proximity":true"#, "anchors"),
            (r#","anchors":["/nowhere/a.pem"]"#, "anchors"),
            (
                r#","proximity":true,"technician":{"operator":"admin","pin":"483921"}"#,
                "technician.operator",
            ),
        ];
        for (more, named) in cases {
            let new = NewDevice::parse(order(&dir, more).as_bytes()).unwrap();
            assert_eq!(field(&new.make().await.unwrap_err()), named, "{more}");
        }
        let weak = order(&dir, r#","proximity":true"#).replace(PIN, "123456");
        let weak = NewDevice::parse(weak.as_bytes()).unwrap().make().await.unwrap_err();
        assert_eq!(weak.code(), ErrorCode::PinTooWeak);
        assert!(!dir.exists());
    }

    #[test]
    fn a_text_that_is_no_configuration_is_refused_by_its_member() {
        let cases = [
            ("", "message"),
            ("{}", "directory"),
            (r#"{"directory":1}"#, "directory"),
            (r#"{"directory":"x","more":1}"#, "more"),
            (r#"{"directory":"x","settings":{"listen":"here"}}"#, "settings.listen"),
            (r#"{"directory":"x","settings":{"device_id":"ZM-002"}}"#, "settings.device_id"),
            (r#"{"directory":"x","settings":{"device_serial":"S"}}"#, "settings.device_serial"),
            (r#"{"directory":"x","settings":{"screen":"off"}}"#, "settings.screen"),
            (r#"{"directory":"x","settings":{"control":"/x"}}"#, "settings.control"),
        ];
        for (json, named) in cases {
            let refused = Configuration::parse(json.as_bytes()).unwrap_err();
            assert_eq!(field(&refused), named, "{json}");
        }
        let long = format!(r#"{{"directory":"{}"}}"#, "x".repeat(CONFIGURATION_MAX));
        let long = Configuration::parse(long.as_bytes()).unwrap_err();
        assert_eq!(long.code(), ErrorCode::RequestTooLarge);
    }
}
