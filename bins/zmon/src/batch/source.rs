//! Where scans come from: pictures, lines of a scanner, or a typed code.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::Path,
    thread,
};

use tokio::sync::mpsc;
use zeroize::Zeroizing;
use zmon_cli::{
    Failure, files,
    secret::{self, Source as Secret},
};
use zmon_domain::{code::PairingCode, error::ErrorReport, limits};
use zmon_wire::{pair::ScanRequest, qr::QrContent, secret::SecretText, strict};

use crate::{
    args::BatchScan,
    qr::{self, CONTENT_MAX, IMAGE_MAX},
};

/// What was scanned, or why it cannot be read; with what it was called.
pub(super) type Scanned = (String, Result<ScanRequest, Failure>);

/// Scans as they come. Reading waits for people, so it has a thread of its own, which ends with the program.
pub(super) fn scans(args: &BatchScan) -> Result<mpsc::Receiver<Scanned>, Failure> {
    let (sender, receiver) = mpsc::channel(1);
    if args.device_id.is_some() {
        let typed = typed(args)?;
        let name = typed.device_id.to_string();
        // There is room for one.
        let _sent = sender.try_send((name, Ok(typed)));
        return Ok(receiver);
    }
    let images = args.qr_images.clone();
    let lines = args.qr_text.as_deref().map(lines).transpose()?;
    thread::spawn(move || {
        for path in images {
            let name = path.display().to_string();
            if sender.blocking_send((name, picture(&path))).is_err() {
                return;
            }
        }
        let Some(mut lines) = lines else { return };
        let mut number = 0_usize;
        while let Some(line) = next_line(&mut lines) {
            number += 1;
            let is_blank = line.as_ref().is_ok_and(|line| line.trim().is_empty());
            if is_blank {
                continue;
            }
            let over = line.is_err();
            let scan = line.and_then(|line| content(&line));
            if sender.blocking_send((format!("line {number}"), scan)).is_err() || over {
                return;
            }
        }
    });
    Ok(receiver)
}

fn picture(path: &Path) -> Result<ScanRequest, Failure> {
    let image = files::read("--qr-image", path, IMAGE_MAX)?;
    content(&Zeroizing::new(qr::decode("--qr-image", &image)?))
}

fn lines(path: &Path) -> Result<Box<dyn BufRead + Send>, Failure> {
    if path == Path::new("-") {
        return Ok(Box::new(BufReader::new(io::stdin())));
    }
    let file = File::open(path).map_err(|error| {
        Failure::usage("--qr-text", "must name a file that can be read")
            .context(format!("{}: {error}", path.display()))
    })?;
    Ok(Box::new(BufReader::new(file)))
}

/// The next line; `None` at the end.
fn next_line(lines: &mut dyn BufRead) -> Option<Result<Zeroizing<String>, Failure>> {
    let mut line = Zeroizing::new(String::with_capacity(CONTENT_MAX));
    let most = u64::try_from(CONTENT_MAX).unwrap_or(u64::MAX);
    match lines.take(most).read_line(&mut line) {
        Ok(0) => None,
        Ok(_) if line.ends_with('\n') || line.len() < CONTENT_MAX => Some(Ok(line)),
        Ok(_) => Some(Err(Failure::usage("--qr-text", "must have lines of at most 4096 bytes"))),
        Err(error) => {
            let unreadable = Failure::usage("--qr-text", "must be text, one QR code a line");
            Some(Err(unreadable.context(error.to_string())))
        }
    }
}

/// The seven members of a QR code are a scan as they are.
fn content(text: &str) -> Result<ScanRequest, Failure> {
    let text = text.trim().as_bytes();
    QrContent::parse(text)?;
    Ok(strict::parse(text, limits::BODY_MAX.default)?)
}

fn typed(args: &BatchScan) -> Result<ScanRequest, Failure> {
    let Some(device_id) = args.device_id.clone() else {
        return Err(Failure::usage("--device-id", "must be given without a QR code"));
    };
    let code = match Secret::choose("--secrets-file", args.secrets_file.as_deref())? {
        Secret::File { flag, path } => {
            let lines = secret::read_lines(flag, path, 1..=1)?.into_iter().next();
            lines.ok_or_else(|| Failure::usage(flag, "must hold the pairing code"))?
        }
        terminal @ Secret::Terminal => secret::read(terminal, "Pairing code")?,
    };
    // A typo is caught here and costs no try.
    PairingCode::parse_any(&code)
        .map_err(|error| ErrorReport::field(error.code(), error.into()))?;
    Ok(ScanRequest {
        device_id,
        device_serial: None,
        ip_address: args.address,
        pairing_code: SecretText::new(&code),
        pairing_token: None,
        port: args.port,
        expires_at: None,
        firmware_version: None,
        delivery: None,
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use zmon_cli::ExitClass;

    use super::*;
    use crate::{Args, Command, args::BatchCommand};

    const CONTENT: &str = r#"{"deviceId":"ZM-001","deviceSerial":"SN-2024-001234","ipAddress":"192.168.1.100","pairingCode":"ABC-123-XYZ","pairingToken":"dG9rZW4","expiresAt":"2024-11-25T14:30:00Z","firmwareVersion":"1.2.3"}"#;

    fn parsed(more: &[&str]) -> BatchScan {
        let base = [
            "zmon",
            "batch",
            "scan",
            "3f1c9a52-7d60-4e0b-9c1d-2a6b8e5f4d30",
            "--station",
            "https://h:1",
            "--ca",
            "a",
            "--operator",
            "o",
        ];
        let args = Args::try_parse_from(base.iter().chain(more)).unwrap();
        let Command::Batch(batch) = args.command else { panic!("asked for batch") };
        let BatchCommand::Scan(scan) = batch.command else { panic!("asked for scan") };
        *scan
    }

    async fn all(text: &str) -> Vec<Scanned> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let args = parsed(&["--qr-text", file.path().to_str().unwrap()]);
        let mut scans = scans(&args).unwrap();
        let mut all = Vec::new();
        while let Some(scan) = scans.recv().await {
            all.push(scan);
        }
        all
    }

    #[tokio::test]
    async fn each_line_is_a_scan_and_a_bad_one_spoils_no_other() {
        let text = format!("{CONTENT}\n\n{{\"deviceId\":1}}\n{}", CONTENT.replace("001", "002"));
        let found = all(&text).await;
        let names: Vec<_> = found.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["line 1", "line 3", "line 4"]);
        let first = found[0].1.as_ref().unwrap();
        assert_eq!(first.device_id.as_str(), "ZM-001");
        assert_eq!(first.pairing_token.as_ref().unwrap().expose(), "dG9rZW4");
        assert_eq!(found[1].1.as_ref().unwrap_err().class(), ExitClass::Usage);
        assert_eq!(found[2].1.as_ref().unwrap().device_id.as_str(), "ZM-002");
    }

    #[tokio::test]
    async fn a_line_without_an_end_is_not_read_to_its_end() {
        let found = all(&"x".repeat(2 * CONTENT_MAX)).await;
        assert_eq!(found.len(), 1);
        assert!(found[0].1.as_ref().unwrap_err().to_text().contains("--qr-text"));
    }

    #[tokio::test]
    async fn a_typed_code_is_one_scan_and_a_typo_is_caught_here() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap();
        let args = parsed(&["--device-id", "ZM-001", "--secrets-file", path, "--port", "40123"]);
        std::fs::write(path, "ABC-123-XYA\n").unwrap();
        assert_eq!(scans(&args).unwrap_err().class(), ExitClass::Refused);
        std::fs::write(path, "ABC-123-XYZ\n").unwrap();
        let mut scans = scans(&args).unwrap();
        let (name, scan) = scans.recv().await.unwrap();
        let scan = scan.unwrap();
        assert_eq!((name.as_str(), scan.port.unwrap().get()), ("ZM-001", 40123));
        assert!(scan.pairing_token.is_none() && scans.recv().await.is_none());
    }
}
