// The whole audit log as a file: as the station's interface gives it, or as a table.

import { audit } from "/console/api.js";

const PAGE = 1_000;
const COLUMNS = [
  "lane", "seq", "timestamp", "eventType", "deviceId", "sessionId", "actor", "success", "code",
  "errorMessage", "configurationHash", "detail", "hash",
];

/** RFC 4180; what a spreadsheet would take for a formula begins with a quote. */
function cell(value) {
  const text = value === undefined ? "" : typeof value === "object" ? JSON.stringify(value) : String(value);
  const safe = /^[=+\-@\t\r]/.test(text) && typeof value === "string" ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

const WRITE = {
  jsonl: { type: "application/jsonl", head: "", row: (row) => `${JSON.stringify(row)}\n` },
  csv: {
    type: "text/csv", head: `${COLUMNS.join()}\r\n`,
    row: (row) => `${COLUMNS.map((name) => cell(row[name])).join()}\r\n`,
  },
};

/** Fetches every row, oldest first, and saves them; returns how many. */
export async function exportLog(kind, progress) {
  const { type, head, row } = WRITE[kind];
  const parts = [head];
  let count = 0;
  for (let after = 0; after !== undefined;) {
    const { rows, next } = await audit({ after, limit: PAGE });
    parts.push(...rows.map(row));
    count += rows.length;
    progress(count);
    after = next;
  }
  const address = URL.createObjectURL(new Blob(parts, { type }));
  const link = document.createElement("a");
  link.href = address;
  link.download = `audit-${new Date().toISOString().slice(0, 10)}.${kind}`;
  link.click();
  URL.revokeObjectURL(address);
  return count;
}
