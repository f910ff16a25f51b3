//! The buttons: which lead somewhere, and what they do.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::response::Response;
use http::StatusCode;
use zmon_domain::error::{ErrorCode, ErrorReport};
use zmon_domain::ids::OperatorId;
use zmon_domain::limits;
use zmon_domain::role::{Action, OperatorProof, permits};
use zmon_domain::state::{ProvisioningState, ReprovisioningPhase};
use zmon_provisioning::ServiceView;
use zmon_wire::screen::{ScreenAction, ScreenOperator, ScreenOperators, ScreenRequest};
use zmon_wire::secret::SecretText;
use zmon_wire::strict;

use super::Shared;
use super::answer::{Refused, typed};

/// The buttons of what is shown, the usual one first ([W §9.1], [W §14]).
pub(super) fn offered(shown: &ServiceView, simulates: bool) -> Vec<ScreenAction> {
    use ScreenAction::{
        Cancel, ConfirmStation, Enter, Migrate, Postpone, RefuseStation, Regenerate, Reprovision,
        Simulate,
    };
    let is_prompted =
        shown.manual.as_ref().is_some_and(|manual| manual.found.is_ok() && !manual.migrating);
    match shown.state {
        // A factory reset refuses everything until it has ended.
        _ if shown.erasing => vec![],
        // The device asks by itself until it knows (D13).
        _ if shown.in_doubt => vec![],
        // Refusing is cancelling, and says why.
        _ if shown.confirmation.is_some() => vec![ConfirmStation, RefuseStation],
        ProvisioningState::NotProvisioned
        | ProvisioningState::Error
        | ProvisioningState::Deprovisioned
            if is_prompted =>
        {
            vec![Migrate, Postpone, Enter]
        }
        ProvisioningState::NotProvisioned
        | ProvisioningState::Error
        | ProvisioningState::Deprovisioned => vec![Enter],
        ProvisioningState::ReadyToPair if simulates => vec![Regenerate, Simulate, Cancel],
        ProvisioningState::ReadyToPair
        | ProvisioningState::Reprovisioning(ReprovisioningPhase::ReadyToPair) => {
            vec![Regenerate, Cancel]
        }
        ProvisioningState::Pairing
        | ProvisioningState::Configuring
        | ProvisioningState::Validating
        | ProvisioningState::Reprovisioning(_) => vec![Cancel],
        ProvisioningState::Provisioned => vec![Reprovision],
    }
}

/// `GET` [`super::OPERATORS`].
pub(super) async fn operators(State(shared): State<Arc<Shared>>) -> Result<Response, Refused> {
    let mut operators: Vec<_> = shared
        .parts
        .operators
        .operators()
        .await
        .into_iter()
        .filter(|(_, role)| permits(*role, Action::EnterProvisioning))
        .map(|(operator, role)| ScreenOperator { operator, role })
        .collect();
    operators.sort_by(|a, b| a.operator.as_str().cmp(b.operator.as_str()));
    let body = strict::to_vec(&ScreenOperators { operators }).map_err(|error| {
        tracing::error!(%error, "an answer cannot be written");
        ErrorReport::from(ErrorCode::Internal)
    })?;
    Ok(typed(StatusCode::OK, "application/json", body))
}

/// `POST` [`super::PRESS`].
pub(super) async fn press(
    State(shared): State<Arc<Shared>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<StatusCode, Refused> {
    let body = body.map_err(|refused| {
        let is_long = refused.status() == StatusCode::PAYLOAD_TOO_LARGE;
        if is_long { ErrorCode::RequestTooLarge } else { ErrorCode::RequestMalformed }
    })?;
    let request: ScreenRequest = strict::parse(&body, limits::BODY_MAX.default)
        .map_err(|error| error.report(ErrorCode::RequestMalformed))?;
    let model = &shared.model;
    match request {
        ScreenRequest::Enter { operator, pin } => {
            model.enter_provisioning_mode(shared.proof(&operator, &pin).await?).await?;
        }
        ScreenRequest::Reprovision { operator, pin } => {
            model.reprovision_device(shared.proof(&operator, &pin).await?).await?;
        }
        ScreenRequest::Migrate { operator, pin } => {
            model.migrate(shared.proof(&operator, &pin).await?).await?;
        }
        ScreenRequest::Postpone { operator, pin } => {
            model.postpone_migration(shared.proof(&operator, &pin).await?).await?;
        }
        ScreenRequest::ConfirmStation { operator, pin, words } => {
            let proof = shared.proof(&operator, &pin).await?;
            shared.parts.service.confirm_station(proof, &words).await?;
        }
        ScreenRequest::RefuseStation {} => {
            shared.parts.service.refuse_station(None).await?;
        }
        ScreenRequest::Regenerate {} => model.regenerate_qr_code().await?,
        ScreenRequest::Cancel {} => model.exit_provisioning_mode(None).await?,
        ScreenRequest::Simulate {} => {
            let result = model.simulate_configuration().await;
            if let Some(error) = result.error {
                return Err(error.into());
            }
        }
    }
    Ok(StatusCode::NO_CONTENT)
}

impl Shared {
    async fn proof(
        &self,
        operator: &OperatorId,
        pin: &SecretText,
    ) -> Result<OperatorProof, ErrorReport> {
        let now = self.parts.clock.now();
        self.parts.authenticator.authenticate_typed(operator, pin.expose(), &now).await
    }
}

#[cfg(test)]
mod tests {
    use zmon_domain::ids::{StationId, StationName};
    use zmon_domain::time::Tick;
    use zmon_provisioning::Confirmation;

    use super::*;

    #[test]
    fn while_a_station_waits_it_is_confirmed_or_refused() {
        let mut shown = ServiceView::new(ProvisioningState::Pairing);
        assert_eq!(offered(&shown, false), [ScreenAction::Cancel]);
        shown.confirmation = Some(Confirmation {
            station_id: StationId::parse("cs-1").unwrap(),
            station_name: StationName::parse("Central Station North").unwrap(),
            bed: None,
            label: None,
            words: ["east", "edit", "mix", "relief"],
            until: Tick::ZERO,
        });
        let both = [ScreenAction::ConfirmStation, ScreenAction::RefuseStation];
        assert_eq!(offered(&shown, true), both);
        shown.erasing = true;
        assert!(offered(&shown, false).is_empty());
    }

    #[test]
    fn in_doubt_nothing_is_offered_that_would_be_refused() {
        let mut shown = ServiceView::new(ProvisioningState::Validating);
        assert_eq!(offered(&shown, false), [ScreenAction::Cancel]);
        shown.in_doubt = true;
        assert!(offered(&shown, false).is_empty());
    }
}
