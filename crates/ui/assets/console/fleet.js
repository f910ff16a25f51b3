// The registry as a table, with live links.

import { find, notify } from "/page/dom.js";
import { number, text } from "/page/texts.js";
import { devices, importManifest } from "/console/api.js";
import { ask, must } from "/console/ask.js";
import { openDevice } from "/console/device.js";
import { ago, date, ending, standing } from "/console/say.js";
import { drawPager, ROWS, Table } from "/console/table.js";

const PAUSE = 300;

const filter = { text: "", state: "", offset: 0 };
let context = null;
let typing = 0;

const table = new Table("fleet", (row) => row.deviceId, [
  { text: (row) => row.deviceId, isLink: true, press: (row) => openDevice(row, context) },
  { text: (row) => standing(row).word, tone: (row) => standing(row).tone },
  { text: (row) => (row.link ? ago(row.link.secondsAgo) : "") },
  { text: (row) => row.bedId },
  { text: (row) => row.deviceLabel },
  { text: (row) => date(row.certificateNotAfter), tone: (row) => ending(row.certificateNotAfter) },
  { text: (row) => row.model },
  { text: (row) => row.deviceSerial },
]);

export function open(of) {
  context = of;
  filter.text = of.query.get("text") ?? "";
  filter.state = of.query.get("state") ?? "";
  filter.offset = 0;
  find("fleet-state").value = filter.state;
  // A word that is no state is none.
  filter.state = find("fleet-state").value;
  find("fleet-text").value = filter.text;
  notify("fleet-notice");
}

export async function refresh(isCurrent) {
  const asked = { ...filter };
  const list = await devices({ ...asked, limit: ROWS });
  if (!isCurrent()) return;
  const isFiltered = asked.text !== "" || asked.state !== "";
  table.draw(list.devices, text(isFiltered ? "noneFound" : "noMonitors"));
  drawPager("fleet", asked.offset, list.devices.length, list.total, (offset) => {
    filter.offset = offset;
    context.refresh();
  });
}

/** The address says what is looked at, so that a reload looks at the same. */
function filterBy(changed) {
  Object.assign(filter, changed, { offset: 0 });
  const said = new URLSearchParams(Object.entries({ text: filter.text, state: filter.state }).filter(([, value]) => value !== ""));
  history.replaceState(null, "", String(said) === "" ? "#/fleet" : `#/fleet?${said}`);
  context.refresh();
}

find("fleet-text").addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(() => filterBy({ text: find("fleet-text").value.trim() }), PAUSE);
});
find("fleet-state").addEventListener("change", (event) => filterBy({ state: event.target.value }));
find("fleet-filter").addEventListener("submit", (event) => {
  event.preventDefault();
  clearTimeout(typing);
  filterBy({ text: find("fleet-text").value.trim() });
});
find("import").addEventListener("click", () =>
  ask({
    title: text("importManifest"),
    words: text("importWhy"),
    fields: [{ name: "file", label: text("manifestFile"), kind: "file" }],
    ok: text("importOk"),
    act: async ({ file }) => {
      const answer = await importManifest(file ?? must(text("fileMissing")));
      const { added, changed, unchanged } = answer;
      notify("fleet-notice", text("imported", { added: number(added), changed: number(changed), unchanged: number(unchanged) }));
      context.refresh();
    },
  }));
