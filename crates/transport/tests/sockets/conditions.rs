//! Queries nobody knows, heads, tags, and changes that are bound to one.

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderName, IF_MATCH, IF_NONE_MATCH};
use http::{HeaderValue, Method, StatusCode};
use zmon_domain::error::ErrorCode;
use zmon_domain::role::Role;
use zmon_transport::client::{Answer, Ask, JSON};
use zmon_transport::contract::{EVENT_STREAM, Operation, Proof};
use zmon_transport::paths;

use crate::operators::{asked, operations};
use crate::world::{Tablet, World, problem};

const MANIFEST: &str = r#"{"deviceId":"ZM-001","deviceSerial":"SN-1","identityKey":"0101010101010101010101010101010101010101010101010101010101010101"}"#;
const PLACE: &str = "/api/registry/devices/ZM-001/place";

fn tag(answer: &Answer) -> HeaderValue {
    answer.headers.get(ETAG).unwrap().clone()
}

async fn bound(tablet: &mut Tablet, name: HeaderName, tag: &HeaderValue, ask: Ask<'_>) -> Answer {
    tablet.send(ask.header(name, tag.clone())).await
}

#[tokio::test]
async fn a_query_that_nobody_knows_is_refused() {
    let world = World::open().await;
    let mut ada = world.administrator().await;
    let silent = |operation: &Operation| matches!(operation.proof, Proof::Signature);
    for operation in operations().into_iter().filter(|operation| !silent(operation)) {
        let path = format!("{}?nonsense=1", asked(operation.path));
        // A known name more: the unknown one is what is wrong.
        let path = if operation.path == paths::BATCHES { format!("{path}&name=a") } else { path };
        let ask = match operation.method {
            Method::GET => Ask::get(&path),
            _ => Ask::post(&path, JSON, "[]"),
        };
        let answer = ada.send(ask).await;
        let refused = problem(&answer);
        assert_eq!((refused.code, refused.status), (ErrorCode::RequestMalformed, 400), "{path}");
        assert_eq!(refused.field.as_deref(), Some("query"), "{path}");
    }
    // An empty one asks nothing. Who needs no login is told as well, who needs one is not.
    assert_eq!(ada.get("/api/policy?").await.status, StatusCode::OK);
    let mut stranger = world.tablet().await;
    assert_eq!(problem(&stranger.get("/api/health?x=1").await).code, ErrorCode::RequestMalformed);
    let refused = problem(&stranger.get("/api/policy?x=1").await);
    assert_eq!(refused.code, ErrorCode::AuthenticationFailed);
    let refused = problem(&stranger.post("/api/provisioning/outcome?x=1", "{}").await);
    assert_eq!(refused.code, ErrorCode::SignatureInvalid);
}

#[tokio::test]
async fn a_head_is_that_of_its_get_and_nothing_more() {
    let world = World::open().await;
    let mut ada = world.administrator().await;
    assert_eq!(ada.post("/api/registry/import", MANIFEST).await.status, 200);
    let is_stream = |operation: &Operation| {
        operation.answers.iter().any(|reply| reply.media_type == EVENT_STREAM)
    };
    let reads = operations().into_iter().filter(|one| one.method == Method::GET);
    let mut found = 0;
    for operation in reads.filter(|operation| !is_stream(operation)) {
        let path = asked(operation.path);
        let whole = ada.get_long(&path).await;
        let head = ada.send(Ask::get(&path).method(Method::HEAD)).await;
        assert_eq!(head.status, whole.status, "{path}");
        assert_eq!(head.headers.get(CONTENT_TYPE), whole.headers.get(CONTENT_TYPE), "{path}");
        assert!(head.body.is_empty(), "{path}");
        let is_steady = operation.tagged && whole.status == StatusCode::OK;
        if is_steady {
            assert_eq!(head.headers.get(ETAG), whole.headers.get(ETAG), "{path}");
            let length = head.headers.get(CONTENT_LENGTH).unwrap().to_str().unwrap();
            assert_eq!(length, whole.body.len().to_string(), "{path}");
        }
        found += u32::from(whole.status == StatusCode::OK);
    }
    assert!(found > 12, "{found}");
}

#[tokio::test]
async fn what_has_not_changed_is_not_sent_again() {
    let world = World::open().await;
    let mut ada = world.administrator().await;
    assert_eq!(ada.post("/api/registry/import", MANIFEST).await.status, 200);
    let opened = ada.post("/api/batches?name=a", MANIFEST).await;
    let opened: zmon_wire::batch::BatchView =
        zmon_wire::strict::parse(&opened.body, 65_536).unwrap();
    let mut tagged = 0;
    for operation in operations().into_iter().filter(|operation| operation.tagged) {
        let batch = operation.path.replace("{batchId}", &opened.batch_id.to_string());
        let path = asked(&batch);
        let first = ada.get_long(&path).await;
        assert_eq!(first.status, StatusCode::OK, "{path}");
        let tag = tag(&first);
        let again = bound(&mut ada, IF_NONE_MATCH, &tag, Ask::get(&path)).await;
        assert_eq!(again.status, StatusCode::NOT_MODIFIED, "{path}");
        assert_eq!(again.headers.get(ETAG), Some(&tag), "{path}");
        assert!(again.body.is_empty() && !again.headers.contains_key(CONTENT_TYPE), "{path}");
        if operation.path != paths::OPENAPI {
            let other = HeaderValue::from_static("\"other\"");
            let sent = bound(&mut ada, IF_NONE_MATCH, &other, Ask::get(&path)).await;
            assert_eq!((sent.status, &sent.body), (StatusCode::OK, &first.body), "{path}");
        }
        tagged += 1;
    }
    assert!(tagged > 8, "{tagged}");
    // A stranger learns nothing by a tag.
    let mut stranger = world.tablet().await;
    let any = HeaderValue::from_static("*");
    let refused = bound(&mut stranger, IF_NONE_MATCH, &any, Ask::get(PLACE)).await;
    assert_eq!(problem(&refused).code, ErrorCode::AuthenticationFailed);
}

#[tokio::test]
async fn a_move_that_is_bound_to_a_tag_overwrites_no_other() {
    let world = World::open().await;
    let (mut ada, mut tess) =
        (world.administrator().await, world.operator("tess", Role::Technician).await);
    assert_eq!(ada.post("/api/registry/import", MANIFEST).await.status, 200);
    let seen = ada.get(PLACE).await;
    assert_eq!(&seen.body[..], b"{}");
    let (seen, bed) = (tag(&seen), r#"{"bedId":"ICU-1"}"#);
    let moved = bound(&mut tess, IF_MATCH, &seen, Ask::post(PLACE, JSON, bed)).await;
    assert_eq!(moved.status, StatusCode::OK);
    let other = r#"{"bedId":"ICU-2"}"#;
    let late = bound(&mut ada, IF_MATCH, &seen, Ask::post(PLACE, JSON, other)).await;
    let refused = problem(&late);
    assert_eq!((refused.code, refused.status), (ErrorCode::PreconditionFailed, 412));
    let now = ada.get(PLACE).await;
    assert_eq!(&now.body[..], bed.as_bytes());
    let moved = bound(&mut ada, IF_MATCH, &tag(&now), Ask::post(PLACE, JSON, other)).await;
    assert_eq!(moved.status, StatusCode::OK);
    // Without the header it is done as before.
    assert_eq!(tess.post(PLACE, bed).await.status, StatusCode::OK);
    let rows = ada.get("/api/audit?limit=1000").await;
    let rows = String::from_utf8(rows.body.to_vec()).unwrap();
    assert!(rows.contains(r#""code":"precondition_failed""#), "no refusal without its row");
}

#[tokio::test]
async fn the_document_is_served_to_who_has_a_login() {
    let world = World::open().await;
    let committed = include_bytes!("../../../../docs/openapi.json");
    for role in Role::ALL {
        let mut operator = world.operator(role.as_str(), role).await;
        let answer = operator.get_long(paths::OPENAPI).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.headers.get(CONTENT_TYPE).unwrap(), JSON);
        assert_eq!(&answer.body[..], committed);
    }
    let mut stranger = world.tablet().await;
    let refused = problem(&stranger.get(paths::OPENAPI).await);
    assert_eq!(refused.code, ErrorCode::AuthenticationFailed);
}
