//! Enrolment over Secure Transport (RFC 7030) as its clients see it: types, status, text.

use cms::cert::CertificateChoices;
use cms::content_info::ContentInfo;
use cms::signed_data::SignedData;
use http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use x509_cert::der::{Decode, Encode};
use zmon_crypto::x509::csr;
use zmon_crypto::{SoftIdentity, Suite, sha256};
use zmon_domain::ids::DeviceId;
use zmon_protocol::device::LinkCredentials;
use zmon_station::EnrolmentPolicy;
use zmon_station::ports::CertificateState;
use zmon_transport::client::{Answer, Ask};
use zmon_transport::paths;
use zmon_wire::admin::EnrolmentAnswer;
use zmon_wire::b64;

use crate::peers::{connect, enrol};
use crate::support::PATIENCE;
use crate::world::{World, problem};

/// Every path of EST with its method.
pub(crate) const PATHS: [(&str, &str); 4] = [
    ("GET", paths::EST_AUTHORITIES),
    ("GET", paths::EST_ATTRIBUTES),
    ("POST", paths::EST_ENROLL),
    ("POST", paths::EST_REENROLL),
];

const PKCS10: &str = "application/pkcs10";

/// The request of a key made from this seed, as its body.
fn request(seed: u64) -> String {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let key = SoftIdentity::generate(Suite::P256, &mut rng).unwrap();
    let id = DeviceId::parse("ZM-001").unwrap();
    b64::encode_standard(&csr::create(&key, &id, &mut rng).unwrap())
}

/// A device of the registry that was paired.
async fn registered(world: &World) -> LinkCredentials {
    let credentials = enrol(world, CertificateState::Current).await;
    let mut row = world.store.certificates().remove(0);
    row.committed_at = Some(row.issued_at);
    let key = sha256(&row.identity_key).map(|byte| format!("{byte:02x}")).concat();
    world.store.put_certificate(row);
    let manifest =
        format!(r#"[{{"deviceId":"ZM-001","deviceSerial":"SN-1","identityKey":"{key}"}}]"#);
    let mut ada = world.administrator().await;
    assert_eq!(ada.post("/api/registry/import", &manifest).await.status, 200);
    credentials
}

/// The certificates of a certs-only message, DER.
fn certificates(answer: &Answer, media_type: &str) -> Vec<Vec<u8>> {
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    assert_eq!(answer.headers[CONTENT_TYPE], media_type);
    assert_eq!(answer.headers["content-transfer-encoding"], "base64");
    let text = String::from_utf8(answer.body.to_vec()).unwrap().replace('\n', "");
    let message = ContentInfo::from_der(&b64::decode_standard(&text).unwrap()).unwrap();
    let message: SignedData = message.content.decode_as().unwrap();
    assert!(message.signer_infos.0.is_empty(), "certificates and nothing else");
    let der = |choice: &CertificateChoices| match choice {
        CertificateChoices::Certificate(certificate) => certificate.to_der().unwrap(),
        CertificateChoices::Other(_) => panic!("no certificate"),
    };
    message.certificates.unwrap().0.iter().map(der).collect()
}

/// What a refusal says, which is plain text.
fn text(answer: &Answer) -> (u16, String) {
    assert_eq!(answer.headers[CONTENT_TYPE], "text/plain; charset=utf-8");
    (answer.status.as_u16(), String::from_utf8(answer.body.to_vec()).unwrap())
}

fn ends_with(answer: &Answer, status: u16, code: &str) {
    let (got, text) = text(answer);
    assert_eq!(got, status, "{text}");
    assert!(text.ends_with(&format!("({code})\n")), "{text}");
}

#[tokio::test]
async fn anybody_may_fetch_the_authorities_on_both_listeners() {
    let world = World::open_enrolling(EnrolmentPolicy::Reenroll).await;
    let credentials = enrol(&world, CertificateState::Current).await;
    let mut device = connect(&world, &credentials).await;
    let mut tablet = world.tablet().await;
    let mut expected = vec![world.ca.client_ca_der().to_vec(), world.ca.anchor_der().to_vec()];
    expected.sort();
    for answer in [
        tablet.get(paths::EST_AUTHORITIES).await,
        device.send(Ask::get(paths::EST_AUTHORITIES), PATIENCE).await.unwrap(),
    ] {
        let mut shown = certificates(&answer, "application/pkcs7-mime");
        shown.sort();
        assert_eq!(shown, expected);
    }
    let attributes = tablet.get(paths::EST_ATTRIBUTES).await;
    assert_eq!(attributes.headers[CONTENT_TYPE], "application/csrattrs");
}

#[tokio::test]
async fn a_device_reenrols_over_its_own_certificate() {
    let world = World::open_enrolling(EnrolmentPolicy::Reenroll).await;
    let credentials = registered(&world).await;
    let mut device = connect(&world, &credentials).await;
    let mut post = async |media_type, body: String| {
        device.send(Ask::post(paths::EST_REENROLL, media_type, body), PATIENCE).await.unwrap()
    };
    ends_with(&post("application/json", request(1)).await, 415, "media_type_unsupported");
    ends_with(&post(PKCS10, "{}".to_owned()).await, 422, "csr_invalid");
    let answer = post(PKCS10, request(1)).await;
    let issued = certificates(&answer, "application/pkcs7-mime; smime-type=certs-only");
    assert_eq!(issued.len(), 1, "only what was issued");
    let again = post(PKCS10, request(1)).await;
    assert_eq!(answer.body, again.body);
    let rows = world.store.certificates();
    let new = rows.iter().find(|row| row.der == issued[0]).unwrap();
    assert_eq!(new.state, CertificateState::Pending);
}

#[tokio::test]
async fn a_revoked_device_is_refused_on_its_kept_connection() {
    let world = World::open_enrolling(EnrolmentPolicy::Reenroll).await;
    let credentials = enrol(&world, CertificateState::Current).await;
    let mut kept = connect(&world, &credentials).await;
    kept.send(Ask::get(paths::EST_AUTHORITIES), PATIENCE).await.unwrap();
    let mut ada = world.administrator().await;
    ada.post("/api/certificates/8001020304050607/revoke", "").await;
    let ask = Ask::post(paths::EST_REENROLL, PKCS10, request(1));
    ends_with(&kept.send(ask, PATIENCE).await.unwrap(), 403, "certificate_revoked");
    assert!(kept.send(Ask::get(paths::EST_AUTHORITIES), PATIENCE).await.is_err());
}

#[tokio::test]
async fn a_credential_is_asked_for_before_anything_is_read() {
    let world = World::open_enrolling(EnrolmentPolicy::Enroll).await;
    let _paired = registered(&world).await;
    let mut ada = world.administrator().await;
    let given = ada.post("/api/registry/devices/ZM-001/enrolment", "").await;
    let given: EnrolmentAnswer = zmon_wire::strict::parse(&given.body, 4096).unwrap();
    let mut stranger = world.tablet().await;
    let mut post = async |basic: Option<String>, body: String| {
        let mut ask = Ask::post(paths::EST_ENROLL, PKCS10, body);
        if let Some(pair) = basic {
            let value = format!("Basic {}", b64::encode_standard(pair.as_bytes()));
            ask = ask.header(AUTHORIZATION, HeaderValue::from_str(&value).unwrap());
        }
        stranger.send(ask).await
    };
    let genuine = format!("ZM-001:{}", given.credential.expose());
    let mut answers = Vec::new();
    for wrong in [None, Some("ZM-001:x".to_owned()), Some(genuine.replace("001", "002"))] {
        let answer = post(wrong, "{}".to_owned()).await;
        ends_with(&answer, 401, "authentication_failed");
        assert!(answer.headers[WWW_AUTHENTICATE].to_str().unwrap().starts_with("Basic "));
        answers.push(answer.body);
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "one answer for every cause");
    ends_with(&post(Some(genuine.clone()), "{}".to_owned()).await, 422, "csr_invalid");
    let answer = post(Some(genuine.clone()), request(1)).await;
    assert_eq!(certificates(&answer, "application/pkcs7-mime; smime-type=certs-only").len(), 1);
    assert_eq!(post(Some(genuine.clone()), request(1)).await.body, answer.body);
    ends_with(&post(Some(genuine), request(2)).await, 401, "authentication_failed");
    assert!(answer.headers.get(RETRY_AFTER).is_none());
}

#[tokio::test]
async fn where_nobody_enrols_the_paths_are_not_there() {
    let world = World::open().await;
    let credentials = enrol(&world, CertificateState::Current).await;
    let mut device = connect(&world, &credentials).await;
    let mut tablet = world.tablet().await;
    let mut ada = world.administrator().await;
    for (method, path) in PATHS {
        let ask = || match method {
            "GET" => Ask::get(path),
            _ => Ask::post(path, PKCS10, request(1)),
        };
        let refused = problem(&device.send(ask(), PATIENCE).await.unwrap());
        assert_eq!(refused.code.as_str(), "route_unknown", "{path}");
        assert_eq!(problem(&tablet.send(ask()).await).code.as_str(), "authentication_failed");
        assert_eq!(problem(&ada.send(ask()).await).code.as_str(), "route_unknown", "{path}");
    }
    // And with a certificate alone, no credential counts.
    let world = World::open_enrolling(EnrolmentPolicy::Reenroll).await;
    let mut ada = world.administrator().await;
    let ask = Ask::post(paths::EST_ENROLL, PKCS10, request(1));
    assert_eq!(problem(&ada.send(ask).await).code.as_str(), "route_unknown");
}

#[tokio::test]
async fn other_methods_are_refused() {
    let world = World::open_enrolling(EnrolmentPolicy::Enroll).await;
    let credentials = enrol(&world, CertificateState::Current).await;
    let mut device = connect(&world, &credentials).await;
    let mut ada = world.administrator().await;
    for (method, path) in PATHS {
        let ask = || match method {
            "GET" => Ask::post(path, PKCS10, request(1)),
            _ => Ask::get(path),
        };
        if path != paths::EST_REENROLL {
            assert_eq!(problem(&ada.send(ask()).await).code.as_str(), "method_not_allowed");
        }
        if path != paths::EST_ENROLL {
            let answer = device.send(ask(), PATIENCE).await.unwrap();
            assert_eq!(problem(&answer).code.as_str(), "method_not_allowed", "{path}");
        }
    }
}
