//! The methods of a device by their names: the invokables of [W §11.2], and the requests of the control
//! socket (`zmon_wire::control`), which say what a product needs besides.

use zeroize::Zeroizing;
use zmon_cli::Failure;
use zmon_domain::error::{ErrorCode, ErrorReport, FieldError};
use zmon_domain::limits;
use zmon_wire::control::{ControlAnswer, ControlRequest};
use zmon_wire::screen::{ScreenOperator, ScreenOperators};
use zmon_wire::strict;

use crate::live::Live;
use crate::outcome::{Outcome, Refusal, ZmonStatus};

/// Name of the one method that is no request of the control socket: whom a PIN pad offers.
const OPERATORS: &str = "operators";

/// Each other method with the request it is. The first five are [W §11.2]'s.
const METHODS: [(&str, &str); 27] = [
    ("enterProvisioningMode", "enter"),
    ("exitProvisioningMode", "cancel"),
    ("regenerateQRCode", "regenerate"),
    ("simulateConfiguration", "simulate"),
    ("reprovisionDevice", "reprovision"),
    ("status", "status"),
    ("link", "link"),
    ("identity", "identity"),
    ("qr", "qr"),
    ("confirmStation", "confirmStation"),
    ("refuseStation", "refuseStation"),
    ("retry", "retry"),
    ("reset", "reset"),
    ("renew", "renew"),
    ("deprovision", "deprovision"),
    ("factoryReset", "factoryReset"),
    ("migrate", "migrate"),
    ("postponeMigration", "postponeMigration"),
    ("createAdministrator", "createAdministrator"),
    ("addOperator", "addOperator"),
    ("listOperators", "listOperators"),
    ("removeOperator", "removeOperator"),
    ("setPin", "setPin"),
    ("unlockOperator", "unlockOperator"),
    ("courier", "courier"),
    ("log", "log"),
    ("verify", "verify"),
];

/// What is asked of a device.
pub(crate) enum Request {
    /// Who may be chosen at a PIN pad.
    Operators,
    /// What a control socket would be asked.
    Control(Box<ControlRequest>),
}

impl Request {
    /// Reads a method and its parameters; no parameters are `{}`.
    ///
    /// # Errors
    /// `UnknownMethod`; `Malformed` with the member and its rule.
    pub(crate) fn parse(method: &str, params: &str) -> Outcome<Self> {
        let params = if params.is_empty() { "{}" } else { params };
        if method == OPERATORS {
            return match params.trim() {
                "{}" => Ok(Self::Operators),
                _ => Err(malformed(FieldError::new("params", "must be {}"))),
            };
        }
        let known = METHODS.into_iter().find(|(name, _)| *name == method);
        let Some((_, name)) = known else {
            let rule = "must be one of the methods of zmon.h";
            return Err(Refusal::caller(ZmonStatus::UnknownMethod, "method", rule));
        };
        // Room for everything, so that growing leaves no copy of a PIN behind.
        let mut text = Zeroizing::new(String::with_capacity(name.len() + params.len() + 8));
        for part in ["{\"", name, "\":", params, "}"] {
            text.push_str(part);
        }
        let read = strict::parse(text.as_bytes(), limits::BODY_MAX.default);
        read.map(|request| Self::Control(Box::new(request))).map_err(|error| {
            let mut report = error.report(ErrorCode::RequestMalformed);
            report.detail = report.detail.map(|detail| renamed(&detail, name));
            Refusal::malformed(report.into())
        })
    }

    /// Has `live` carry it out; the answer as JSON.
    ///
    /// # Errors
    /// `Refused`, as the device says.
    pub(crate) async fn carry_out(self, live: &Live) -> Outcome<Zeroizing<Vec<u8>>> {
        let written = match self {
            Self::Operators => {
                let found = live.operators().await.into_iter();
                let named = |(operator, role)| ScreenOperator { operator, role };
                strict::to_vec(&ScreenOperators { operators: found.map(named).collect() })
            }
            Self::Control(request) => match live.answer(*request).await {
                ControlAnswer::Error(problem) => return Err(Failure::from(*problem).into()),
                ControlAnswer::Done {} => Ok(b"{}".to_vec()),
                ControlAnswer::Status(shown) => strict::to_vec(&shown),
                ControlAnswer::Qr(shown) => strict::to_vec(&shown),
                ControlAnswer::Identity(shown) => strict::to_vec(&shown),
                ControlAnswer::Link(shown) => strict::to_vec(&shown),
                ControlAnswer::Log(page) => strict::to_vec(&page),
                ControlAnswer::Verdict(verdict) => strict::to_vec(&verdict),
                ControlAnswer::Operators(shown) => strict::to_vec(&shown),
                ControlAnswer::Courier(shown) => strict::to_vec(&shown),
                // Nothing here follows events, and every other answer has its line.
                ControlAnswer::Event(_) | _ => return Err(Failure::new(ErrorCode::Internal).into()),
            },
        };
        Ok(Zeroizing::new(written.map_err(Failure::from)?))
    }
}

fn malformed(detail: FieldError) -> Refusal {
    let report = ErrorReport::field(ErrorCode::RequestMalformed, detail);
    Refusal::malformed(report.into())
}

/// A member's path as the caller knows it: `params.pin`, not `enter.pin`.
fn renamed(detail: &FieldError, name: &str) -> FieldError {
    let path = detail.field().strip_prefix(name).unwrap_or_default();
    FieldError::owned(format!("params{path}"), detail.rule().to_owned())
}

#[cfg(test)]
mod tests {
    use zmon_ui::ProvisioningViewModel;

    use super::*;

    fn refused(method: &str, params: &str) -> (ZmonStatus, String, String) {
        let Err(refused) = Request::parse(method, params) else { panic!("{method} {params}") };
        let detail = refused.failure.report().detail.unwrap();
        (refused.status, detail.field().to_owned(), detail.rule().to_owned())
    }

    #[test]
    fn the_invokables_of_the_document_come_first() {
        let first: Vec<_> = METHODS.iter().take(5).map(|(name, _)| *name).collect();
        assert_eq!(first, ProvisioningViewModel::INVOKABLES);
    }

    /// Every name is a request: what is wrong with a nonsense member is the member.
    #[test]
    fn every_method_is_one_of_the_control_socket() {
        for (method, _) in METHODS {
            let (status, field, rule) = refused(method, r#"{"nonsense":1}"#);
            assert_eq!(status, ZmonStatus::Malformed, "{method}");
            assert!(field.starts_with("params"), "{method}: {field} {rule}");
            assert!(!rule.contains("one of"), "{method}: {field} {rule}");
        }
    }

    #[test]
    fn what_is_no_request_is_refused_by_member_and_rule() {
        let cases = [
            ("enterProvisioningMode", "{}"),
            ("enterProvisioningMode", r#"{"operator":"tina"}"#),
            ("enterProvisioningMode", r#"{"operator":"tina","pin":1}"#),
            ("enterProvisioningMode", r#"{"operator":"tina","pin":"1","pin":"2"}"#),
            ("reprovisionDevice", r#"{"operator":"tina","pin":"1","confirm":false}"#),
            ("status", "[]"),
            ("status", "null"),
            ("status", "{"),
            ("status", "{}}"),
            ("status", r#"{},"cancel":{}"#),
            ("operators", r#"{"a":1}"#),
        ];
        for (method, params) in cases {
            let (status, field, _) = refused(method, params);
            assert_eq!(status, ZmonStatus::Malformed, "{method} {params}");
            assert!(field.starts_with("params"), "{method} {params}: {field}");
        }
        let (_, field, _) = refused("enterProvisioningMode", r#"{"operator":"tina","pin":1}"#);
        assert_eq!(field, "params.pin");
        for method in ["", "enter", "events", "Status", "status\":{},\"cancel"] {
            assert_eq!(refused(method, "{}").0, ZmonStatus::UnknownMethod, "{method}");
        }
        assert!(Request::parse("status", "").is_ok());
        assert!(Request::parse("operators", "").is_ok());
    }
}
