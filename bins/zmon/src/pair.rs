//! `zmon pair`: what the operator's tablet does after it has scanned the screen.

use std::path::Path;

use zeroize::Zeroizing;
use zmon_cli::{
    Failure, Streams, files,
    secret::{self, Source},
};
use zmon_domain::{
    code::PairingCode,
    error::{ErrorCode, ErrorReport},
};
use zmon_wire::{
    pair::{PairAnswer, PairPending, PairRequest},
    qr::QrContent,
    secret::SecretText,
};

use crate::{
    args::{Pair, ViaName},
    qr::{self, CONTENT_MAX, IMAGE_MAX},
    station::{Paired, StationClient},
};

/// Text that is wiped when it was used.
type Secret = Zeroizing<String>;

/// Pairs a device through a station.
///
/// # Errors
/// A usage failure before anything is sent; else what the station says.
pub(crate) async fn run(args: &Pair, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let mut request = request(args)?;
    request.bed_id = args.bed.clone();
    request.device_label = args.label.clone();
    request.delivery = args.via.map(Into::into);
    #[cfg(feature = "mdns")]
    if args.discover {
        discover(&mut request).await?;
    }
    let mut station = StationClient::login(&args.login).await?;
    match station.pair(&request, |words| compare(&request, words, streams)).await? {
        Paired::Done(answer) => show(&request, &answer, streams),
        Paired::Waits(pending) if args.via == Some(ViaName::Courier) => {
            waits(&request, &pending, streams)
        }
        Paired::Waits(pending) => Err(stranded(&pending)),
    }
}

/// Where the device says that it listens. The station holds it to its networks, and the key that
/// answers there must be the registered one.
#[cfg(feature = "mdns")]
async fn discover(request: &mut PairRequest) -> Result<(), Failure> {
    use zmon_transport::discovery;
    let device = &request.device_id;
    let found = discovery::find(device, DISCOVERY)
        .await
        .map_err(|error| Failure::new(ErrorCode::DeviceUnreachable).context(error.to_string()))?;
    let (address, port) = found.ok_or_else(|| {
        Failure::new(ErrorCode::DeviceUnreachable)
            .context(format!("no {device} says in these networks where it listens"))
            .next(
                "Check that its window is open and mdns = true in device.toml, or give --address.",
            )
    })?;
    (request.ip_address, request.port) = (Some(address), Some(port));
    Ok(())
}

/// How long a device is looked for.
#[cfg(feature = "mdns")]
const DISCOVERY: core::time::Duration = core::time::Duration::from_secs(5);

/// What the operator asked for: the next step is theirs.
fn waits(
    request: &PairRequest,
    pending: &PairPending,
    streams: &mut Streams<'_>,
) -> Result<(), Failure> {
    if streams.is_json() {
        return Ok(streams.json(pending)?);
    }
    streams.say(&format!("{} waits for a courier", request.device_id))?;
    streams.say(&format!("  session  {}", pending.session_id))?;
    Ok(streams.say(&format!("  next     {}", next(pending)))?)
}

/// The station reaches the device by no way of its own. The session stands: nothing is used up.
pub(crate) fn stranded(pending: &PairPending) -> Failure {
    Failure::new(ErrorCode::DeviceUnreachable)
        .context(format!("session {} waits for a courier", pending.session_id))
        .next(next(pending))
}

fn next(pending: &PairPending) -> String {
    let session = pending.session_id;
    format!(
        "Run on a machine that reaches both: zmon courier --session {session}; \
         or carry files: zmon courier --session {session} --folder DIR"
    )
}

/// The device holds no anchor: somebody there has to see these words before anything is installed.
fn compare(request: &PairRequest, words: &str, streams: &mut Streams<'_>) -> Result<(), Failure> {
    streams.note(&format!("{} trusts by proximity. It must show:", request.device_id))?;
    streams.note(&format!("  words   {words}"))?;
    let next = "Only if it does, confirm this station at the device; else refuse it there.";
    Ok(streams.note(next)?)
}

/// What a scanned QR code asks the station for.
pub(crate) fn from_content(content: QrContent) -> PairRequest {
    PairRequest {
        device_id: content.device_id,
        pairing_code: content.pairing_code,
        pairing_token: Some(content.pairing_token),
        session_id: None,
        device_serial: Some(content.device_serial),
        ip_address: Some(content.ip_address),
        port: None,
        bed_id: None,
        device_label: None,
        delivery: None,
    }
}

fn request(args: &Pair) -> Result<PairRequest, Failure> {
    if let Some(path) = &args.qr_image {
        let text = qr::decode("--qr-image", &files::read("--qr-image", path, IMAGE_MAX)?)?;
        return Ok(from_content(QrContent::parse(text.as_bytes())?));
    }
    if let Some(path) = &args.qr_text {
        let text = Zeroizing::new(files::read_text("--qr-text", path, CONTENT_MAX)?);
        return Ok(from_content(QrContent::parse(text.trim().as_bytes())?));
    }
    let Some(device_id) = args.device_id.clone() else {
        return Err(Failure::usage("--device-id", "must be given without a QR code"));
    };
    let (code, token) = typed(args.secrets_file.as_deref())?;
    // A typo is caught here and costs no try.
    PairingCode::parse_any(&code)
        .map_err(|error| ErrorReport::field(error.code(), error.into()))?;
    Ok(PairRequest {
        device_id,
        pairing_code: SecretText::new(&code),
        pairing_token: token.map(|token| SecretText::new(&token)),
        session_id: None,
        device_serial: None,
        ip_address: args.address,
        port: args.port,
        bed_id: None,
        device_label: None,
        delivery: None,
    })
}

/// Code and token of the screen; never from the command line, which every process can read (T35).
fn typed(file: Option<&Path>) -> Result<(Secret, Option<Secret>), Failure> {
    match Source::choose("--secrets-file", file)? {
        Source::File { flag, path } => {
            let mut lines = secret::read_lines(flag, path, 1..=2)?.into_iter();
            let missing = || Failure::usage(flag, "must hold the pairing code in its first line");
            let code = lines.next().ok_or_else(missing)?;
            Ok((code, lines.next()))
        }
        terminal @ Source::Terminal => Ok((secret::read(terminal, "Pairing code")?, None)),
    }
}

fn show(
    request: &PairRequest,
    answer: &PairAnswer,
    streams: &mut Streams<'_>,
) -> Result<(), Failure> {
    if streams.is_json() {
        return Ok(streams.json(answer)?);
    }
    streams.say(&format!("{} is provisioned", request.device_id))?;
    Ok(streams.say(&format!("  server  {}", answer.configuration.server_url))?)
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use zmon_cli::ExitClass;
    use zmon_domain::route::Route;

    use super::*;
    use crate::{Args, Command};

    const CONTENT: &str = r#"{"deviceId":"ZM-001","deviceSerial":"SN-2024-001234","ipAddress":"192.168.1.100","pairingCode":"ABC-123-XYZ","pairingToken":"dG9rZW4","expiresAt":"2024-11-25T14:30:00Z","firmwareVersion":"1.2.3"}"#;

    fn parsed(more: &[&str]) -> Box<Pair> {
        let base = ["zmon", "pair", "--station", "https://h:1", "--ca", "a", "--operator", "o"];
        let args = Args::try_parse_from(base.iter().chain(more)).unwrap();
        let Command::Pair(pair) = args.command else { panic!("asked for pair") };
        pair
    }

    fn file_with(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    /// The request of a command line that ends in a file with this text.
    fn asked(more: &[&str], text: &str) -> Result<PairRequest, Failure> {
        let file = file_with(text);
        request(&parsed(&[more, &[file.path().to_str().unwrap()]].concat()))
    }

    #[test]
    fn the_content_of_a_qr_code_becomes_the_request() {
        let request = asked(&["--qr-text"], &format!("{CONTENT}\n")).unwrap();
        assert_eq!(request.device_id.as_str(), "ZM-001");
        assert_eq!(request.pairing_code.expose(), "ABC-123-XYZ");
        assert_eq!(request.pairing_token.unwrap().expose(), "dG9rZW4");
        assert_eq!(request.ip_address.unwrap().to_string(), "192.168.1.100");
    }

    #[test]
    fn code_and_token_come_from_a_file() {
        let typed = |text| asked(&["--device-id", "ZM-001", "--secrets-file"], text);
        assert!(typed("ABC-123-XYZ\n").unwrap().pairing_token.is_none());
        let both = typed("ABC-123-XYZ\ndG9rZW4\n").unwrap();
        assert_eq!(both.pairing_code.expose(), "ABC-123-XYZ");
        assert_eq!(both.pairing_token.unwrap().expose(), "dG9rZW4");
        for unusable in ["", "\n", "ABC-123-XYZ\ndG9rZW4\nmore\n"] {
            assert_eq!(typed(unusable).unwrap_err().class(), ExitClass::Usage);
        }
    }

    #[test]
    fn a_mistyped_code_is_refused_here() {
        let failure =
            asked(&["--device-id", "ZM-001", "--secrets-file"], "ABC-123-XYA").unwrap_err();
        assert_eq!(
            (failure.code(), failure.class()),
            (ErrorCode::PairingCodeTypo, ExitClass::Refused)
        );
    }

    #[test]
    fn a_typed_code_may_say_where_the_device_listens() {
        let place = ["--address", "10.1.50.104", "--port", "40123"];
        let typed = ["--device-id", "ZM-001", "--secrets-file"];
        let request = asked(&[&place[..], &typed[..]].concat(), "ABC-123-XYZ").unwrap();
        assert!(request.pairing_token.is_none());
        assert_eq!(request.port.unwrap().get(), 40123);
        assert!(asked(&typed, "ABC-123-XYZ").unwrap().port.is_none(), "the registry knows");
    }

    #[test]
    fn a_pairing_that_waits_names_the_next_command() {
        let session = "67e55044-10b1-426f-9247-bb680e5fe0c8";
        let pending = PairPending {
            success: zmon_wire::kind::False,
            pending: zmon_wire::kind::True,
            session_id: session.parse().unwrap(),
            delivery: Route::Courier,
            events_url: String::new(),
            words: None,
        };
        let failure = stranded(&pending);
        assert_eq!(failure.class(), ExitClass::Unreachable);
        let text = failure.to_text();
        assert!(text.contains("waits for a courier") && text.contains("zmon courier"), "{text}");
        assert!(text.contains(session) && text.contains("--folder DIR"), "{text}");
    }

    #[test]
    fn a_route_may_be_chosen() {
        for (word, route) in
            [("push", Route::Push), ("pull", Route::Pull), ("courier", Route::Courier)]
        {
            let pair = parsed(&["--qr-text", "-", "--via", word]);
            assert_eq!(pair.via.map(Route::from), Some(route));
        }
        assert!(parsed(&["--qr-text", "-"]).via.is_none());
    }

    #[test]
    fn other_content_is_a_usage_failure_that_names_the_member() {
        let failure = asked(&["--qr-text"], r#"{"deviceId":"ZM-001"}"#).unwrap_err();
        assert_eq!(failure.class(), ExitClass::Usage);
        let failure = asked(&["--qr-text"], &CONTENT.replace("ZM-001", "-")).unwrap_err();
        assert!(failure.to_text().contains("deviceId"), "{}", failure.to_text());
    }
}
