//! `zmon support-bundle` and `zmon doctor`: what they tell, and that no secret is in it.

#![expect(clippy::indexing_slicing, reason = "a member that is missing is the report")]

use std::fs;
use std::path::Path;

use serde_json::Value;
use zmon_testkit::disk;
use zmon_wire::b64;

use crate::programs::{PASSPHRASE, PASSWORD, Ward, until};

/// Every form in which a secret may lie about.
fn forms(secret: &[u8]) -> Vec<Vec<u8>> {
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    // The end of a longer text in base64 depends on what follows.
    let standard = b64::encode_standard(secret).into_bytes();
    let url = b64::encode_url(secret).into_bytes();
    vec![
        secret.to_vec(),
        hex.clone().into_bytes(),
        hex.to_uppercase().into_bytes(),
        url[..url.len() - 4].to_vec(),
        standard[..standard.len() - 4].to_vec(),
    ]
}

/// The names of the secrets of which some form is in the bytes.
fn found_in<'a>(bytes: &[u8], secrets: &'a [(String, Vec<u8>)]) -> Vec<&'a str> {
    let has = |form: &Vec<u8>| bytes.windows(form.len()).any(|window| window == form.as_slice());
    let leaked = secrets.iter().filter(|(_, secret)| forms(secret).iter().any(has));
    leaked.map(|(name, _)| name.as_str()).collect()
}

/// Everything that opens something: key files with the scalars in them, what people typed, and tokens.
fn secrets(ward: &Ward) -> Vec<(String, Vec<u8>)> {
    let mut secrets = Vec::new();
    for side in ["station/keys", "bed", "bed/slots"] {
        for path in disk::files(&ward.path(side)) {
            let name = path.display().to_string();
            if path.extension().is_some_and(|extension| extension == "key") || side == "bed/slots" {
                let bytes = fs::read(&path).unwrap();
                let scalar = bytes.windows(2).rposition(|window| window == [0x04, 0x20]);
                if let Some(scalar) = scalar.and_then(|at| bytes.get(at + 2..at + 34)) {
                    secrets.push((format!("{name}, its scalar"), scalar.to_vec()));
                }
                secrets.push((name, bytes));
            }
        }
    }
    for name in ["made", "pin", "metrics"] {
        let text = fs::read(ward.path(name)).unwrap();
        secrets.push((name.to_owned(), text.trim_ascii().to_vec()));
    }
    secrets.push(("password".to_owned(), PASSWORD.as_bytes().to_vec()));
    secrets.push(("passphrase".to_owned(), PASSPHRASE.as_bytes().to_vec()));
    for (name, secret) in &secrets {
        assert!(secret.len() >= 8, "{name} is too short to look for");
    }
    assert!(secrets.len() > 15, "{} secrets", secrets.len());
    secrets
}

fn entry(bundle: &Path, name: &str) -> Vec<u8> {
    let output = std::process::Command::new("tar").arg("xOf").arg(bundle).arg(name).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{name}: {output:?}");
    output.stdout
}

fn json(bundle: &Path, name: &str) -> Value {
    serde_json::from_slice(&entry(bundle, name)).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_support_bundle_tells_much_and_no_secret() {
    let mut ward = Ward::start();
    // A token of a monitoring system, and a password in the URL of a database that a later line takes back.
    ward.secret("metrics", &"c0ffee".repeat(8));
    fs::copy(ward.path("metrics"), ward.path("station/metrics.token")).unwrap();
    let settings = ward.path("station/station.toml");
    let text = fs::read_to_string(&settings).unwrap();
    fs::write(&settings, format!("{text}metrics_token_file = 'metrics.token'\n")).unwrap();
    ward.stop_station();
    ward.serve("mock-central-station", &["run", "station"]);
    let token = ward.log_in().await;
    let qr = ward.enter(&["enter"]);
    let (code, of_screen) = (qr["pairingCode"].clone(), qr["pairingToken"].clone());
    let mut secrets = secrets(&ward);
    for (name, value) in [("code", &code), ("token of the screen", &of_screen)] {
        secrets.push((name.to_owned(), value.as_str().unwrap().as_bytes().to_vec()));
    }
    secrets.push(("bearer token".to_owned(), token.into_bytes()));
    ward.pair_entered();
    until("the device's link", || ward.is_connected()).await;
    secrets.extend(self::secrets(&ward));

    for (side, dir) in [("station", "station"), ("device", "bed")] {
        let bundle = ward.path(&format!("{side}.tar"));
        let written = ward.zmon(&["support-bundle", dir, "--output", bundle.to_str().unwrap()]);
        assert_eq!(written["success"], true, "{written}");
        let bytes = fs::read(&bundle).unwrap();
        assert_eq!(found_in(&bytes, &secrets), Vec::<&str>::new(), "{side}");
        for (name, secret) in &secrets {
            for form in forms(secret) {
                let with_leak = [b"\"leak\": ".as_slice(), &form, b","].concat();
                assert!(found_in(&with_leak, &secrets).contains(&name.as_str()), "{name} is found");
            }
        }
        assert_eq!(json(&bundle, "about.json")["side"], side);
        let findings = json(&bundle, "doctor.json");
        assert!(findings.as_array().unwrap().len() > 8, "{findings}");
        let rows = entry(&bundle, "audit.jsonl");
        let rows = String::from_utf8(rows).unwrap();
        assert!(rows.lines().count() > 8 && rows.contains("\"event\":\"started\""), "{rows}");
        let files = json(&bundle, "files.json").to_string();
        assert!(files.contains(&format!("{side}.db")), "{files}");
    }
    let figures = String::from_utf8(entry(&ward.path("station.tar"), "figures.txt")).unwrap();
    assert!(figures.contains("zmon_station_audit_rows_total"), "{figures}");
    let again = ward.zmon(&["support-bundle", "bed", "--output", "station.tar"]);
    assert_eq!(again["field"], "--output", "a bundle replaces nothing");
    let nothing = ward.zmon(&["support-bundle", ".", "--output", "nothing.tar"]);
    assert_eq!(nothing["code"], "not_initialised");
}

/// What the doctor finds, by level and check.
fn problems(ward: &Ward, dir: &str) -> (Option<i32>, Vec<String>) {
    let output = ward.run("zmon", &["--json", "doctor", dir]);
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings = said["findings"].as_array().unwrap();
    let wrong = findings.iter().filter(|finding| finding["level"] == "problem");
    for finding in findings {
        let is_wrong = ["problem", "warning"].iter().any(|level| finding["level"] == *level);
        assert_eq!(finding["next"].is_string(), is_wrong, "{finding}");
    }
    let wrong: Vec<_> =
        wrong.map(|finding| finding["check"].as_str().unwrap().to_owned()).collect();
    assert_eq!(said["success"], wrong.is_empty(), "{said}");
    (output.status.code(), wrong)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_doctor_finds_what_was_broken_and_nothing_else() {
    let mut ward = Ward::start();
    let well = (Some(0), Vec::new());
    ward.pair(&["enter"]);
    until("the device's link", || ward.is_connected()).await;
    assert_eq!(problems(&ward, "station"), well);
    assert_eq!(problems(&ward, "bed"), well);
    let text = ward.run("zmon", &["doctor", "station"]);
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");

    ward.stop_station();
    until("the link to fall", || !ward.is_connected()).await;
    let (code, found) = problems(&ward, "bed");
    assert_eq!((code, found), (Some(5), vec!["link".to_owned(), "reachability".to_owned()]));
    assert_eq!(problems(&ward, "station"), well, "a station that does not run");

    // Each is broken, found, and mended again.
    let dir = ward.path("station");
    let key = dir.join("keys/server.key");
    disk::set_mode(&key, 0o640);
    assert_eq!(problems(&ward, "station").1, ["files"]);
    disk::set_mode(&key, 0o600);

    let listen = ward.address();
    let taken = std::net::TcpListener::bind(listen).unwrap();
    assert_eq!(problems(&ward, "station").1, ["ports"]);
    drop(taken);

    let anchor = fs::read(dir.join("anchor.pem")).unwrap();
    fs::write(dir.join("anchor.pem"), "no certificate").unwrap();
    assert_eq!(problems(&ward, "station").1, ["certificates"]);
    fs::write(dir.join("anchor.pem"), anchor).unwrap();

    let mark = fs::read(dir.join("station.high-water")).unwrap();
    fs::write(dir.join("station.high-water"), &mark[1..]).unwrap();
    assert_eq!(problems(&ward, "station").1, ["high water"]);
    fs::write(dir.join("station.high-water"), mark).unwrap();

    let settings = fs::read(dir.join("station.toml")).unwrap();
    fs::write(dir.join("station.toml"), "listen = canary").unwrap();
    let output = ward.run("zmon", &["doctor", "station"]);
    assert!(!String::from_utf8_lossy(&output.stdout).contains("canary"), "no value is quoted");
    assert_eq!(problems(&ward, "station").1, ["settings"]);
    fs::write(dir.join("station.toml"), settings).unwrap();
    assert_eq!(problems(&ward, "station"), well, "everything is mended");

    disk::sql(
        &dir.join("station.db"),
        "DROP TRIGGER security_audit_log_is_not_edited; \
         UPDATE security_audit_log SET success = NOT success WHERE id = 3",
    )
    .await;
    let found = problems(&ward, "station").1;
    assert!(found.contains(&"audit log".to_owned()), "{found:?}");
    let nobody = ward.zmon(&["doctor", "."]);
    assert_eq!(nobody["code"], "not_initialised");
}
