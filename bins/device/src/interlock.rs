//! Clinical interlocks of the device program: what a monitor beside it says, by a file or a command
//! (D22). Whatever is not understood in time is an objection.

use core::{str::FromStr, time::Duration};
use std::{path::PathBuf, process::Stdio, sync::Arc};

use async_trait::async_trait;
use tokio::{io::AsyncReadExt, process::Command, time::timeout};
use zmon_domain::error::{ErrorCode, ErrorReport, FieldError};
use zmon_domain::limits;
use zmon_provisioning::{
    DeviceParts,
    ports::{ClinicalInterlock, Moment},
};

/// Longest wait for a file to be read or a command to end.
const PATIENCE: Duration = limits::INTERLOCK_PATIENCE.default;
/// Longest content, in bytes; every word is shorter.
const CONTENT_MAX: u64 = 64;

/// Where the device asks whether a patient is in danger of losing the station for a second.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum InterlockSetting {
    /// Nowhere: no monitor stands beside this program.
    #[default]
    None,
    /// A file that a monitor keeps: `clear`, `patient-admitted` or `alarm-active`.
    File(PathBuf),
    /// A program, given the moment (`enter`, `commit` or `flip`): exit code 0 is clear.
    Command(PathBuf),
}

impl InterlockSetting {
    /// The adapter.
    pub(crate) fn adapter(&self) -> Arc<dyn ClinicalInterlock> {
        match self {
            Self::None => DeviceParts::no_patient(),
            Self::File(path) => Arc::new(FileInterlock(path.clone())),
            Self::Command(path) => Arc::new(CommandInterlock(path.clone())),
        }
    }
}

impl FromStr for InterlockSetting {
    type Err = FieldError;
    fn from_str(text: &str) -> Result<Self, FieldError> {
        let is_absolute = |path: &str| path.starts_with('/');
        match text.split_once(':') {
            None if text == "none" => Ok(Self::None),
            Some(("file", path)) if is_absolute(path) => Ok(Self::File(path.into())),
            Some(("command", path)) if is_absolute(path) => Ok(Self::Command(path.into())),
            _ => Err(FieldError::new(
                "interlock",
                "must be none, file:PATH or command:PATH, with an absolute path",
            )),
        }
    }
}

/// Reads what a monitor has written last.
struct FileInterlock(PathBuf);

#[async_trait]
impl ClinicalInterlock for FileInterlock {
    async fn check(&self, moment: Moment) -> Result<(), ErrorReport> {
        let said = match timeout(PATIENCE, self.read()).await {
            Ok(Ok(said)) => said,
            Ok(Err(error)) => return Err(objection(moment, &error.to_string())),
            Err(_elapsed) => return Err(objection(moment, "it could not be read in time")),
        };
        match said.trim_ascii() {
            b"clear" => Ok(()),
            b"patient-admitted" => Err(objection(moment, "a patient is admitted")),
            b"alarm-active" => Err(objection(moment, "an alarm is active")),
            _ => Err(objection(moment, "its content is none of the known words")),
        }
    }
}

impl FileInterlock {
    async fn read(&self) -> std::io::Result<Vec<u8>> {
        // Opening a pipe would wait for a writer.
        if !tokio::fs::metadata(&self.0).await?.is_file() {
            return Err(std::io::Error::other("no regular file"));
        }
        let mut said = Vec::new();
        let file = tokio::fs::File::open(&self.0).await?;
        // One byte more tells a content that goes on from one that ends here.
        file.take(CONTENT_MAX + 1).read_to_end(&mut said).await?;
        if u64::try_from(said.len()).map_or(true, |length| length > CONTENT_MAX) {
            return Err(std::io::Error::other("it is over 64 bytes"));
        }
        Ok(said)
    }
}

/// Runs a program of the integrator.
struct CommandInterlock(PathBuf);

#[async_trait]
impl ClinicalInterlock for CommandInterlock {
    async fn check(&self, moment: Moment) -> Result<(), ErrorReport> {
        let mut command = Command::new(&self.0);
        command.arg(moment.as_str()).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        match timeout(PATIENCE, command.status()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(objection(moment, &status.to_string())),
            Ok(Err(error)) => Err(objection(moment, &error.to_string())),
            Err(_elapsed) => Err(objection(moment, "it did not end in time")),
        }
    }
}

fn objection(moment: Moment, cause: &str) -> ErrorReport {
    tracing::info!(moment = moment.as_str(), cause, "the clinical interlock objects");
    ErrorCode::InterlockActive.into()
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt, path::Path};

    use super::*;

    fn interlock(text: &str) -> Arc<dyn ClinicalInterlock> {
        text.parse::<InterlockSetting>().unwrap().adapter()
    }

    async fn objects(interlock: &dyn ClinicalInterlock) -> bool {
        match interlock.check(Moment::Commit).await {
            Ok(()) => false,
            Err(report) => {
                assert_eq!(report.code(), ErrorCode::InterlockActive);
                true
            }
        }
    }

    #[tokio::test]
    async fn a_file_is_clear_only_when_it_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("clinical-state");
        let file = interlock(&format!("file:{}", path.display()));
        assert!(objects(&*file).await, "absent");
        for said in ["", "patient-admitted\n", "alarm-active", "CLEAR", "clear clear"] {
            fs::write(&path, said).unwrap();
            assert!(objects(&*file).await, "{said}");
        }
        for (blanks, is_clear) in [(59, true), (60, false), (100, false)] {
            fs::write(&path, [b"clear".as_slice(), &vec![b' '; blanks]].concat()).unwrap();
            assert_eq!(!objects(&*file).await, is_clear, "{blanks} blanks");
        }
        fs::write(&path, [b"clear".as_slice(), &[b' '; 100], b"not"].concat()).unwrap();
        assert!(objects(&*file).await, "what is too long is not believed");
        fs::write(&path, "clear\n").unwrap();
        assert!(!objects(&*file).await);
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(objects(&*file).await, "a folder");
        assert!(!objects(&*interlock("none")).await);
    }

    fn script(path: &Path, text: &str) {
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o700)).unwrap();
    }

    #[tokio::test]
    async fn a_command_is_clear_only_when_it_ends_well() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ask-the-monitor");
        let command = interlock(&format!("command:{}", path.display()));
        assert!(objects(&*command).await, "absent");
        script(&path, "#!/bin/sh\n[ \"$1\" = commit ]\n");
        assert!(!objects(&*command).await);
        assert!(command.check(Moment::Flip).await.is_err(), "it is told the moment");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(objects(&*command).await, "not executable");
        script(&path, "#!/bin/sh\nexec sleep 3600\n");
        // From here on only the clock can end the wait.
        tokio::time::pause();
        assert!(objects(&*command).await, "it hangs");
    }

    #[test]
    fn a_setting_names_its_kind_and_an_absolute_path() {
        assert_eq!("none".parse(), Ok(InterlockSetting::None));
        for bad in ["", "file", "file:", "file:here", "command:./x", "pipe:/x", "/x"] {
            let refused = bad.parse::<InterlockSetting>().unwrap_err();
            assert_eq!(refused.field(), "interlock", "{bad}");
        }
    }
}
