//! What every state of a session knows.

use alloc::sync::Arc;

use zmon_domain::address::DeviceAddress;
use zmon_domain::code::PairingCode;
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::{
    BedId, DeviceId, DeviceLabel, DeviceSerial, OperatorId, SessionId, Thumbprint, TokenId,
};
use zmon_domain::limits;
use zmon_domain::route::Route;
use zmon_domain::settings::{DeviceSettings, Language, MeasurementUnit, SyncInterval};
use zmon_wire::carry::Message;
use zmon_wire::kind::Method;

use super::super::blink::Blinks;
use super::super::context::{DeviceRecord, PairDetails, RegistryEntry, SessionContext};
use super::super::io::{Blink, Target};
use super::super::state::Core;
use super::SnapshotError;
use super::codec::{Reader, Writer};

const ASKED: u8 = 1;
const UNTIL: u8 = 2;
const FAILED: u8 = 3;

pub(super) fn write(to: &mut Writer, core: &Core) {
    to.raw(core.session_id.as_bytes());
    to.text(core.device_id.as_str());
    to.option(core.operator.as_ref(), |to, (id, role)| {
        to.text(id.as_str());
        to.text(role.as_str());
    });
    match &core.record {
        DeviceRecord::Known(entry) => to.option(Some(entry), |to, entry| {
            to.text(entry.serial.as_str());
            to.raw(entry.identity_key.as_bytes());
            to.flag(entry.decommissioned);
        }),
        DeviceRecord::Unknown(_) => to.flag(false),
    }
    to.option(core.scanned_serial.as_ref(), |to, serial| to.text(serial.as_str()));
    to.byte(core.method.number());
    to.raw(core.token_id.as_bytes());
    to.option(core.target.as_ref(), |to, target| {
        to.text(&alloc::format!("{}", target.address));
        to.raw(&target.port.to_be_bytes());
        to.raw(&target.thumbprint16);
    });
    to.option(core.key16, |to, key16| to.raw(&key16));
    to.flag(core.pushes);
    to.text(core.route.as_str());
    to.option(core.fetched, |to, (route, message)| {
        to.text(route.as_str());
        to.text(message);
    });
    blinks(to, &core.blinks);
    to.option(core.code.as_ref(), |to, code| to.bytes(code.canonical()));
    to.option(core.details.as_ref(), details);
    to.tick(core.pair_by);
    to.tick(core.deadline);
}

fn blinks(to: &mut Writer, blinks: &Blinks) {
    to.raw(&blinks.number.to_be_bytes());
    to.option(blinks.last, |to, last| match last {
        Blink::Asked => to.byte(ASKED),
        Blink::Until(until) => {
            to.byte(UNTIL);
            to.tick(until);
        }
        Blink::Failed(code) => {
            to.byte(FAILED);
            to.text(code.as_str());
        }
    });
}

fn details(to: &mut Writer, details: &PairDetails) {
    let DeviceSettings { label, bed, unit, language, sync_interval } = &details.settings;
    to.option(label.as_ref(), |to, label| to.text(label.as_str()));
    to.option(bed.as_ref(), |to, bed| to.text(bed.as_str()));
    to.text(unit.as_str());
    to.text(language.as_str());
    to.number(sync_interval.as_secs());
    to.number(details.config_version);
}

pub(super) fn read(from: &mut Reader<'_>, ctx: &SessionContext<'_>) -> Result<Core, SnapshotError> {
    let session_id = SessionId::from_bytes(from.array("sessionId")?);
    let device_id = from.text("deviceId", DeviceId::parse)?;
    let operator = from.option("operator", |from| {
        Ok((from.text("operator", OperatorId::parse)?, from.text("role", str::parse)?))
    })?;
    let known = from.option("record", |from| {
        Ok(RegistryEntry {
            device_id: device_id.clone(),
            serial: from.text("serial", DeviceSerial::parse)?,
            identity_key: Thumbprint::from_bytes(from.array("identityKey")?),
            decommissioned: from.flag("decommissioned")?,
        })
    })?;
    Ok(Core {
        session_id,
        record: known.map_or(DeviceRecord::Unknown(device_id.clone()), DeviceRecord::Known),
        device_id,
        operator,
        scanned_serial: from
            .option("scannedSerial", |from| from.text("scannedSerial", DeviceSerial::parse))?,
        method: Method::from_number(from.byte("method")?).ok_or(SnapshotError::Member("method"))?,
        token_id: TokenId::from_bytes(from.array("tokenId")?),
        target: from.option("target", |from| {
            Ok(Target {
                address: from.text("address", DeviceAddress::parse)?,
                port: u16::from_be_bytes(from.array("port")?),
                thumbprint16: from.array("thumbprint16")?,
            })
        })?,
        key16: from.option("key16", |from| from.array("key16"))?,
        pushes: from.flag("pushes")?,
        route: from.text("route", str::parse::<Route>)?,
        fetched: from.option("fetched", |from| {
            let route = from.text("fetched", str::parse::<Route>)?;
            let name = from.str("fetched")?;
            let known = Message::NAMES.into_iter().find(|known| *known == name);
            Ok((route, known.ok_or(SnapshotError::Member("fetched"))?))
        })?,
        blinks: read_blinks(from)?,
        code: from.option("code", |from| {
            let code = PairingCode::parse_any(from.str("code")?);
            code.map(Arc::new).map_err(|_| SnapshotError::Member("code"))
        })?,
        details: from.option("details", read_details)?,
        pair_by: from.tick("pairBy", ctx.policy.claim_without_pair)?,
        deadline: from.tick("deadline", ctx.policy.session_lifetime)?,
    })
}

fn read_blinks(from: &mut Reader<'_>) -> Result<Blinks, SnapshotError> {
    Ok(Blinks {
        number: u32::from_be_bytes(from.array("blinks")?),
        last: from.option("blink", |from| {
            Ok(match from.byte("blink")? {
                ASKED => Blink::Asked,
                UNTIL => Blink::Until(from.tick("blink", limits::BLINK.default)?),
                FAILED => Blink::Failed(from.text("blink", str::parse::<ErrorCode>)?),
                _ => return Err(SnapshotError::Member("blink")),
            })
        })?,
    })
}

fn read_details(from: &mut Reader<'_>) -> Result<PairDetails, SnapshotError> {
    let settings = DeviceSettings {
        label: from.option("label", |from| from.text("label", DeviceLabel::parse))?,
        bed: from.option("bed", |from| from.text("bed", BedId::parse))?,
        unit: from.text("unit", MeasurementUnit::parse)?,
        language: from.text("language", Language::parse)?,
        sync_interval: SyncInterval::from_secs(from.number("syncInterval")?)
            .map_err(|_| SnapshotError::Member("syncInterval"))?,
    };
    Ok(PairDetails { settings, config_version: from.number("configVersion")? })
}
