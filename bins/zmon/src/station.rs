//! A logged-in connection to a station's operator API.

mod batch;

use core::time::Duration;

use http::{HeaderValue, StatusCode, header::AUTHORIZATION};
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::sleep;
use zeroize::Zeroizing;
use zmon_cli::{
    Failure, files,
    secret::{self, Source},
};
use zmon_domain::{
    address::ServerUrl,
    error::ErrorCode,
    ids::{DeviceId, OperatorId, Serial, SessionId},
    limits,
    route::Route,
};
use zmon_transport::{
    client::{Answer, Ask, ClientError, ClientTimes, Connection, Endpoint, JSON, Refusal},
    paths, provider,
    tls::{TlsContext, certificates_from_pem, trusting_client},
};
use zmon_wire::{
    admin::{
        DeviceList, Done, ImportAnswer, LoginAnswer, LoginRequest, OperatorRequest,
        PasswordRequest, RekeyAnswer, RevokeAnswer,
    },
    audit::AuditPage,
    carry::{CourierAnswer, Return},
    fleet::{CertificateList, CertificateStanding, RevokeRequest},
    pair::{PairAnswer, PairPending, PairRequest},
    problem::Problem,
    secret::SecretText,
    strict,
};

use crate::{args::Login, clock};

/// Longest anchor file, in bytes.
const PEM_MAX: usize = 65_536;
/// The flag that names the file of an operator token.
const TOKEN_FILE: &str = "--token-file";
/// Longest list or page of rows, in bytes.
const LIST_MAX: usize = limits::MANIFEST_BYTES.default;
/// How often a pairing that the device has not answered yet is looked at.
const POLL: Duration = Duration::from_secs(1);

/// A password as it was typed.
type Password = Zeroizing<String>;
/// Longest message for a device, in bytes: an envelope in base64url.
const COURIER_MAX: usize = limits::BODY_MAX.default * 2;

/// What became of a pairing.
pub(crate) enum Paired {
    /// The device is provisioned.
    Done(Box<PairAnswer>),
    /// Its messages wait for a courier.
    Waits(PairPending),
}

/// Which certificates are listed.
pub(crate) enum Which {
    /// Those in a state.
    State(CertificateStanding),
    /// Those of a device.
    Device(DeviceId),
}

/// A station, one connection, one login.
pub(crate) struct StationClient {
    connection: Connection,
    authorization: HeaderValue,
}

impl StationClient {
    /// Connects and logs in as the command line says.
    ///
    /// # Errors
    /// A usage failure for a wrong URL, CA or token file; else what the network or the station says.
    pub(crate) async fn login(login: &Login) -> Result<Self, Failure> {
        let url = &login.station;
        let ca = files::read("--ca", &login.ca, PEM_MAX)?;
        if let Some(path) = &login.token_file {
            let token = secret::read(Source::File { flag: TOKEN_FILE, path }, "token")?;
            let authorization = bearer(&token).map_err(|failure| failure.at(TOKEN_FILE))?;
            return Ok(Self { connection: connect(url, &ca).await?, authorization });
        }
        let (operator, password) = account(login)?;
        Self::with_password(url, &ca, operator, &password).await
    }

    /// Connects and logs in with the password that the command line names or a person types, and
    /// keeps that for a request which repeats it.
    ///
    /// # Errors
    /// As [`StationClient::login`]; a usage failure for a token instead of a password.
    pub(crate) async fn login_keeping(login: &Login) -> Result<(Self, Password), Failure> {
        if login.token_file.is_some() {
            return Err(Failure::usage(
                TOKEN_FILE,
                "must not be given: the present password is asked",
            ));
        }
        let ca = files::read("--ca", &login.ca, PEM_MAX)?;
        let (operator, password) = account(login)?;
        Ok((Self::with_password(&login.station, &ca, operator, &password).await?, password))
    }

    /// Connects and logs in with a password.
    ///
    /// # Errors
    /// As [`StationClient::login`].
    pub(crate) async fn with_password(
        url: &ServerUrl,
        ca: &[u8],
        operator: OperatorId,
        password: &str,
    ) -> Result<Self, Failure> {
        let mut connection = connect(url, ca).await?;
        let request = LoginRequest { operator, password: SecretText::new(password) };
        let ask = Ask::post("/api/auth/login", JSON, strict::to_vec(&request)?);
        let answer = send(&mut connection, ask, limits::BODY_MAX.default).await?;
        let LoginAnswer { token, .. } = read(&answer)?;
        Ok(Self { connection, authorization: bearer(token.expose())? })
    }

    /// Sets another password for the account that is logged in.
    ///
    /// # Errors
    /// What the station says.
    pub(crate) async fn change_password(
        &mut self,
        present: &str,
        new: &str,
    ) -> Result<Done, Failure> {
        let (password, new_password) = (SecretText::new(present), SecretText::new(new));
        self.post("/api/operators/self/password", &PasswordRequest { password, new_password })
            .await
            .and_then(|answer| read(&answer))
    }

    /// Pairs a device, and waits on when the device is slow to answer or comes for its messages by
    /// itself; not when a courier has to go. Words that somebody has to compare with the device's
    /// screen are given to `compare`, once.
    ///
    /// # Errors
    /// What the station says.
    pub(crate) async fn pair(
        &mut self,
        request: &PairRequest,
        mut compare: impl FnMut(&str) -> Result<(), Failure>,
    ) -> Result<Paired, Failure> {
        let mut shown = false;
        let mut answer = self.post("/api/provisioning/pair", request).await?;
        let deadline = clock::now().mono + limits::SESSION_LIFETIME.default;
        while answer.status == StatusCode::ACCEPTED {
            let pending: PairPending = read(&answer)?;
            if let Some(words) = pending.words.as_ref().filter(|_| !shown) {
                compare(words)?;
                shown = true;
            }
            if pending.delivery == Route::Courier {
                return Ok(Paired::Waits(pending));
            }
            let session_id = pending.session_id;
            if clock::now().mono >= deadline {
                return Err(Failure::new(ErrorCode::Timeout)
                    .context(format!("the device has not answered in session {session_id}")));
            }
            sleep(POLL).await;
            answer = self.pair_result(session_id).await?;
        }
        read(&answer).map(|answer| Paired::Done(Box::new(answer)))
    }

    /// The result of a session of this operator, once it has one.
    ///
    /// # Errors
    /// Why the pairing failed.
    pub(crate) async fn finished(
        &mut self,
        session: SessionId,
    ) -> Result<Option<PairAnswer>, Failure> {
        let answer = self.pair_result(session).await?;
        if answer.status == StatusCode::ACCEPTED {
            return Ok(None);
        }
        read(&answer).map(Some)
    }

    /// The next message of a session for its device.
    ///
    /// # Errors
    /// What the station says.
    pub(crate) async fn courier(&mut self, session: SessionId) -> Result<CourierAnswer, Failure> {
        let path = paths::pair_courier(session);
        read(&self.get(&path, COURIER_MAX).await?)
    }

    /// Hands a device's answer in.
    ///
    /// # Errors
    /// What the station says.
    pub(crate) async fn courier_return(
        &mut self,
        session: SessionId,
        answer: &Return,
    ) -> Result<(), Failure> {
        let Done { .. } = read(&self.post(&paths::pair_courier(session), answer).await?)?;
        Ok(())
    }

    async fn pair_result(&mut self, session: SessionId) -> Result<Answer, Failure> {
        let path = format!("/api/provisioning/pair/{session}");
        self.get(&path, limits::BODY_MAX.default).await
    }

    /// Adds the devices of a manifest, given as its exact bytes.
    ///
    /// # Errors
    /// What the station says, naming row and field.
    pub(crate) async fn import(&mut self, manifest: Vec<u8>) -> Result<ImportAnswer, Failure> {
        let ask = self.authorized(Ask::post("/api/registry/import", JSON, manifest));
        read(&send(&mut self.connection, ask, limits::BODY_MAX.default).await?)
    }

    /// Gives a device another key, by its row of a manifest as exact bytes.
    ///
    /// # Errors
    /// What the station says.
    pub(crate) async fn rekey(
        &mut self,
        device: &DeviceId,
        manifest: Vec<u8>,
    ) -> Result<RekeyAnswer, Failure> {
        let path = format!("/api/registry/devices/{device}/rekey");
        let ask = self.authorized(Ask::post(&path, JSON, manifest));
        read(&send(&mut self.connection, ask, limits::BODY_MAX.default).await?)
    }

    /// Every device of the registry.
    ///
    /// # Errors
    /// What the station says.
    pub(crate) async fn devices(&mut self) -> Result<DeviceList, Failure> {
        let mut all = DeviceList { devices: Vec::new(), total: 0 };
        loop {
            let path = format!("/api/registry/devices?offset={}", all.devices.len());
            let page: DeviceList = read(&self.get(&path, LIST_MAX).await?)?;
            if page.devices.is_empty() {
                return Ok(all);
            }
            all.total = page.total;
            all.devices.extend(page.devices);
        }
    }

    /// Lets a device begin a new audit log.
    ///
    /// # Errors
    /// What the station says.
    pub(crate) async fn accept_audit(&mut self, device: &DeviceId) -> Result<Done, Failure> {
        let path = format!("/api/registry/devices/{device}/accept-audit");
        let ask = self.authorized(Ask::post(&path, JSON, Vec::new()));
        read(&send(&mut self.connection, ask, limits::BODY_MAX.default).await?)
    }

    /// Adds an operator.
    ///
    /// # Errors
    /// What the station says.
    pub(crate) async fn add_operator(
        &mut self,
        request: &OperatorRequest,
    ) -> Result<Done, Failure> {
        read(&self.post("/api/operators", request).await?)
    }

    /// Certificates that the station has issued.
    ///
    /// # Errors
    /// What the station says.
    pub(crate) async fn certificates(&mut self, which: &Which) -> Result<CertificateList, Failure> {
        let filter = match which {
            Which::State(state) => format!("state={}", state.as_str()),
            Which::Device(device) => format!("deviceId={device}"),
        };
        let mut all = CertificateList { certificates: Vec::new(), total: 0, expiry: Vec::new() };
        loop {
            let offset = all.certificates.len();
            let path = format!("{}?{filter}&offset={offset}", paths::CERTIFICATES);
            let page: CertificateList = read(&self.get(&path, LIST_MAX).await?)?;
            let is_empty = page.certificates.is_empty();
            (all.total, all.expiry) = (page.total, page.expiry);
            all.certificates.extend(page.certificates);
            if is_empty || all.certificates.len() as u64 >= all.total {
                return Ok(all);
            }
        }
    }

    /// Revokes a certificate.
    ///
    /// # Errors
    /// What the station says.
    pub(crate) async fn revoke(
        &mut self,
        serial: Serial,
        request: &RevokeRequest,
    ) -> Result<RevokeAnswer, Failure> {
        let path = paths::REVOKE.replace("{serial}", &serial.to_string());
        read(&self.post(&path, request).await?)
    }

    /// A page of the audit log.
    ///
    /// # Errors
    /// What the station says.
    pub(crate) async fn audit(&mut self, after: u64) -> Result<AuditPage, Failure> {
        read(&self.get(&format!("/api/audit?after={after}"), LIST_MAX).await?)
    }

    async fn get(&mut self, path: &str, most: usize) -> Result<Answer, Failure> {
        let ask = self.authorized(Ask::get(path));
        send(&mut self.connection, ask, most).await
    }

    async fn post<T: Serialize>(&mut self, path: &str, body: &T) -> Result<Answer, Failure> {
        let ask = self.authorized(Ask::post(path, JSON, strict::to_vec(body)?));
        send(&mut self.connection, ask, limits::BODY_MAX.default).await
    }

    fn authorized<'a>(&self, ask: Ask<'a>) -> Ask<'a> {
        ask.header(AUTHORIZATION, self.authorization.clone())
    }
}

/// What a station answers that needs no login, on `path` of its operators' listener; with the token of a
/// monitoring system where it needs that.
///
/// # Errors
/// What the network or the certificate says; the answer may be a refusal.
pub(crate) async fn look(
    url: &ServerUrl,
    ca: &[u8],
    path: &str,
    token: Option<&str>,
) -> Result<Answer, Failure> {
    let mut connection = connect(url, ca).await?;
    let ask = Ask::get(path);
    let ask = match token {
        Some(token) => ask.header(AUTHORIZATION, bearer(token)?),
        None => ask,
    };
    send(&mut connection, ask, LIST_MAX).await
}

/// Who logs in, and by which password.
fn account(login: &Login) -> Result<(OperatorId, Password), Failure> {
    let operator = login.operator.clone();
    let operator = operator
        .ok_or_else(|| Failure::usage("--operator", "must be given without a token file"))?;
    let source = Source::choose("--password-file", login.password_file.as_deref())?;
    let password = secret::read(source, &format!("Password of {operator}"))?;
    Ok((operator, password))
}

async fn connect(url: &ServerUrl, ca: &[u8]) -> Result<Connection, Failure> {
    let unusable = |cause: String| {
        Failure::usage("--ca", "must be the station's anchor certificate in PEM form")
            .context(cause)
    };
    let ca = certificates_from_pem(ca).map_err(|error| unusable(error.to_string()))?;
    let tls = TlsContext::new(provider::ring().tls, clock::unix_seconds);
    let tls = trusting_client(&tls, &ca).map_err(|error| unusable(error.to_string()))?;
    Connection::open(&Endpoint::url(url)?, tls, ClientTimes::default().connect)
        .await
        .map_err(|error| unreachable(&error).context(format!("{url}: {error}")))
}

/// Sends a request; a pairing may take as long as the station lets it.
async fn send(connection: &mut Connection, ask: Ask<'_>, most: usize) -> Result<Answer, Failure> {
    let patience = limits::PAIR_TIMEOUT.default + ClientTimes::default().request;
    connection
        .send_bounded(ask, patience, most)
        .await
        .map_err(|error| unreachable(&error).context(error.to_string()))
}

/// The document in an accepted answer; a refusal becomes the failure it describes.
fn read<T: DeserializeOwned>(answer: &Answer) -> Result<T, Failure> {
    let most = answer.body.len();
    let foreign = |cause: String| {
        Failure::new(ErrorCode::NetworkError)
            .context(format!("HTTP {}, and no answer of a station: {cause}", answer.status))
            .next("Check the URL: is this the operator listener of a station?")
    };
    if answer.status.is_success() {
        return strict::parse(&answer.body, most).map_err(|error| foreign(error.to_string()));
    }
    let problem: Problem =
        strict::parse(&answer.body, most).map_err(|error| foreign(error.to_string()))?;
    let detail = problem.detail.clone();
    let failure = Failure::from(problem);
    // The station may say more than the table does, e.g. who holds a reservation.
    let is_table_text = failure.report().message() == detail;
    Err(if is_table_text { failure } else { failure.context(detail) })
}

fn bearer(token: &str) -> Result<HeaderValue, Failure> {
    let text = Zeroizing::new(format!("Bearer {token}"));
    let mut value = HeaderValue::from_str(&text)
        .map_err(|_| Failure::usage("token", "must be one printable word"))?;
    value.set_sensitive(true);
    Ok(value)
}

fn unreachable(error: &ClientError) -> Failure {
    #[expect(clippy::wildcard_enum_match_arm, reason = "every other cause is the network's")]
    let code = match error {
        ClientError::Resolve(_) | ClientError::Connect(_) | ClientError::ConnectTimeout => {
            ErrorCode::StationUnreachable
        }
        ClientError::Timeout => ErrorCode::Timeout,
        ClientError::Certificate(Refusal::ServerExpired) => ErrorCode::ServerCertificateExpired,
        ClientError::Certificate(_) => ErrorCode::ServerUntrusted,
        _ => ErrorCode::NetworkError,
    };
    Failure::new(code)
}
