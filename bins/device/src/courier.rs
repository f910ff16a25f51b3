//! The courier's folder (D7): messages of a station that a person brings, and the answers they take back.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use zmon_cli::files;
use zmon_domain::{
    error::{ErrorCode, ErrorReport},
    limits,
    route::Route,
};
use zmon_provisioning::ports::DeviceEndpoint;
use zmon_transport::control::CourierDesk;
use zmon_wire::{
    carry::{Carriage, Message, Return},
    control::CourierView,
    kind::V1,
    strict,
};

/// Takes what lies in one folder.
pub(crate) struct Folder {
    pub(crate) path: PathBuf,
    pub(crate) device: Arc<dyn DeviceEndpoint>,
}

#[async_trait]
impl CourierDesk for Folder {
    /// The configuration before the hello: a hello that lies there still has been answered.
    async fn import(&self) -> Result<CourierView, ErrorReport> {
        for name in [Message::ENVELOPE_FILE, Message::HELLO_FILE] {
            let path = self.path.join(name);
            if let Some(bytes) = files::read_plain(&path, limits::BODY_MAX.default)
                .map_err(|error| unusable(&path, &error))?
            {
                return self.take(name, &path, &bytes).await;
            }
        }
        Err(ErrorCode::NothingToCarry.into())
    }
}

impl Folder {
    /// The answer is durable before the message goes. One that is refused stays where it is.
    async fn take(
        &self,
        name: &str,
        path: &Path,
        bytes: &[u8],
    ) -> Result<CourierView, ErrorReport> {
        let carriage = match strict::parse::<Carriage>(bytes, limits::BODY_MAX.default) {
            Ok(carriage) => carriage,
            Err(error) => {
                let report = error.report(ErrorCode::RequestMalformed);
                self.device.junk(report.code).await;
                return Err(report);
            }
        };
        let session_id = carriage.session_id;
        let reply = self.device.carried(Route::Courier, carriage.message).await?;
        let written = reply.file().ok_or(ErrorCode::RequestMalformed)?;
        let answer = Return { v: V1::default(), session_id, reply };
        let bytes = strict::to_vec(&answer).map_err(|_| ErrorCode::Internal)?;
        let to = self.path.join(written);
        files::replace(&to, &bytes).map_err(|error| unusable(&to, &error))?;
        fs::remove_file(path).map_err(|error| unusable(path, &error))?;
        Ok(CourierView { taken: name.to_owned(), written: written.to_owned() })
    }
}

fn unusable(path: &Path, error: &io::Error) -> ErrorReport {
    tracing::warn!(path = %path.display(), %error, "the courier's folder");
    ErrorCode::CourierUnavailable.into()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use zmon_domain::ids::{DeviceId, SessionId};
    use zmon_wire::{
        blink::{BlinkAnswer, BlinkRequest},
        carry::Reply,
        pake::{PakeConfirm, PakeStart, PakeStarted, WindowAnswer},
        session::{DeliveryAnswer, SessionAnswer, SessionOpen},
    };

    use super::*;

    /// A device that takes everything, or nothing; what it was brought, and how.
    #[derive(Default)]
    struct Device {
        refuses: bool,
        seen: Mutex<Vec<String>>,
    }

    #[async_trait]
    impl DeviceEndpoint for Device {
        async fn session(&self, _open: SessionOpen) -> Result<SessionAnswer, ErrorReport> {
            Ok(SessionAnswer { identity: "e30.e30.c2ln".to_owned() })
        }

        async fn window(&self) -> Result<WindowAnswer, ErrorReport> {
            let device_id = DeviceId::parse("ZM-001").unwrap();
            Ok(WindowAnswer { v: V1::default(), device_id, window_id: [0; 16] })
        }

        async fn pake_start(&self, _start: PakeStart) -> Result<PakeStarted, ErrorReport> {
            Err(ErrorCode::ClaimRefused.into())
        }

        async fn pake_confirm(&self, _end: PakeConfirm) -> Result<SessionAnswer, ErrorReport> {
            Err(ErrorCode::ClaimRefused.into())
        }

        async fn blink(&self, _blink: BlinkRequest) -> Result<BlinkAnswer, ErrorReport> {
            Ok(BlinkAnswer { seconds: 6 })
        }

        async fn configuration(&self, _bytes: Vec<u8>) -> Result<DeliveryAnswer, ErrorReport> {
            Ok(DeliveryAnswer { status: "e30.e30.c2ln".to_owned() })
        }

        async fn carried(&self, route: Route, message: Message) -> Result<Reply, ErrorReport> {
            self.seen.lock().unwrap().push(format!("{route} {}", message.name()));
            if self.refuses {
                return Err(ErrorCode::SessionUnknown.into());
            }
            Ok(match message {
                Message::Session(open) => Reply::Identity(self.session(open).await?),
                Message::Configuration { envelope } => {
                    Reply::Status(self.configuration(envelope).await?)
                }
                Message::Window {}
                | Message::PakeStart(_)
                | Message::PakeConfirm(_)
                | Message::Blink(_) => Reply::Window(self.window().await?),
            })
        }

        async fn junk(&self, code: ErrorCode) {
            self.seen.lock().unwrap().push(code.to_string());
        }
    }

    fn lay(dir: &Path, name: &str, message: Message) {
        let carriage = Carriage {
            v: V1::default(),
            session_id: SessionId::from_bytes([1; 16]),
            device_id: DeviceId::parse("ZM-001").unwrap(),
            message,
        };
        fs::write(dir.join(name), strict::to_vec(&carriage).unwrap()).unwrap();
    }

    fn hello() -> Message {
        Message::Session(SessionOpen { hello: "e30.e30.c2ln".to_owned(), claim_mac: [0; 32] })
    }

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn an_answer_lies_where_its_message_lay() {
        let dir = tempfile::tempdir().unwrap();
        let device = Arc::new(Device::default());
        let folder = Folder { path: dir.path().to_owned(), device: Arc::clone(&device) as _ };
        let empty = folder.import().await.unwrap_err();
        assert_eq!(empty.code, ErrorCode::NothingToCarry);

        lay(dir.path(), "hello.json", hello());
        let taken = folder.import().await.unwrap();
        assert_eq!((taken.taken.as_str(), taken.written.as_str()), ("hello.json", "identity.json"));
        lay(dir.path(), "envelope.json", Message::Configuration { envelope: vec![1] });
        lay(dir.path(), "hello.json", hello());
        assert_eq!(folder.import().await.unwrap().written, "status.json", "what came later first");
        assert_eq!(names(dir.path()), ["hello.json", "identity.json", "status.json"]);
        let answer = fs::read(dir.path().join("identity.json")).unwrap();
        let answer: Return = strict::parse(&answer, 1000).unwrap();
        assert_eq!(answer.session_id, SessionId::from_bytes([1; 16]));
        assert_eq!(*device.seen.lock().unwrap(), ["courier session", "courier configuration"]);
    }

    #[tokio::test]
    async fn what_is_refused_stays_where_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let device = Arc::new(Device { refuses: true, ..Device::default() });
        let folder = Folder { path: dir.path().to_owned(), device: Arc::clone(&device) as _ };
        let path = dir.path().join("hello.json");
        let code = async || folder.import().await.unwrap_err().code;
        lay(dir.path(), "hello.json", hello());
        assert_eq!(code().await, ErrorCode::SessionUnknown, "the device's own code");
        fs::write(&path, "no message").unwrap();
        assert_eq!(code().await, ErrorCode::RequestMalformed);
        fs::write(&path, vec![b' '; 70_000]).unwrap();
        assert_eq!(code().await, ErrorCode::RequestTooLarge);
        assert_eq!(names(dir.path()), ["hello.json"]);
        let counted = ["courier session", "request_malformed", "request_too_large"];
        assert_eq!(*device.seen.lock().unwrap(), counted, "each is written down");
        // A link does not lead out of the folder.
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/etc/hostname", &path).unwrap();
        assert_eq!(code().await, ErrorCode::CourierUnavailable);
        // A step of the typed code is no file.
        fs::remove_file(&path).unwrap();
        lay(dir.path(), "hello.json", Message::Window {});
        let folder = Folder { path: dir.path().to_owned(), device: Arc::new(Device::default()) };
        assert_eq!(folder.import().await.unwrap_err().code, ErrorCode::RequestMalformed);
        assert_eq!(names(dir.path()), ["hello.json"]);
    }
}
