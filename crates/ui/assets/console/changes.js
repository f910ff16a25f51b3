// What may be done to a monitor, each with its question.

import { text, word } from "/page/texts.js";
import * as api from "/console/api.js";
import { ask, must } from "/console/ask.js";

const ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

/** Another bed, another label; who has the bed already is said first, and what another has said meanwhile is kept. */
export function askMove(row, done) {
  const placed = api.placed(row.deviceId);
  // Whoever goes on is told what came of it.
  placed.catch(() => {});
  ask({
    title: text("moveTitle", { device: row.deviceId }),
    words: text("moveWhy"),
    fields: [
      { name: "bed", label: text("bed"), value: row.bedId },
      { name: "label", label: text("label"), value: row.deviceLabel },
    ],
    ok: text("moveOk"),
    check: async ({ bed }) => {
      if (bed === "" || bed === row.bedId) return "";
      if (!ID.test(bed)) must(text("idWrong"));
      const { devices } = await api.atBed(bed);
      const others = devices.filter(({ deviceId }) => deviceId !== row.deviceId).map(({ deviceId }) => deviceId);
      return others.length === 0 ? "" : text("bedShared", { bed, monitors: others.join(", ") });
    },
    act: async ({ bed, label }) => {
      const place = {};
      if (bed !== "") place.bedId = bed;
      if (label !== "") place.deviceLabel = label;
      const { value, tag } = await placed;
      // The row was older than the answer: its reader has not seen what would be overwritten.
      const isSeen = value.bedId === row.bedId && value.deviceLabel === row.deviceLabel;
      await api.place(row.deviceId, place, isSeen ? tag : '"unseen"');
      await done(text("moved", { device: row.deviceId }));
    },
  });
}

export function askRevoke(serial, device, done) {
  const reasons = ["administrator", "keyCompromise"];
  ask({
    title: text("revokeTitle", { device }),
    words: text("revokeWhy", { serial }),
    fields: [{ name: "reason", label: text("reason"), options: reasons.map((reason) => [reason, word("reasons", reason)]), value: reasons[0] }],
    ok: text("revoke"),
    isGrave: true,
    act: async ({ reason }) => {
      await api.revoke(serial, reason);
      await done(text("revoked", { device }));
    },
  });
}

/** Cannot be undone here: the device's name is typed. */
export function askDecommission(row, done) {
  ask({
    title: text("decommissionTitle", { device: row.deviceId }),
    words: text("decommissionWhy"),
    fields: [{ name: "name", label: text("typeName", { device: row.deviceId }) }],
    ok: text("decommission"),
    isGrave: true,
    act: async ({ name }) => {
      if (name !== row.deviceId) must(text("nameDiffers"));
      await api.decommission(row.deviceId);
      await done(text("wasDecommissioned", { device: row.deviceId }));
    },
  });
}

export function askRekey(row, done) {
  ask({
    title: text("rekeyTitle", { device: row.deviceId }),
    words: text("rekeyWhy"),
    fields: [{ name: "manifest", label: text("manifestRow"), kind: "lines" }],
    ok: text("rekey"),
    isGrave: true,
    act: async ({ manifest }) => {
      await api.rekey(row.deviceId, manifest);
      await done(text("rekeyed", { device: row.deviceId }));
    },
  });
}

export function askAcceptAudit(row, done) {
  ask({
    title: text("acceptAuditTitle", { device: row.deviceId }),
    words: text("acceptAuditWhy"),
    ok: text("acceptAuditOk"),
    isGrave: true,
    act: async () => {
      await api.acceptAudit(row.deviceId);
      await done(text("auditAccepted", { device: row.deviceId }));
    },
  });
}
