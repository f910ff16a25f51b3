//! Figures for a monitoring system.

use http::HeaderValue;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use zmon_domain::error::ErrorCode;
use zmon_domain::role::Role;
use zmon_transport::client::{Answer, Ask};
use zmon_transport::paths;
use zmon_transport::station_api::ScrapeToken;

use crate::world::{World, problem};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

fn text(answer: &Answer) -> String {
    assert_eq!(answer.status, 200);
    let media_type = answer.headers.get(CONTENT_TYPE).unwrap().to_str().unwrap();
    assert!(media_type.starts_with("application/openmetrics-text; version=1.0.0"));
    String::from_utf8(answer.body.to_vec()).unwrap()
}

fn figure(text: &str, name: &str) -> Option<f64> {
    let line =
        text.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')));
    line.and_then(|line| line.rsplit(' ').next()).map(|number| number.parse().unwrap())
}

#[tokio::test]
async fn what_is_audited_is_counted() {
    let world = World::open().await;
    let mut ada = world.administrator().await;
    let before = text(&ada.get(paths::METRICS).await);
    let logins = "zmon_station_audit_rows_total{event=\"login_succeeded\",outcome=\"success\"}";
    let refused = "zmon_station_audit_rows_total{event=\"login_refused\",outcome=\"failure\"}";
    assert_eq!(figure(&before, logins), Some(1.0));
    assert_eq!(figure(&before, refused), None);
    let commits = figure(&before, "zmon_station_commit_seconds_count").unwrap();

    let mut wrong = world.tablet().await;
    let body = r#"{"operator":"ada","password":"wrong horse battery"}"#;
    assert_eq!(wrong.post(paths::LOGIN, body).await.status, 401);
    let mut ada = world.administrator().await;
    let after = text(&ada.get(paths::METRICS).await);
    assert_eq!(figure(&after, logins), Some(2.0));
    assert_eq!(figure(&after, refused), Some(1.0));
    assert!(figure(&after, "zmon_station_commit_seconds_count").unwrap() >= commits + 2.0);
    assert!(after.contains("# TYPE zmon_station_commit_seconds histogram\n"), "{after}");
    assert_eq!(figure(&after, "zmon_station_crl_number"), Some(1.0));
    assert!(figure(&after, "zmon_station_crl_next_update_seconds").unwrap() > 1.7e9, "{after}");
    assert_eq!(figure(&after, "zmon_station_open_sessions"), Some(0.0));
    for certificate in ["configuration_signing", "client_ca"] {
        let name =
            format!("zmon_station_certificate_not_after_seconds{{certificate=\"{certificate}\"}}");
        assert!(figure(&after, &name).unwrap() > 1.7e9, "{after}");
    }
    let refusals = "zmon_station_http_answers_total{listener=\"operators\",path=\"/api/auth/login\",status=\"401\"}";
    assert_eq!(figure(&after, refusals), Some(1.0), "{after}");
    assert!(after.ends_with("# EOF\n"));
}

#[tokio::test]
async fn figures_name_nobody() {
    let world = World::open().await;
    let mut tess = world.operator("tess", Role::Technician).await;
    let text = text(&tess.get(paths::METRICS).await);
    assert!(!text.contains("tess") && !text.contains("ada"), "{text}");
}

#[tokio::test]
async fn a_monitoring_system_reads_figures_and_nothing_else() {
    let token = ScrapeToken::parse(TOKEN).unwrap();
    let world = World::open_bound(|bound| bound.scraped_with(token)).await;
    let mut scraper = world.tablet().await;
    let mut with = async |token: &str, path: &str| {
        let value = HeaderValue::from_str(&format!("Bearer {token}")).unwrap();
        scraper.send(Ask::get(path).header(AUTHORIZATION, value)).await
    };
    let _figures = text(&with(TOKEN, paths::METRICS).await);
    let other = TOKEN.replace('0', "1");
    for (token, path) in
        [(other.as_str(), paths::METRICS), (TOKEN, paths::OVERVIEW), (TOKEN, paths::AUDIT)]
    {
        let answer = with(token, path).await;
        assert_eq!(problem(&answer).code, ErrorCode::AuthenticationFailed, "{path}");
    }
    let cookie = Ask::get(paths::METRICS).header(
        http::header::COOKIE,
        HeaderValue::from_str(&format!("__Host-zmon={TOKEN}")).unwrap(),
    );
    assert_eq!(scraper.send(cookie).await.status, 401);
}
