//! `zmon doctor`: what is wrong with a station or a device, and what to do about it. It changes nothing.

mod certificates;
mod finding;
mod link;
mod machine;
mod network;
mod place;
mod record;

use std::path::Path;

use serde::Serialize;
use zmon_cli::{ExitClass, Failure, Streams};
use zmon_domain::{
    address::ServerUrl,
    error::{ErrorCode, Side},
};

use finding::{Finding, Level};
pub(crate) use network::connectable;
pub(crate) use place::Place;
pub(crate) use record::open as open_log;

use crate::clock;

/// What was found, for programs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    /// Whether nothing is a problem.
    success: bool,
    side: &'static str,
    directory: &'a Path,
    findings: &'a [Finding],
}

/// Looks at a directory and shows what was found.
///
/// # Errors
/// `not_initialised` for another directory; exit code 5 when something is a problem, which was shown then.
pub(crate) async fn run(dir: &Path, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let place = Place::find(dir)?;
    let findings = examine(&place).await;
    let problems = findings.iter().filter(|finding| finding.level == Level::Problem).count();
    if streams.is_json() {
        streams.json(&Report {
            success: problems == 0,
            side: place.side.as_str(),
            directory: dir,
            findings: &findings,
        })?;
    }
    for finding in &findings {
        streams.say(&finding.to_text())?;
    }
    if problems == 0 {
        return Ok(());
    }
    streams.say(&format!("{problems} of {} findings are problems", findings.len()))?;
    Err(Failure::new(ErrorCode::Internal).ending(ExitClass::Damaged).shown())
}

/// Everything that can be looked at in a directory.
pub(crate) async fn examine(place: &Place) -> Vec<Finding> {
    let now = clock::now().wall;
    let mut found = vec![settings(place)];
    let is_running = match place.is_running() {
        Ok(is_running) => is_running,
        Err(failure) => {
            found.push(Finding::failed("directory", &failure));
            false
        }
    };
    let (record, newest) = record::look(place).await;
    found.push(machine::clock(now, newest));
    found.push(machine::disk(&place.dir));
    found.extend(machine::files(&place.dir));
    found.extend(record);
    found.extend(certificates::look(place, now));
    if place.side == Side::Station {
        found.extend(network::station(place, is_running).await);
        return found;
    }
    found.extend(network::device(place, is_running));
    if is_running {
        found.extend(link::look(place, now).await);
    } else {
        found.push(Finding::note("link", "the device does not run: nobody can tell"));
    }
    if let Some(url) = place.text("pull_url").and_then(|url| ServerUrl::parse(url).ok()) {
        found.push(network::reach("pull_url", &url));
    }
    found
}

fn settings(place: &Place) -> Finding {
    const CHECK: &str = "settings";
    match &place.settings {
        Ok(settings) => Finding::ok(CHECK, format!("{} settings are read", settings.len())),
        Err(cause) => Finding::problem(CHECK, cause, "Correct the settings file."),
    }
}
