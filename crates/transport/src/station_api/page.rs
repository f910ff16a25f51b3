//! The login of a page: the same login as a program's, kept in a cookie that scripts cannot read.

use axum::extract::{Request, State};
use axum::response::Response;
use http::HeaderValue;
use http::header::SET_COOKIE;
use zmon_domain::error::ErrorCode;
use zmon_domain::role::OperatorProof;
use zmon_wire::admin::LoginRequest;
use zmon_wire::page::{PageLogin, PageView};

use super::Api;
use super::answer::{Answer, ok, read};
use super::credential::{self, Credential, is_from_a_page};
use super::gate::source;

/// `GET /api/auth/session`: who is logged in; nobody is an answer too.
pub(super) async fn view(State(api): State<Api>, request: Request) -> Answer {
    let credential = Credential::of(&request);
    let Some(token) = credential.token() else { return ok(&seen(&api, None)) };
    match api.station.authenticate(token).await {
        Ok(proof) => ok(&seen(&api, Some(&proof))),
        Err(error) if error.code() == ErrorCode::PasswordChangeRequired => ok(&unopened(&api)),
        Err(error) if is_over(error.code()) => {
            let ended = PageView { ended: true, ..seen(&api, None) };
            Ok(with_cookie(ok(&ended)?, credential::CLEAR))
        }
        Err(error) => Err(error.into()),
    }
}

/// `POST /api/auth/session`: a login whose token goes into the cookie and nowhere else. It ends the
/// one that the browser came with.
pub(super) async fn log_in(State(api): State<Api>, request: Request) -> Answer {
    let (source, before) = (source(&request), Credential::of(&request));
    if !is_from_a_page(request.headers()) {
        api.station.note_junk(source, ErrorCode::AuthenticationFailed);
        return Err(ErrorCode::AuthenticationFailed.into());
    }
    let login: LoginRequest = read(request).await?;
    let (name, password) = (login.operator.as_str(), login.password.expose());
    let made = api.station.login(source, name, password).await?;
    if let Credential::Cookie(token) = &before {
        api.station.logout(token).await?;
    }
    let view = if made.must_change_password {
        unopened(&api)
    } else {
        seen(&api, Some(&api.station.authenticate(made.token.expose()).await?))
    };
    let cookie = credential::set(made.token.expose()).ok_or(ErrorCode::Internal)?;
    Ok(with_cookie(ok(&view)?, cookie))
}

/// The codes of a login that counts no more: it ran out, was ended, or its account is gone.
const fn is_over(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::AuthenticationFailed | ErrorCode::ProofExpired)
}

pub(super) fn with_cookie(mut response: Response, cookie: HeaderValue) -> Response {
    response.headers_mut().insert(SET_COOKIE, cookie);
    response
}

/// A login by a one-time password.
fn unopened(api: &Api) -> PageView {
    PageView { must_change_password: true, ..seen(api, None) }
}

fn seen(api: &Api, proof: Option<&OperatorProof>) -> PageView {
    let profile = api.station.profile();
    PageView {
        station_id: profile.station_id.clone(),
        station_name: profile.station_name.clone(),
        login: proof.map(|proof| PageLogin { operator: proof.id().clone(), role: proof.role() }),
        ended: false,
        must_change_password: false,
    }
}
