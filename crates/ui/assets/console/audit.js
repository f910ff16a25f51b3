// The station's audit log, newest first: what was done, by whom, and whether the chain holds.

import { Refusal } from "/page/api.js";
import { find, notify } from "/page/dom.js";
import { number, problemLine, text } from "/page/texts.js";
import { audit, verifyAudit } from "/console/api.js";
import { exportLog } from "/console/export.js";
import { exactTime } from "/console/say.js";
import { ROWS, Table } from "/console/table.js";

let context = null;
/** The page begins before this row; 0 = with the newest. */
let before = 0;
let next = undefined;

const words = (name) => name.replaceAll("_", " ");
const facts = (row) => Object.entries(row.detail ?? {}).map(([name, value]) => `${name} ${value}`).join(" · ");

const table = new Table("audit", (row) => row.seq, [
  { text: (row) => exactTime(row.timestamp) },
  {
    text: (row) => words(row.eventType) + (row.success ? "" : ` – ${words(row.code ?? "failed")}`),
    tone: (row) => (row.success ? "plain" : "bad"),
  },
  { text: (row) => row.actor },
  { text: (row) => row.deviceId },
  { text: facts },
  { text: (row) => String(row.seq) },
]);

export function open(of) {
  context = of;
  before = 0;
  notify("audit-notice");
  verify();
}

export async function refresh(isCurrent) {
  const from = before;
  const page = await audit({ before: from, limit: ROWS });
  if (!isCurrent()) return;
  next = page.next;
  table.draw(page.rows, text("noRows"));
  find("audit-newest").disabled = from === 0;
  find("audit-older").disabled = next === undefined;
}

async function verify() {
  const button = find("audit-verify");
  if (button.disabled) return;
  button.disabled = true;
  notify("chain", text("verifying"));
  find("chain").dataset.tone = "none";
  try {
    const { intact, rows, checkpoints, finding } = await verifyAudit();
    const values = { rows: number(rows), checkpoints: number(checkpoints) };
    notify("chain", intact ? text("chainIntact", values) : text("chainBroken", { finding: finding ?? "" }));
    find("chain").dataset.tone = intact ? "good" : "bad";
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    notify("chain", problemLine(error.problem));
    find("chain").dataset.tone = "bad";
  } finally {
    button.disabled = false;
  }
}

async function save(kind) {
  const buttons = [find("audit-jsonl"), find("audit-csv")];
  if (buttons[0].disabled) return;
  for (const button of buttons) button.disabled = true;
  try {
    const count = await exportLog(kind, (rows) => notify("audit-notice", text("exporting", { rows: number(rows) })));
    notify("audit-notice", text("exported", { rows: number(count) }));
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    notify("audit-notice", problemLine(error.problem));
  } finally {
    for (const button of buttons) button.disabled = false;
  }
}

function turn(to) {
  before = to;
  context.refresh();
}

find("audit-verify").addEventListener("click", verify);
find("audit-jsonl").addEventListener("click", () => save("jsonl"));
find("audit-csv").addEventListener("click", () => save("csv"));
find("audit-newest").addEventListener("click", () => turn(0));
find("audit-older").addEventListener("click", () => turn(next));
