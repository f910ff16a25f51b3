// Batches of pairings: the list of them, and one as it goes on.

import { find, notify, put } from "/page/dom.js";
import { number, problemTexts, text, word } from "/page/texts.js";
import { batch as batchOf, batchEvents, batches, batchReport, moveBatch, openBatch, retryBatch } from "/console/api.js";
import { ask, must } from "/console/ask.js";
import { exactTime, time } from "/console/say.js";
import { drawPager, ROWS, Table } from "/console/table.js";

const TONES = { waiting: "plain", pairing: "busy", paired: "good", failed: "bad", skipped: "none", open: "good", paused: "busy", closed: "none" };
const PARTS = ["paired", "failed", "pairing", "waiting", "skipped"];
const NAME_MAX = 64;

let context = null;
let offset = 0;
/** The batch that is looked at; none: the list. */
let id = null;
let stream = null;
/** Where the batch stands that is looked at. */
let state = "closed";

const total = (counts) => PARTS.reduce((all, part) => all + counts[part], 0);
const mayRetry = ({ state, attempts }) => state === "failed" && attempts > 0;
const mayRun = () => context.role !== "auditor";

const list = new Table("batches", (row) => row.batchId, [
  { text: (row) => row.batchName, isLink: true, press: (row) => (location.hash = `#/batches?batch=${row.batchId}`) },
  { text: (row) => word("batchStates", row.state), tone: (row) => TONES[row.state] },
  { text: ({ counts }) => text("pairedOf", { paired: number(counts.paired), total: number(total(counts)) }), tone: () => "plain" },
  { text: ({ counts }) => (counts.failed === 0 ? "" : number(counts.failed)), tone: () => "bad" },
  { text: (row) => row.operator },
  { text: (row) => time(row.openedAt) },
]);

const items = new Table("items", (row) => row.row, [
  { text: (row) => row.deviceId ?? row.deviceSerial ?? text("unreadable") },
  { text: (row) => row.bedId },
  { text: (row) => row.deviceLabel },
  { text: (row) => word("itemStates", row.state), tone: (row) => TONES[row.state] },
  { text: (row) => (row.problem ? problemTexts(row.problem).cause : "") },
  { text: (row) => (row.endedAt ? exactTime(row.endedAt) : "") },
  { text: (row) => number(row.row) },
  {
    text: (row) => (mayRetry(row) && mayRun() && state !== "closed" ? text("retry") : ""),
    name: (row) => text("retryTitle", { device: row.deviceId ?? row.deviceSerial }),
    press: (row) => retry([row.row]),
  },
]);

export function open(of) {
  context = of;
  id = of.query.get("batch");
  offset = 0;
  leave();
  notify("batches-notice");
  find("batches-list").hidden = id !== null;
  find("batch").hidden = id === null;
  if (id === null) return;
  stream = new EventSource(batchEvents(id));
  // What it says the page asks for itself: so there is one way to draw.
  stream.addEventListener("batch", () => context.refresh());
}

/** Nobody looks at it any more. */
export function leave() {
  stream?.close();
  stream = null;
}

export async function refresh(isCurrent) {
  const [of, from] = [id, offset];
  if (of !== null) {
    const view = await batchOf(of);
    if (isCurrent()) draw(view);
    return;
  }
  const page = await batches({ offset: from, limit: ROWS });
  if (!isCurrent()) return;
  list.draw(page.batches, text("noBatches"));
  drawPager("batches", from, page.batches.length, page.total, (to) => {
    offset = to;
    context.refresh();
  });
}

function draw(view) {
  state = view.state;
  const { counts } = view;
  // Nothing moves any more.
  if (state === "closed" && counts.pairing === 0) leave();
  const all = total(counts);
  put(find("batch-name"), view.batchName);
  put(find("batch-state"), word("batchStates", state));
  find("batch-state").dataset.tone = TONES[state];
  find("batch-progress").max = all;
  find("batch-progress").value = all - counts.waiting - counts.pairing;
  const parts = PARTS.filter((part) => counts[part] > 0);
  put(find("batch-words"), parts.map((part) => `${word("itemStates", part)}: ${number(counts[part])}`).join(" · "));
  put(find("batch-slots"), text("batchSlots", { count: number(view.concurrency) }));
  items.draw(view.items, "");
  const failed = view.items.filter(mayRetry).length;
  const actions = { pause: state === "open", resume: state === "paused", retry: state !== "closed" && failed > 0, close: state !== "closed" };
  for (const [name, isPossible] of Object.entries(actions)) find(`batch-${name}`).hidden = !isPossible || !mayRun();
  find("batch-report").href = batchReport(view.batchId);
}

async function done(message) {
  notify("batches-notice", message);
  await context.refresh();
}

/** What is asked, and said afterwards. */
const MOVES = {
  pause: ["pauseBatch", "pauseBatchWhy", "pauseBatchDone"],
  resume: ["resumeBatch", "resumeBatchWhy", "resumeBatchDone"],
  close: ["closeBatch", "closeBatchWhy", "closeBatchDone"],
};

/** Asks first: somebody else may be scanning for it. */
function askMove(name, isGrave) {
  const of = id;
  const [title, why, said] = MOVES[name];
  ask({
    title: text(title),
    words: text(why),
    ok: text(title),
    isGrave,
    act: async () => {
      await moveBatch(of, name);
      await done(text(said));
    },
  });
}

function retry(rows) {
  const of = id;
  ask({
    title: text("retryFailed"),
    words: text("retryWhy"),
    ok: text("retry"),
    act: async () => {
      const answer = await retryBatch(of, rows);
      await done(text("retried", { count: number(answer.rows.length) }));
    },
  });
}

find("batch-pause").addEventListener("click", () => askMove("pause", false));
find("batch-resume").addEventListener("click", () => askMove("resume", false));
find("batch-close").addEventListener("click", () => askMove("close", true));
find("batch-retry").addEventListener("click", () => retry(undefined));
find("batch-new").addEventListener("click", () =>
  ask({
    title: text("newBatch"),
    words: text("newBatchWhy"),
    fields: [{ name: "name", label: text("batchName") }, { name: "file", label: text("manifestFile"), kind: "file" }],
    ok: text("openBatch"),
    act: async ({ name, file }) => {
      if (name === "" || name.length > NAME_MAX) must(text("nameMissing"));
      const view = await openBatch(name, file ?? must(text("fileMissing")));
      location.hash = `#/batches?batch=${view.batchId}`;
    },
  }));
