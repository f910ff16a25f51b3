//! Login, accounts, health.

use axum::extract::{Request, State};
use http::StatusCode;
use zmon_domain::ids::OperatorId;
use zmon_station::{NewOperator, OperatorSummary, Password};
use zmon_wire::admin::{Done, Health, LoginRequest, OperatorRequest, PasswordRequest};
use zmon_wire::fleet::{AccessRequest, OperatorAnswer, OperatorList, OperatorView};
use zmon_wire::kind::True;
use zmon_wire::secret::SecretText;

use super::Api;
use super::answer::{Answer, Segment, ok, read, segment};
use super::credential;
use super::gate::{Caller, source};
use super::page::with_cookie;
use super::tagged::tagged;
use crate::problem;

/// `GET /api/health`: whether pairings are taken; no login needed.
pub(super) async fn health(State(api): State<Api>) -> Answer {
    ok(&Health {
        station_id: api.station.profile().station_id.clone(),
        ready: api.station.revocation_list().borrow().is_some(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    })
}

/// `GET /api/ready`: for whoever spreads requests over the processes of a station; no login needed.
pub(super) async fn ready(State(api): State<Api>) -> Answer {
    let readiness = api.station.readiness().await;
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Ok(problem::json(status, &readiness)?)
}

/// `POST /api/auth/login`.
pub(super) async fn login(State(api): State<Api>, request: Request) -> Answer {
    let source = source(&request);
    // The one refusal that tells a stranger a field and a rule: they are those of a form that a person
    // fills in, the same for every account (D24).
    let login: LoginRequest =
        read(request).await.inspect_err(|refused| api.station.note_junk(source, refused.code()))?;
    let (name, password) = (login.operator.as_str(), login.password.expose());
    ok(&api.station.login(source, name, password).await?)
}

/// `POST /api/auth/logout`: ends the login of the bearer token or of the page's cookie.
pub(super) async fn logout(State(api): State<Api>, request: Request) -> Answer {
    let caller = Caller::of(&request);
    api.station.logout(caller.login(&api).await?).await?;
    let done = ok(&Done::default())?;
    Ok(if caller.is_page() { with_cookie(done, credential::CLEAR) } else { done })
}

/// `POST /api/operators/self/password`: for the account of the login.
pub(super) async fn change_password(State(api): State<Api>, request: Request) -> Answer {
    let (caller, source) = (Caller::of(&request), source(&request));
    let token = caller.login(&api).await?;
    let asked: PasswordRequest = read(request).await?;
    let (present, new) = (asked.password.expose(), asked.new_password.expose());
    api.station.change_password(source, token, present, new).await?;
    ok(&Done::default())
}

/// `GET /api/operators`.
pub(super) async fn operators(State(api): State<Api>, request: Request) -> Answer {
    let proof = Caller::of(&request).operator(&api).await?;
    let operators = api.station.operators(&proof).await?;
    tagged(
        request.headers(),
        &OperatorList { operators: operators.into_iter().map(view).collect() },
    )
}

/// `POST /api/operators`.
pub(super) async fn add_operator(State(api): State<Api>, request: Request) -> Answer {
    let proof = Caller::of(&request).operator(&api).await?;
    let new: OperatorRequest = read(request).await?;
    let password = new.password.as_ref().map(|password| Password::parse_new(password.expose()));
    let new = NewOperator { id: new.operator, role: new.role, password: password.transpose()? };
    let made = api.station.add_operator(&proof, new).await?;
    ok(&one_time(made.as_ref()))
}

/// `POST /api/operators/{operator}/access`.
pub(super) async fn set_access(
    State(api): State<Api>,
    operator: Segment,
    request: Request,
) -> Answer {
    let proof = Caller::of(&request).operator(&api).await?;
    let asked: AccessRequest = read(request).await?;
    let operator = OperatorId::parse(&segment("operator", operator)?)?;
    api.station.set_access(&proof, &operator, asked.disabled).await?;
    ok(&Done::default())
}

/// `POST /api/operators/{operator}/one-time-password`.
pub(super) async fn reset_password(
    State(api): State<Api>,
    operator: Segment,
    request: Request,
) -> Answer {
    let proof = Caller::of(&request).operator(&api).await?;
    let operator = OperatorId::parse(&segment("operator", operator)?)?;
    ok(&one_time(Some(&api.station.reset_password(&proof, &operator).await?)))
}

/// The one answer that holds a password.
fn one_time(made: Option<&Password>) -> OperatorAnswer {
    let password = made.map(|made| SecretText::new(made.expose()));
    OperatorAnswer { success: True, one_time_password: password }
}

fn view(summary: OperatorSummary) -> OperatorView {
    OperatorView {
        operator: summary.id,
        role: summary.role,
        disabled: summary.disabled,
        one_time: summary.one_time,
        created_at: summary.created_at,
    }
}
