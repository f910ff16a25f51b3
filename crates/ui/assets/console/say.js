// Times, ages and states in words. The station's clock counts, not this machine's.

import { number, tag, text, word } from "/page/texts.js";

const DAY = 86_400_000;
const SOON = 30 * DAY;
let ahead = 0;

/** The station says what time it is. */
export const setClock = (time) => (ahead = Date.parse(time) - Date.now());
const now = () => Date.now() + ahead;

export const time = (at) =>
  at === undefined ? "" : new Intl.DateTimeFormat(tag, { dateStyle: "medium", timeStyle: "short" }).format(new Date(at));
export const exactTime = (at) =>
  new Intl.DateTimeFormat(tag, { dateStyle: "short", timeStyle: "medium" }).format(new Date(at));
export const date = (at) =>
  at === undefined ? "" : new Intl.DateTimeFormat(tag, { dateStyle: "medium" }).format(new Date(at));

const UNITS = [["day", 86_400], ["hour", 3_600], ["minute", 60], ["second", 1]];

/** So many seconds, in their two largest units. */
export function span(seconds) {
  const parts = [];
  let left = seconds;
  for (const [unit, size] of UNITS) {
    const count = Math.floor(left / size);
    left -= count * size;
    if (count > 0) parts.push(new Intl.NumberFormat(tag, { style: "unit", unit, unitDisplay: "short" }).format(count));
  }
  return parts.slice(0, 2).join(" ") || new Intl.NumberFormat(tag, { style: "unit", unit: "second", unitDisplay: "short" }).format(0);
}

/** So many seconds ago, in one unit. */
export function ago(seconds) {
  const [unit, size] = UNITS.find(([, size]) => seconds >= size) ?? UNITS.at(-1);
  return new Intl.RelativeTimeFormat(tag, { style: "short" }).format(-Math.floor(seconds / size), unit);
}

export const bytes = (count) => text("bytes", { count: number(count) });

/** How a device stands: a word and its tone. */
export function standing(device) {
  if (device.status === "decommissioned") return { word: text("decommissioned"), tone: "none" };
  if (!device.provisioned) return { word: text("unprovisioned"), tone: "none" };
  return device.link?.connected
    ? { word: text("connected"), tone: "good" }
    : { word: text("disconnected"), tone: "bad" };
}

/** How the end of a certificate stands. */
export function ending(notAfter) {
  if (notAfter === undefined) return "none";
  const left = Date.parse(notAfter) - now();
  if (left < 0) return "bad";
  return left <= SOON ? "busy" : "plain";
}

const KINDS = {
  pending: "certificatePending", current: "certificateCurrent",
  superseded: "certificateSuperseded", revoked: "certificateRevoked",
};

/** Where a certificate stands, and why it was revoked. */
export function certificateState({ state, reason }) {
  const stands = text(KINDS[state]);
  return reason === undefined ? stands : `${stands}: ${word("reasons", reason)}`;
}

export const placeOf = (device) => [device.bedId, device.deviceLabel].filter(Boolean).join(" · ");
export const role = (name) => word("roles", name);
