// One monitor: what the registry, its link and its certificates say, and what the operator may do to it.

import { Refusal } from "/page/api.js";
import { facts, find, notify, put } from "/page/dom.js";
import { number, problemLine, text, word } from "/page/texts.js";
import { certificates, device } from "/console/api.js";
import { askAcceptAudit, askDecommission, askMove, askRekey, askRevoke } from "/console/changes.js";
import { ago, bytes, certificateState, date, placeOf, span, standing, time } from "/console/say.js";

const sheet = find("device");
let shown = null;

/** Opens the sheet of a monitor; `context` says who looks. */
export function openDevice(row, context) {
  shown = { id: row.deviceId, context };
  notify("device-notice");
  draw(row);
  find("device-certificates").replaceChildren();
  sheet.showModal();
  refreshDevice().catch(refuse);
}

export const closeDevice = () => sheet.close();

/** Looks at the monitor of the open sheet again. */
export async function refreshDevice() {
  if (shown === null) return;
  const of = shown;
  const [row, list] = await Promise.all([device(of.id), certificates({ deviceId: of.id, limit: 10 })]);
  if (shown !== of) return;
  draw(row);
  find("device-certificates").replaceChildren(...list.certificates.map(line));
}

function refuse(error) {
  if (!(error instanceof Refusal)) throw error;
  notify("device-notice", problemLine(error.problem));
}

function draw(row) {
  const { role } = shown.context;
  put(find("device-title"), row.deviceId);
  facts(find("device-facts"), [
    [text("state"), standing(row).word],
    [text("bed"), placeOf(row) || text("noBed")],
    [text("serial"), row.deviceSerial],
    [text("model"), row.model],
    [text("address"), row.ipAddress && [row.ipAddress, row.port].filter(Boolean).join(":")],
    [text("certificateUntil"), date(row.certificateNotAfter)],
    [text("trust"), row.trustLevel && word("trustLevels", row.trustLevel)],
    [text("identityKey"), row.identityKey],
  ]);
  const link = row.link;
  facts(find("device-link"), link === undefined ? [[text("heartbeat"), text("notHeard")]] : [
    [text("heartbeat"), ago(link.secondsAgo)],
    [text("lastSeen"), time(row.lastSeen)],
    [text("uptime"), span(link.uptimeSeconds)],
    [text("sent"), bytes(link.bytesSent)],
    [text("errors"), number(link.errors)],
  ]);
  drawActions(row, role);
}

function line(certificate) {
  const item = document.createElement("li");
  const serial = document.createElement("code");
  serial.textContent = certificate.serial;
  const until = text("until", { date: date(certificate.notAfter) });
  item.append(serial, ` · ${certificateState(certificate)} · ${until}`);
  return item;
}

/** Buttons of this role for this monitor, made once for each set of them. */
function drawActions(row, role) {
  const isActive = row.status === "active";
  const done = async (message) => {
    notify("device-notice", message);
    await refreshDevice();
    shown?.context.refresh();
  };
  const all = [
    [text("move"), isActive && role !== "auditor", () => askMove(row, done)],
    [text("revoke"), row.certificate !== undefined && role === "administrator", () => askRevoke(row.certificate, row.deviceId, done), true],
    [text("rekey"), isActive && role === "administrator", () => askRekey(row, done)],
    [text("acceptAudit"), isActive && role === "administrator", () => askAcceptAudit(row, done)],
    [text("decommission"), isActive && role === "administrator", () => askDecommission(row, done), true],
  ].filter(([, may]) => may);
  const place = find("device-actions");
  const names = all.map(([name]) => name).join();
  if (place.dataset.names !== names) {
    place.dataset.names = names;
    place.replaceChildren(...all.map(([name, , , isGrave]) =>
      Object.assign(document.createElement("button"), { type: "button", textContent: name, className: isGrave ? "grave" : "" })));
  }
  all.forEach(([, , press], at) => (place.children[at].onclick = press));
  place.hidden = all.length === 0;
}

find("device-close").addEventListener("click", closeDevice);
sheet.addEventListener("close", () => (shown = null));
// A press beside the sheet closes it.
sheet.addEventListener("click", (event) => event.target === sheet && sheet.close());
