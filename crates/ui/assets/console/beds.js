// Which monitor stands at which bed, by the registry.

import { notify } from "/page/dom.js";
import { text } from "/page/texts.js";
import { devices } from "/console/api.js";
import { askMove } from "/console/changes.js";
import { openDevice } from "/console/device.js";
import { standing } from "/console/say.js";
import { drawPager, ROWS, Table } from "/console/table.js";

let context = null;
let offset = 0;
/** Beds that more than one monitor has, as far as this page shows. */
let shared = new Set();

const isOut = (row) => row.status !== "active";

const table = new Table("beds", (row) => row.deviceId, [
  {
    text: (row) => (shared.has(row.bedId) ? text("bedTwice", { bed: row.bedId }) : row.bedId ?? text("noBed")),
    tone: (row) => (shared.has(row.bedId) ? "busy" : row.bedId ? "plain" : "none"),
  },
  { text: (row) => row.deviceId, isLink: true, press: (row) => openDevice(row, context) },
  { text: (row) => row.deviceLabel },
  { text: (row) => standing(row).word, tone: (row) => standing(row).tone },
  {
    text: (row) => (isOut(row) ? "" : text("move")),
    name: (row) => text("moveTitle", { device: row.deviceId }),
    press: (row) => askMove(row, async (message) => {
      notify("beds-notice", message);
      await context.refresh();
    }),
  },
]);

export function open(of) {
  context = of;
  offset = 0;
  notify("beds-notice");
}

export async function refresh(isCurrent) {
  const from = offset;
  const list = await devices({ order: "bed", offset: from, limit: ROWS });
  if (!isCurrent()) return;
  const beds = list.devices.filter((row) => row.bedId && !isOut(row)).map((row) => row.bedId);
  shared = new Set(beds.filter((bed, at) => beds.indexOf(bed) !== at));
  table.draw(list.devices, text("noMonitors"));
  drawPager("beds", from, list.devices.length, list.total, (to) => {
    offset = to;
    context.refresh();
  });
}
