//! A batch in words.

use zmon_cli::{Failure, Streams};
use zmon_domain::{
    batch::{BatchState, ItemState},
    ids::{BedId, DeviceId, DeviceSerial},
};
use zmon_wire::batch::{BatchItemView, BatchView};

/// Every item, and what may be done next.
pub(super) fn show(view: &BatchView, streams: &mut Streams<'_>) -> Result<(), Failure> {
    if streams.is_json() {
        return Ok(streams.json(view)?);
    }
    streams.say(&line("ROW", "DEVICE", "BED", "STATE", "CAUSE"))?;
    for item in &view.items {
        let cause = item.problem.as_ref().map_or("", |problem| problem.code.as_str());
        let bed = item.bed_id.as_ref().map_or("-", BedId::as_str);
        let row = item.row.to_string();
        streams.say(&line(&row, device(item), bed, item.state.as_str(), cause))?;
    }
    streams.say(&summary(view))?;
    let may_retry = |item: &BatchItemView| item.state == ItemState::Failed && item.attempts > 0;
    if view.state != BatchState::Closed && view.items.iter().any(may_retry) {
        streams.say(&format!("  next   zmon batch retry {}", view.batch_id))?;
    }
    Ok(())
}

fn line(row: &str, device: &str, bed: &str, state: &str, cause: &str) -> String {
    format!("{row:>4} {device:<20} {bed:<12} {state:<8} {cause}").trim_end().to_owned()
}

/// The device of an item by the name that is known.
pub(super) fn device(item: &BatchItemView) -> &str {
    let id = item.device_id.as_ref().map(DeviceId::as_str);
    id.or(item.device_serial.as_ref().map(DeviceSerial::as_str)).unwrap_or("-")
}

/// The batch in one line.
pub(super) fn summary(view: &BatchView) -> String {
    format!("{} is {}: {}", view.batch_name, view.state, numbers(view))
}

/// Its items by state, without states that nothing is in.
pub(super) fn numbers(view: &BatchView) -> String {
    let counts = &view.counts;
    let parts = [
        (counts.paired, "paired"),
        (counts.failed, "failed"),
        (counts.pairing, "at work"),
        (counts.waiting, "waiting"),
        (counts.skipped, "skipped"),
    ];
    let parts = parts.iter().filter(|(count, _)| *count > 0);
    parts.map(|(count, name)| format!("{count} {name}")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
pub(super) mod tests {
    use zmon_domain::limits;
    use zmon_wire::strict;

    use super::*;

    pub(crate) fn golden() -> BatchView {
        let text = include_str!("../../../../crates/wire/tests/golden/batch.json");
        strict::parse(text.as_bytes(), limits::BODY_MAX.default).unwrap()
    }

    #[test]
    fn a_batch_fits_80_columns_and_names_the_next_command() {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        show(&golden(), &mut Streams::new(&mut out, &mut err, false)).unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[1], "   1 ZM-001               ICU-3B       paired");
        assert_eq!(lines[2], "   2 SN-2024-001235       ICU-4A       waiting");
        assert!(lines[3].ends_with("failed   configuration_malformed"), "{text}");
        assert_eq!(lines[4], "Ward 3 is open: 1 paired, 1 failed, 1 waiting");
        assert!(lines[5].contains("zmon batch retry 3f1c9a52"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }

    #[test]
    fn a_closed_batch_is_not_retried() {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let view = BatchView { state: BatchState::Closed, ..golden() };
        show(&view, &mut Streams::new(&mut out, &mut err, false)).unwrap();
        assert!(!String::from_utf8(out).unwrap().contains("retry"));
    }
}
