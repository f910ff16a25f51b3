//! An operator's tablet: HTTPS with a bearer token, as in [W §11.3].

use std::num::NonZeroU16;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use zmon_domain::address::DeviceAddress;
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::{BatchId, BedId, DeviceId, DeviceLabel, Serial, SessionId};
use zmon_domain::route::Route;
use zmon_transport::client::{Answer, Ask, ClientError, ClientTimes, Connection, Endpoint, JSON};
use zmon_transport::paths::{self, of_batch, pair_courier};
use zmon_wire::admin::{
    DeviceList, Done, EnrolmentAnswer, ImportAnswer, LoginAnswer, LoginRequest, OperatorRequest,
    RevokeAnswer,
};
use zmon_wire::batch::{BatchScanAnswer, BatchView};
use zmon_wire::carry::{CourierAnswer, Return};
use zmon_wire::manifest::{self, ManifestRow};
use zmon_wire::pair::{PairAnswer, PairPending, PairRequest, ScanAnswer, ScanRequest};
use zmon_wire::problem::Problem;
use zmon_wire::qr::QrContent;
use zmon_wire::secret::SecretText;
use zmon_wire::strict;

use crate::wait::{self, PATIENCE};

/// Longest answer that is read, in bytes.
const ANSWER_MAX: usize = 1 << 20;

/// What a station did not do.
#[derive(Debug, Clone)]
pub struct ApiError {
    /// The status of the answer.
    pub status: u16,
    /// The problem document.
    pub problem: Box<Problem>,
}

impl ApiError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        self.problem.code
    }
}

/// A logged-in operator. Each request has a connection of its own.
#[derive(Clone)]
pub struct Operator {
    endpoint: Endpoint,
    tls: Arc<rustls::ClientConfig>,
    token: Option<SecretText>,
}

impl Operator {
    /// A tablet that nobody is logged in at.
    #[must_use]
    pub fn new(endpoint: Endpoint, tls: Arc<rustls::ClientConfig>) -> Self {
        Self { endpoint, tls, token: None }
    }

    /// Logs in and keeps the token.
    ///
    /// # Errors
    /// What the station refused with.
    pub async fn log_in(mut self, operator: &str, password: &str) -> Result<Self, ApiError> {
        let request = LoginRequest {
            operator: operator.parse().expect("an operator's name"),
            password: SecretText::new(password),
        };
        let answer: LoginAnswer = self.post("/api/auth/login", &request).await?;
        self.token = Some(answer.token);
        Ok(self)
    }

    /// The bearer token.
    #[must_use]
    pub fn token(&self) -> &str {
        self.token.as_ref().map_or("", SecretText::expose)
    }

    /// The same tablet with another token.
    #[must_use]
    pub fn with_token(mut self, token: &str) -> Self {
        self.token = Some(SecretText::new(token));
        self
    }

    /// `POST /api/provisioning/sessions` with what the QR code says.
    ///
    /// # Errors
    /// What the station refused with.
    pub async fn scan(&self, qr: &QrContent) -> Result<ScanAnswer, ApiError> {
        self.post("/api/provisioning/sessions", &scan_request(qr)).await
    }

    /// `POST /api/provisioning/pair` in one call.
    ///
    /// # Errors
    /// What the station refused with.
    pub async fn pair(&self, qr: &QrContent) -> Result<PairAnswer, ApiError> {
        self.post("/api/provisioning/pair", &pair_request(qr)).await
    }

    /// As [`Operator::pair`] for a device whose station has to be confirmed: what is answered until then.
    ///
    /// # Errors
    /// What the station refused with.
    pub async fn begin(&self, qr: &QrContent) -> Result<PairPending, ApiError> {
        self.post("/api/provisioning/pair", &pair_request(qr)).await
    }

    /// What is answered until a session has ended.
    ///
    /// # Errors
    /// What the station refused with, and the answer of a session that has ended.
    pub async fn pending(&self, session: SessionId) -> Result<PairPending, ApiError> {
        self.get(&format!("/api/provisioning/pair/{session}")).await
    }

    /// The result of a session, however long it takes.
    ///
    /// # Errors
    /// What the station refused with.
    pub async fn finished(&self, session: SessionId) -> Result<PairAnswer, ApiError> {
        let path = format!("/api/provisioning/pair/{session}");
        let ended = || async {
            let answer = self.send(Ask::get(&path)).await;
            (answer.status != http::StatusCode::ACCEPTED).then_some(answer)
        };
        read(wait::eventually("the session to end", ended).await)
    }

    /// `POST /api/provisioning/pair` by the typed code: what an operator reads off the screen without a
    /// camera. Without `place` the registry says where the device listens.
    ///
    /// # Errors
    /// What the station refused with.
    pub async fn pair_typed(
        &self,
        device: &DeviceId,
        code: &str,
        place: Option<(DeviceAddress, NonZeroU16)>,
    ) -> Result<PairAnswer, ApiError> {
        let request = typed_request(device, code, place);
        self.post("/api/provisioning/pair", &request).await
    }

    /// Begins a pairing whose messages go this way; it waits for them.
    ///
    /// # Errors
    /// What the station refused with.
    pub async fn pair_by(&self, qr: &QrContent, route: Route) -> Result<PairPending, ApiError> {
        self.waits(&PairRequest { delivery: Some(route), ..pair_request(qr) }).await
    }

    /// As [`Operator::pair_by`], by the typed code.
    ///
    /// # Errors
    /// What the station refused with.
    pub async fn pair_typed_by(
        &self,
        device: &DeviceId,
        code: &str,
        place: (DeviceAddress, NonZeroU16),
        route: Route,
    ) -> Result<PairPending, ApiError> {
        let request = typed_request(device, code, Some(place));
        self.waits(&PairRequest { delivery: Some(route), ..request }).await
    }

    /// `GET /api/provisioning/pair/{sessionId}/courier`.
    ///
    /// # Errors
    /// What the station refused with.
    pub async fn courier(&self, session: SessionId) -> Result<CourierAnswer, ApiError> {
        self.get(&pair_courier(session)).await
    }

    /// `POST /api/provisioning/pair/{sessionId}/courier`.
    ///
    /// # Errors
    /// What the station refused with.
    pub async fn courier_return(
        &self,
        session: SessionId,
        answer: &Return,
    ) -> Result<Done, ApiError> {
        self.post(&pair_courier(session), answer).await
    }

    async fn waits(&self, request: &PairRequest) -> Result<PairPending, ApiError> {
        let body = strict::to_vec(request).expect("a request has a JSON form");
        let answer = self.send(Ask::post("/api/provisioning/pair", JSON, body)).await;
        if answer.status != http::StatusCode::ACCEPTED {
            return Err(refusal(&answer));
        }
        let parsed = strict::parse(&answer.body, ANSWER_MAX);
        Ok(parsed.unwrap_or_else(|error| panic!("{error}: {answer:?}")))
    }

    /// As [`Operator::pair`], whatever is answered.
    ///
    /// # Errors
    /// When the connection breaks.
    ///
    /// # Panics
    /// Never.
    pub async fn try_pair(&self, qr: &QrContent) -> Result<Answer, ClientError> {
        let body = strict::to_vec(&pair_request(qr)).expect("a request has a JSON form");
        self.try_send(Ask::post("/api/provisioning/pair", JSON, body)).await
    }

    /// `POST /api/provisioning/pair` after a scan.
    ///
    /// # Errors
    /// What the station refused with.
    pub async fn pair_scanned(
        &self,
        qr: &QrContent,
        session: SessionId,
    ) -> Result<PairAnswer, ApiError> {
        self.pair_scanned_with(qr, session, None, None).await
    }

    /// The same with the bed and the label that the technician chose.
    ///
    /// # Errors
    /// What the station refused with.
    pub async fn pair_scanned_with(
        &self,
        qr: &QrContent,
        session: SessionId,
        bed: Option<BedId>,
        label: Option<DeviceLabel>,
    ) -> Result<PairAnswer, ApiError> {
        let mut request = pair_request(qr);
        request.session_id = Some(session);
        request.bed_id = bed;
        request.device_label = label;
        self.post("/api/provisioning/pair", &request).await
    }

    /// `GET /api/provisioning/pair/{sessionId}`.
    ///
    /// # Errors
    /// What the station refused with.
    pub async fn result(&self, session: SessionId) -> Result<PairAnswer, ApiError> {
        self.get(&format!("/api/provisioning/pair/{session}")).await
    }

    /// `POST /api/provisioning/pair/{sessionId}/cancel`.
    ///
    /// # Errors
    /// What the station refused with.
    pub async fn cancel(&self, session: SessionId) -> Result<Done, ApiError> {
        let path = format!("/api/provisioning/pair/{session}/cancel");
        read(self.send(Ask::post(&path, JSON, "{}")).await)
    }

    /// `POST /api/registry/import`.
    ///
    /// # Errors
    /// What the station refused with.
    pub async fn import(&self, rows: &[ManifestRow]) -> Result<ImportAnswer, ApiError> {
        let lines = manifest::to_lines(rows).expect("a manifest has a JSON form");
        read(self.send(Ask::post("/api/registry/import", JSON, lines)).await)
    }

    /// `GET /api/registry/devices`.
    ///
    /// # Errors
    /// What the station refused with.
    pub async fn devices(&self) -> Result<DeviceList, ApiError> {
        self.get("/api/registry/devices").await
    }

    /// `POST /api/certificates/{serial}/revoke`.
    ///
    /// # Errors
    /// What the station refused with.
    pub async fn revoke(&self, serial: &Serial) -> Result<RevokeAnswer, ApiError> {
        let path = format!("/api/certificates/{serial}/revoke");
        read(self.send(Ask::post(&path, JSON, "{}")).await)
    }

    /// `POST /api/registry/devices/{deviceId}/enrolment`.
    ///
    /// # Errors
    /// What the station refused with.
    pub async fn permit_enrolment(&self, device: &DeviceId) -> Result<EnrolmentAnswer, ApiError> {
        let path = format!("/api/registry/devices/{device}/enrolment");
        read(self.send(Ask::post(&path, JSON, "{}")).await)
    }

    /// `POST /api/operators`.
    ///
    /// # Errors
    /// What the station refused with.
    pub async fn add_operator(&self, request: &OperatorRequest) -> Result<Done, ApiError> {
        self.post("/api/operators", request).await
    }

    /// `POST /api/batches`.
    ///
    /// # Errors
    /// What the station refused with.
    pub async fn open_batch(&self, name: &str, manifest: String) -> Result<BatchView, ApiError> {
        let path = format!("/api/batches?name={}", name.replace(' ', "+"));
        read(self.send(Ask::post(&path, JSON, manifest)).await)
    }

    /// `GET /api/batches/{batchId}`.
    ///
    /// # Errors
    /// What the station refused with.
    pub async fn batch(&self, id: BatchId) -> Result<BatchView, ApiError> {
        self.get(&of_batch(paths::BATCH, id)).await
    }

    /// `POST /api/batches/{batchId}/scan` with what the QR code says.
    ///
    /// # Errors
    /// What the station refused with.
    pub async fn batch_scan(
        &self,
        id: BatchId,
        qr: &QrContent,
    ) -> Result<BatchScanAnswer, ApiError> {
        self.post(&of_batch(paths::BATCH_SCAN, id), &scan_request(qr)).await
    }

    /// `GET path`, as text.
    ///
    /// # Errors
    /// What the station refused with.
    pub async fn get_text(&self, path: &str) -> Result<String, ApiError> {
        let answer = self.send(Ask::get(path)).await;
        if answer.status.is_success() {
            return Ok(String::from_utf8_lossy(&answer.body).into_owned());
        }
        Err(refusal(&answer))
    }

    /// Sends any request and returns whatever is answered.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn send(&self, ask: Ask<'_>) -> Answer {
        self.try_send(ask).await.expect("the station answers")
    }

    /// Sends any request.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn try_send(&self, mut ask: Ask<'_>) -> Result<Answer, ClientError> {
        if let Some(token) = &self.token {
            let bearer = format!("Bearer {}", token.expose());
            let bearer = bearer.try_into().expect("a token is a header value");
            ask = ask.header(http::header::AUTHORIZATION, bearer);
        }
        let mut connection = self.connection().await?;
        connection.send_bounded(ask, PATIENCE, ANSWER_MAX).await
    }

    /// A connection for requests of the caller's making, one after the other.
    ///
    /// # Errors
    /// When there is none.
    pub async fn connection(&self) -> Result<Connection, ClientError> {
        let connect = ClientTimes::default().connect;
        Connection::open(&self.endpoint, Arc::clone(&self.tls), connect).await
    }

    /// Posts a JSON text of the caller's making; the answer as text.
    ///
    /// # Errors
    /// What the station refused with.
    pub async fn post_json(&self, path: &str, body: String) -> Result<String, ApiError> {
        let answer = self.send(Ask::post(path, JSON, body)).await;
        if answer.status.is_success() {
            return Ok(String::from_utf8_lossy(&answer.body).into_owned());
        }
        Err(refusal(&answer))
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ApiError> {
        read(self.send(Ask::get(path)).await)
    }

    async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ApiError> {
        let body = strict::to_vec(body).expect("a request has a JSON form");
        read(self.send(Ask::post(path, JSON, body)).await)
    }
}

/// What a tablet sends of a scanned code.
pub(crate) fn scan_request(qr: &QrContent) -> ScanRequest {
    let qr = qr.clone();
    ScanRequest {
        device_id: qr.device_id,
        device_serial: Some(qr.device_serial),
        ip_address: Some(qr.ip_address),
        pairing_code: qr.pairing_code,
        pairing_token: Some(qr.pairing_token),
        port: None,
        expires_at: Some(qr.expires_at),
        firmware_version: Some(qr.firmware_version),
        delivery: None,
    }
}

fn pair_request(qr: &QrContent) -> PairRequest {
    let qr = qr.clone();
    PairRequest {
        device_id: qr.device_id,
        pairing_code: qr.pairing_code,
        pairing_token: Some(qr.pairing_token),
        session_id: None,
        device_serial: Some(qr.device_serial),
        ip_address: Some(qr.ip_address),
        port: None,
        bed_id: None,
        device_label: None,
        delivery: None,
    }
}

fn typed_request(
    device: &DeviceId,
    code: &str,
    place: Option<(DeviceAddress, NonZeroU16)>,
) -> PairRequest {
    PairRequest {
        device_id: device.clone(),
        pairing_code: SecretText::new(code),
        pairing_token: None,
        session_id: None,
        device_serial: None,
        ip_address: place.map(|(address, _)| address),
        port: place.map(|(_, port)| port),
        bed_id: None,
        device_label: None,
        delivery: None,
    }
}

fn read<T: DeserializeOwned>(answer: Answer) -> Result<T, ApiError> {
    let parsed = strict::parse(&answer.body, ANSWER_MAX);
    match answer.status {
        http::StatusCode::OK => Ok(parsed.unwrap_or_else(|error| panic!("{error}: {answer:?}"))),
        // Somebody who waits for a result gets none as long as a courier has to carry it.
        http::StatusCode::ACCEPTED => parsed.map_err(|_| refusal(&answer)),
        _ => Err(refusal(&answer)),
    }
}

/// A pairing that only a courier can end is one that the station could not reach the device for.
fn refusal(answer: &Answer) -> ApiError {
    if answer.status == http::StatusCode::ACCEPTED {
        let code = ErrorCode::DeviceUnreachable;
        let problem = Box::new(Problem::new(&code.into()));
        return ApiError { status: code.http_status(), problem };
    }
    let problem = strict::parse(&answer.body, ANSWER_MAX);
    let problem = problem.unwrap_or_else(|error| panic!("{error}: {answer:?}"));
    ApiError { status: answer.status.as_u16(), problem: Box::new(problem) }
}
