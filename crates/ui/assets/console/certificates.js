// Certificates by their state, and when current ones end.

import { find, notify } from "/page/dom.js";
import { text } from "/page/texts.js";
import { certificates } from "/console/api.js";
import { askRevoke } from "/console/changes.js";
import { certificateState, date, ending } from "/console/say.js";
import { drawPager, ROWS, Table } from "/console/table.js";
import { drawTimeline } from "/console/timeline.js";

let context = null;
let offset = 0;
let expiry = [];

const isOver = (row) => row.state === "revoked";

const table = new Table("certificates", (row) => row.serial, [
  { text: (row) => row.deviceId },
  { text: (row) => date(row.notAfter), tone: (row) => (isOver(row) ? "none" : ending(row.notAfter)) },
  { text: certificateState, tone: (row) => (isOver(row) ? "bad" : "plain") },
  { text: (row) => date(row.issuedAt) },
  { text: (row) => row.serial, tone: () => "code" },
  {
    text: (row) => (isOver(row) ? "" : text("revoke")),
    name: (row) => text("revokeTitle", { device: row.deviceId }),
    press: (row) => askRevoke(row.serial, row.deviceId, async (message) => {
      notify("certificates-notice", message);
      await context.refresh();
    }),
  },
]);

export function open(of) {
  context = of;
  offset = 0;
  notify("certificates-notice");
}

export async function refresh(isCurrent) {
  const [state, from] = [find("certificates-state").value, offset];
  const list = await certificates({ state, offset: from, limit: ROWS });
  if (!isCurrent()) return;
  expiry = list.expiry;
  drawTimeline(expiry);
  table.draw(list.certificates, text("noCertificates"));
  drawPager("certificates", from, list.certificates.length, list.total, (to) => {
    offset = to;
    context.refresh();
  });
}

find("certificates-state").addEventListener("change", () => {
  offset = 0;
  context.refresh();
});
addEventListener("resize", () => drawTimeline(expiry));
