//! The local control socket: who may, what it answers, what it leaves behind.

use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::Mutex;
use zmon_domain::error::{ErrorCode, ErrorReport};
use zmon_domain::ids::{DeviceId, DeviceSerial, FirmwareVersion, OperatorId, Thumbprint};
use zmon_domain::role::{OperatorProof, Role, danger};
use zmon_domain::state::ProvisioningStatus;
use zmon_domain::time::Now;
use zmon_provisioning::clock::VirtualClock;
use zmon_provisioning::ports::{Authenticator, Clock, Pin};
use zmon_provisioning::{MockConfig, MockProvisioningService};
use zmon_transport::control::{
    ControlClient, ControlError, ControlParts, ControlServer, LocalAccounts, SocketError,
};
use zmon_wire::control::{ControlAnswer, ControlRequest, EventView, IdentityView, OperatorView};
use zmon_wire::kind::{Suite, True};
use zmon_wire::secret::SecretText;

use crate::memory::MemoryLog;
use crate::pki::NOW;

const PIN: &str = "271828";

/// Knows one operator and one PIN.
struct OneOperator;

#[async_trait]
impl Authenticator for OneOperator {
    async fn authenticate(
        &self,
        id: &OperatorId,
        pin: Pin,
        now: &Now,
    ) -> Result<OperatorProof, ErrorReport> {
        if pin.expose() != PIN.as_bytes() {
            return Err(ErrorCode::AuthenticationFailed.into());
        }
        let expires = now.mono + std::time::Duration::from_secs(60);
        #[expect(clippy::disallowed_methods, reason = "tests have operators of their own")]
        Ok(danger::authenticated(id.clone(), Role::Administrator, expires))
    }
}

/// Remembers what it was told.
#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

#[async_trait]
impl LocalAccounts for Notes {
    async fn add(
        &self,
        proof: &OperatorProof,
        id: OperatorId,
        role: Role,
        _pin: Pin,
    ) -> Result<(), ErrorReport> {
        self.0.lock().await.push(format!("{} adds {role} {id}", proof.id()));
        Ok(())
    }

    async fn list(&self, proof: &OperatorProof) -> Result<Vec<OperatorView>, ErrorReport> {
        let operator = proof.id().clone();
        Ok(vec![OperatorView { operator, role: proof.role(), is_locked: false }])
    }

    async fn remove(&self, proof: &OperatorProof, account: OperatorId) -> Result<(), ErrorReport> {
        self.0.lock().await.push(format!("{} removes {account}", proof.id()));
        Err(ErrorCode::LastAdministrator.into())
    }

    async fn set_pin(
        &self,
        proof: &OperatorProof,
        account: OperatorId,
        _pin: Pin,
    ) -> Result<(), ErrorReport> {
        self.0.lock().await.push(format!("{} sets the PIN of {account}", proof.id()));
        Ok(())
    }

    async fn unlock(&self, proof: &OperatorProof, account: OperatorId) -> Result<(), ErrorReport> {
        self.0.lock().await.push(format!("{} unlocks {account}", proof.id()));
        Ok(())
    }

    async fn create_administrator(&self, id: OperatorId, _pin: Pin) -> Result<(), ErrorReport> {
        self.0.lock().await.push(format!("first administrator {id}"));
        Ok(())
    }
}

struct Desk {
    _directory: TempDir,
    path: PathBuf,
    notes: Arc<Notes>,
    server: ControlServer,
}

fn parts(notes: &Arc<Notes>) -> ControlParts {
    let clock = Arc::new(VirtualClock::starting_at(NOW));
    let service = MockProvisioningService::new(
        MockConfig::new("ZM-001", "SN-2024-001234", "127.0.0.1").unwrap(),
    );
    let identity = IdentityView {
        device_id: DeviceId::parse("ZM-001").unwrap(),
        device_serial: DeviceSerial::parse("SN-2024-001234").unwrap(),
        firmware_version: FirmwareVersion::parse("1.2.3").unwrap(),
        suite: Suite::P256,
        identity_key: Thumbprint::from_bytes([5; 32]),
        ip_address: None,
    };
    let clock: Arc<dyn Clock> = clock;
    ControlParts::new(
        Arc::new(service),
        Arc::new(OneOperator),
        Arc::new(MemoryLog::default()),
        clock,
        identity,
    )
    .with_accounts(notes.clone())
}

impl Desk {
    fn open() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("control.sock");
        let notes = Arc::new(Notes::default());
        let server = ControlServer::start(&path, parts(&notes)).unwrap();
        Self { _directory: directory, path, notes, server }
    }

    async fn client(&self) -> ControlClient {
        ControlClient::connect(&self.path).await.unwrap()
    }
}

fn enter(pin: &str) -> ControlRequest {
    ControlRequest::Enter {
        operator: OperatorId::parse("ada").unwrap(),
        pin: SecretText::new(pin),
        address: None,
        override_interlock: None,
    }
}

fn code(error: &ControlError) -> ErrorCode {
    error.report().unwrap_or_else(|| panic!("{error:?}")).code
}

#[tokio::test]
async fn the_socket_is_its_owners_alone_and_goes_with_the_server() {
    let desk = Desk::open();
    let made = std::fs::symlink_metadata(&desk.path).unwrap();
    assert!(made.file_type().is_socket());
    assert_eq!(made.permissions().mode() & 0o7777, 0o600);
    let beside = std::fs::read_dir(desk.path.parent().unwrap()).unwrap().count();
    assert_eq!(beside, 1, "nothing else is left in the directory");
    desk.server.shutdown().await;
    assert!(std::fs::symlink_metadata(&desk.path).is_err());
}

#[tokio::test]
async fn a_live_socket_is_refused_and_a_dead_one_replaced() {
    let desk = Desk::open();
    let second = ControlServer::start(&desk.path, parts(&desk.notes)).unwrap_err();
    assert!(matches!(second, SocketError::InUse(_)), "{second}");
    let answer = desk.client().await.ask(&ControlRequest::Status {}).await;
    assert!(answer.is_ok(), "the first one was not disturbed");

    let dead = desk.path.with_file_name("dead.sock");
    drop(std::os::unix::net::UnixListener::bind(&dead).unwrap());
    let server = ControlServer::start(&dead, parts(&desk.notes)).unwrap();
    ControlClient::connect(&dead).await.unwrap();
    server.shutdown().await;
}

#[tokio::test]
async fn what_is_no_socket_is_not_touched() {
    let desk = Desk::open();
    let file = desk.path.with_file_name("file");
    std::fs::write(&file, "precious").unwrap();
    let link = desk.path.with_file_name("link");
    symlink(&file, &link).unwrap();
    for path in [&file, &link] {
        let refused = ControlServer::start(path, parts(&desk.notes)).unwrap_err();
        assert!(matches!(refused, SocketError::NotASocket(_)), "{refused}");
    }
    assert_eq!(std::fs::read(&file).unwrap(), b"precious");
    let nowhere = desk.path.with_file_name("missing").join("control.sock");
    let refused = ControlServer::start(&nowhere, parts(&desk.notes)).unwrap_err();
    assert!(matches!(refused, SocketError::Io(_)), "{refused}");
    let unreachable = ControlClient::connect(&nowhere).await.unwrap_err();
    assert!(matches!(unreachable, ControlError::Unreachable(_)), "{unreachable}");
}

#[tokio::test]
async fn what_a_crash_left_behind_does_not_stop_the_next_start() {
    let desk = Desk::open();
    desk.server.shutdown().await;
    let leftover = desk.path.with_file_name(format!(".{}", std::process::id()));
    std::fs::create_dir(&leftover).unwrap();
    drop(std::os::unix::net::UnixListener::bind(leftover.join("s")).unwrap());
    let server = ControlServer::start(&desk.path, parts(&desk.notes)).unwrap();
    assert!(!leftover.exists());
    server.shutdown().await;
}

#[tokio::test]
async fn only_the_right_pin_opens_a_window() {
    let desk = Desk::open();
    let mut client = desk.client().await;
    let refused = client.ask(&enter("000000")).await.unwrap_err();
    assert_eq!(code(&refused), ErrorCode::AuthenticationFailed);
    assert_eq!(code(&client.ask(&enter("12")).await.unwrap_err()), ErrorCode::RequestMalformed);
    let refused = client.ask(&ControlRequest::Qr {}).await.unwrap_err();
    assert_eq!(code(&refused), ErrorCode::NotInProvisioningMode);

    assert!(matches!(client.ask(&enter(PIN)).await.unwrap(), ControlAnswer::Done {}));
    let ControlAnswer::Status(status) = client.ask(&ControlRequest::Status {}).await.unwrap()
    else {
        panic!("no status")
    };
    assert_eq!(status.status, ProvisioningStatus::ReadyToPair);
    assert!(status.pairing_code.is_some());
    let ControlAnswer::Qr(qr) = client.ask(&ControlRequest::Qr {}).await.unwrap() else {
        panic!("no QR code")
    };
    assert!(qr.png.starts_with(b"\x89PNG"));
    assert!(qr.content.expose().starts_with("{\"deviceId\":"));
    client.ask(&ControlRequest::Regenerate {}).await.unwrap();
    client.ask(&ControlRequest::Cancel {}).await.unwrap();
    let again = client.ask(&ControlRequest::Cancel {}).await.unwrap_err();
    assert_eq!(code(&again), ErrorCode::NotInProvisioningMode);
}

#[tokio::test]
async fn a_reprovisioning_wants_a_confirmation_and_a_renewal_a_configuration() {
    let desk = Desk::open();
    let unconfirmed = ["", ",\"confirm\":false", ",\"confirm\":null", ",\"confirm\":\"true\""];
    for member in unconfirmed {
        let line =
            format!("{{\"reprovision\":{{\"operator\":\"ada\",\"pin\":\"{PIN}\"{member}}}}}\n");
        let mut stream = UnixStream::connect(&desk.path).await.unwrap();
        drop(stream.write_all(line.as_bytes()).await);
        let mut answer = Vec::new();
        drop(stream.read_to_end(&mut answer).await);
        let text = String::from_utf8(answer).unwrap();
        assert!(text.contains("\"code\":\"request_malformed\""), "{text}");
    }
    let (operator, pin) = (OperatorId::parse("ada").unwrap(), SecretText::new(PIN));
    let mut client = desk.client().await;
    let confirmed = ControlRequest::Reprovision {
        operator: operator.clone(),
        pin: pin.clone(),
        confirm: True,
        address: None,
        override_interlock: None,
    };
    let refused = client.ask(&confirmed).await.unwrap_err();
    assert_eq!(code(&refused), ErrorCode::StateConflict);
    let refused = client.ask(&ControlRequest::Renew { operator, pin }).await.unwrap_err();
    assert_eq!(code(&refused), ErrorCode::StateConflict);
}

#[tokio::test]
async fn a_device_without_a_folder_takes_no_files() {
    let desk = Desk::open();
    let refused = desk.client().await.ask(&ControlRequest::Courier {}).await.unwrap_err();
    assert_eq!(code(&refused), ErrorCode::CourierUnavailable);
}

#[tokio::test]
async fn identity_link_log_and_accounts_are_answered() {
    let desk = Desk::open();
    let mut client = desk.client().await;
    let identity = client.ask(&ControlRequest::Identity {}).await.unwrap();
    let ControlAnswer::Identity(identity) = identity else { panic!("no identity") };
    assert_eq!(identity.device_id.as_str(), "ZM-001");
    let link = client.ask(&ControlRequest::Link {}).await.unwrap();
    assert!(matches!(link, ControlAnswer::Link(link) if !link.connected));
    let log = client.ask(&ControlRequest::Log { after: 0, limit: Some(5) }).await.unwrap();
    assert!(matches!(log, ControlAnswer::Log(page) if page.rows.is_empty()));
    let verdict = client.ask(&ControlRequest::Verify {}).await.unwrap();
    assert!(
        matches!(verdict, ControlAnswer::Verdict(verdict) if verdict.intact && verdict.checkpoints == 3)
    );
    let add = ControlRequest::AddOperator {
        operator: OperatorId::parse("ada").unwrap(),
        pin: SecretText::new(PIN),
        new_operator: OperatorId::parse("tess").unwrap(),
        new_pin: SecretText::new("314159"),
        role: Role::Technician,
    };
    client.ask(&add).await.unwrap();
    let (ada, tess) = (OperatorId::parse("ada").unwrap(), OperatorId::parse("tess").unwrap());
    let (operator, pin, account) = (ada, SecretText::new(PIN), tess);
    let list = ControlRequest::ListOperators { operator: operator.clone(), pin: pin.clone() };
    let ControlAnswer::Operators(view) = client.ask(&list).await.unwrap() else {
        panic!("no operators")
    };
    assert_eq!(view.operators[0].operator, operator);
    let new_pin = SecretText::new("662607");
    let (o, p, a) = (operator.clone(), pin.clone(), account.clone());
    client.ask(&ControlRequest::SetPin { operator: o, pin: p, account: a, new_pin }).await.unwrap();
    let (o, p, a) = (operator.clone(), pin.clone(), account.clone());
    client.ask(&ControlRequest::UnlockOperator { operator: o, pin: p, account: a }).await.unwrap();
    let remove = ControlRequest::RemoveOperator { operator, pin, account };
    let kept = client.ask(&remove).await.unwrap_err();
    assert_eq!(code(&kept), ErrorCode::LastAdministrator);
    assert_eq!(
        *desk.notes.0.lock().await,
        [
            "ada adds technician tess",
            "ada sets the PIN of tess",
            "ada unlocks tess",
            "ada removes tess"
        ]
    );
}

#[tokio::test]
async fn followers_get_the_status_first_and_then_what_happens() {
    let desk = Desk::open();
    let (status, mut events) = desk.client().await.events().await.unwrap();
    assert_eq!(status.status, ProvisioningStatus::Unprovisioned);
    desk.client().await.ask(&enter(PIN)).await.unwrap();
    let mut seen = Vec::new();
    while !seen.iter().any(|event| matches!(event, EventView::QrCodeGenerated {})) {
        seen.push(events.next().await.unwrap().unwrap());
    }
    let ready = EventView::StatusChanged { status: ProvisioningStatus::ReadyToPair };
    assert!(seen.contains(&ready), "{seen:?}");
    desk.server.shutdown().await;
    let mut last = events.next().await;
    while matches!(last, Ok(Some(_))) {
        last = events.next().await;
    }
    assert!(matches!(last, Ok(None)), "{last:?}");
}

#[tokio::test]
async fn lines_that_are_no_request_are_refused_and_end_the_connection() {
    let desk = Desk::open();
    let long = vec![b'x'; 70_000];
    let junk: [(&[u8], ErrorCode); 6] = [
        (b"\n", ErrorCode::RequestMalformed),
        (b"{\n", ErrorCode::RequestMalformed),
        (b"{\"dance\":{}}\n", ErrorCode::RequestMalformed),
        (b"{\"status\":{},\"status\":{}}\n", ErrorCode::RequestMalformed),
        (b"\xff\xfe\n", ErrorCode::RequestMalformed),
        (&long, ErrorCode::RequestTooLarge),
    ];
    for (line, expected) in junk {
        let mut stream = UnixStream::connect(&desk.path).await.unwrap();
        // The server may hang up before it has read everything.
        drop(stream.write_all(line).await);
        let mut answer = Vec::new();
        drop(stream.read_to_end(&mut answer).await);
        let text = String::from_utf8(answer).unwrap();
        assert!(text.contains(&format!("\"code\":\"{expected}\"")), "{text}");
        assert!(text.ends_with('\n'));
    }
}
