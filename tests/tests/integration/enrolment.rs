//! EST (RFC 7030) with the tools that everybody has: `curl` and `openssl` (D26).

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;
use zmon_crypto::CertificateChain;
use zmon_domain::audit::EventType;
use zmon_station::EnrolmentPolicy;
use zmon_station::ports::CertificateState;
use zmon_testkit::{SimulatedDevice, StationOptions, TestStation};

/// A device's files for other programs.
struct Client {
    dir: TempDir,
    station: String,
}

impl Client {
    /// What a paired device has, in PEM.
    async fn of(station: &TestStation, device: &SimulatedDevice) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let own = device.credentials().await;
        let chain = CertificateChain::from_der(own.client_chain.clone()).unwrap();
        fs::write(dir.path().join("old.pem"), chain.to_pem()).unwrap();
        fs::write(dir.path().join("old.der"), own.client_key.expose()).unwrap();
        fs::write(dir.path().join("anchor.pem"), station.anchor_pem()).unwrap();
        let this = Self { dir, station: format!("https://{}", station.devices()) };
        this.openssl(&["pkey", "-inform", "DER", "-in", "old.der", "-out", "old.key"]);
        this
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn run(&self, program: &str, args: &[&str], input: &[u8]) -> Output {
        let mut command = Command::new(program);
        command.args(args).current_dir(self.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{program}: {error}"));
        // Who refuses a request may be gone before it was sent whole.
        let _sent = child.stdin.take().unwrap().write_all(input);
        child.wait_with_output().unwrap()
    }

    /// What `openssl` says; it succeeds.
    fn openssl(&self, args: &[&str]) -> Vec<u8> {
        self.openssl_of(args, &[])
    }

    fn openssl_of(&self, args: &[&str], input: &[u8]) -> Vec<u8> {
        let output = self.run("openssl", args, input);
        assert!(output.status.success(), "openssl {args:?}: {output:?}");
        output.stdout
    }

    /// Makes a key and writes down the request for it, in base64.
    fn ask(&self, name: &str) -> String {
        let key = format!("{name}.key");
        self.openssl(&["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", &key]);
        let der = self.openssl(&["req", "-new", "-key", &key, "-subj", "/", "-outform", "DER"]);
        let body = format!("{name}.b64");
        fs::write(self.path().join(&body), self.openssl_of(&["base64"], &der)).unwrap();
        format!("@{body}")
    }

    /// The status of a request, and its body.
    fn curl(&self, args: &[&str]) -> (String, Vec<u8>) {
        let common = ["-sS", "--cacert", "anchor.pem", "-o", "body", "-w", "%{http_code}"];
        let _old = fs::remove_file(self.path().join("body"));
        let output = self.run("curl", &[&common[..], args].concat(), &[]);
        let status = String::from_utf8(output.stdout).unwrap();
        (status, fs::read(self.path().join("body")).unwrap_or_default())
    }

    fn reenrol(&self, with: &str, body: &str) -> (String, Vec<u8>) {
        let (cert, key) = (format!("{with}.pem"), format!("{with}.key"));
        let url = format!("{}/.well-known/est/simplereenroll", self.station);
        let own = ["--cert", &cert, "--key", &key, "--data-binary", body];
        self.curl(&[&own[..], &["-H", "Content-Type: application/pkcs10", &url]].concat())
    }

    fn heartbeat(&self, with: &str) -> String {
        let (cert, key) = (format!("{with}.pem"), format!("{with}.key"));
        let url = format!("{}/api/device/heartbeat", self.station);
        let beat =
            r#"{"sequence":1,"uptimeSeconds":1,"bytesSent":1,"errors":0,"state":"Provisioned"}"#;
        let own = ["--cert", &cert, "--key", &key, "-H", "Content-Type: application/json"];
        self.curl(&[&own[..], &["--data", beat, &url]].concat()).0
    }

    /// The certificates of a certs-only message, as `openssl pkcs7` reads it, in `file`.
    fn certificates(&self, message: &[u8], file: &str) -> usize {
        let der = self.openssl_of(&["base64", "-d"], message);
        let pem = self.openssl_of(&["pkcs7", "-inform", "DER", "-print_certs"], &der);
        fs::write(self.path().join(file), &pem).unwrap();
        String::from_utf8(pem).unwrap().matches("BEGIN CERTIFICATE").count()
    }
}

/// A paired device of a station with this policy.
async fn paired(enrolment: fn(&mut zmon_station::StationPolicy)) -> (TestStation, SimulatedDevice) {
    let options = StationOptions { policy: enrolment, ..StationOptions::beside_programs() };
    let station = TestStation::start_with(options).await;
    let device = SimulatedDevice::new(&station).await;
    station.register(&device).await;
    station.pair(&device.open_window().await).await.unwrap();
    device.until_connected().await;
    (station, device)
}

#[tokio::test]
async fn curl_and_openssl_reenrol_a_device_and_a_revoked_one_is_refused() {
    let (station, mut device) = paired(|policy| policy.enrolment = EnrolmentPolicy::Reenroll).await;
    let client = Client::of(&station, &device).await;
    device.stop().await;
    let url = format!("{}/.well-known/est/cacerts", client.station);
    let (status, body) = client.curl(&["--cert", "old.pem", "--key", "old.key", &url]);
    assert_eq!((status.as_str(), client.certificates(&body, "ca.pem")), ("200", 2));

    let request = client.ask("new");
    let (status, body) = client.reenrol("old", &request);
    assert_eq!(status, "200", "{}", String::from_utf8_lossy(&body));
    assert_eq!(client.certificates(&body, "new.pem"), 1);
    let verified =
        client.openssl(&["verify", "-purpose", "sslclient", "-CAfile", "ca.pem", "new.pem"]);
    assert_eq!(String::from_utf8(verified).unwrap(), "new.pem: OK\n");
    let text = client.openssl(&["x509", "-in", "new.pem", "-noout", "-text"]);
    let text = String::from_utf8(text).unwrap();
    assert!(text.contains(&format!("URI:urn:zp:device:{}", device.id())), "{text}");
    let same = client.openssl(&["x509", "-in", "new.pem", "-noout", "-pubkey"]);
    assert_eq!(same, client.openssl(&["pkey", "-in", "new.key", "-pubout"]));

    // Over the new one, and that is its commit.
    assert_eq!(client.heartbeat("old"), "200");
    assert_eq!(client.heartbeat("new"), "200");
    assert_eq!(station.certificates(&device, CertificateState::Current).await.len(), 1);
    let tls = ["s_client", "-connect", client.station.trim_start_matches("https://")];
    let shown = |name: &str| {
        let own =
            ["-cert", &format!("{name}.pem"), "-key", &format!("{name}.key")].map(str::to_owned);
        let rest = ["-CAfile", "anchor.pem", "-verify_return_error", "-ign_eof"];
        let args: Vec<&str> =
            tls.iter().copied().chain(own.iter().map(String::as_str)).chain(rest).collect();
        let ask = b"GET /.well-known/est/csrattrs HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";
        let output = client.run("openssl", &args, ask);
        format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        )
    };
    let live = shown("new");
    assert!(live.contains("HTTP/1.1 200 OK") && live.contains("application/csrattrs"), "{live}");
    let dead = shown("old");
    assert!(dead.contains("alert certificate revoked") && !dead.contains("200 OK"), "{dead}");
    let (status, _) = client.reenrol("old", &request);
    assert_eq!(status, "000", "no answer at all: the handshake is refused");
    let (status, body) = client.reenrol("new", &client.ask("next"));
    assert_eq!((status.as_str(), client.certificates(&body, "next.pem")), ("200", 1));
    station.audit_verified().await;
}

#[tokio::test]
async fn a_device_whose_certificate_was_revoked_enrols_by_an_administrators_credential() {
    let (station, device) = paired(|policy| policy.enrolment = EnrolmentPolicy::Enroll).await;
    let client = Client::of(&station, &device).await;
    station.revoke(&device).await;
    let admin = station.administrator();
    let given = admin.permit_enrolment(device.id()).await.unwrap();
    let url = format!("https://{}/.well-known/est/simpleenroll", station.operators());
    let enrol = |credential: &str, body: &str| {
        let user = format!("{}:{credential}", device.id());
        let own = ["--user", &user, "--data-binary", body];
        client.curl(&[&own[..], &["-H", "Content-Type: application/pkcs10", &url]].concat())
    };
    let request = client.ask("new");
    let (status, text) = enrol("guessed", &request);
    assert_eq!(status, "401");
    assert!(text.ends_with(b"(authentication_failed)\n"), "{}", String::from_utf8_lossy(&text));
    let (status, body) = enrol(given.credential.expose(), &request);
    assert_eq!((status.as_str(), client.certificates(&body, "new.pem")), ("200", 1));
    assert_eq!(client.heartbeat("new"), "200");
    assert_eq!(enrol(given.credential.expose(), &client.ask("more")).0, "401", "once");
    let events = station.events().await;
    assert!(events.contains(&(EventType::EnrolmentPermitted, None)));
    station.audit_verified().await;
}
