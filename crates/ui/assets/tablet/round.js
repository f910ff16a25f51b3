// What was paired in this tab: a round of many monitors, one after the other.

import { find, put } from "./dom.js";
import { number, text } from "./texts.js";

const KEPT = "zmon.round";
const paired = [];
let whose = null;

/** This operator's round, as it was before the page was loaded anew in this tab. */
export function restore(operator) {
  const kept = JSON.parse(sessionStorage.getItem(KEPT) ?? "null");
  whose = operator;
  paired.length = 0;
  if (kept?.operator === operator) paired.push(...kept.paired);
  draw();
}

/** Adds a monitor, once for each session. */
export function add(session) {
  if (paired.some(({ id }) => id === session.id)) return;
  paired.push({ id: session.id, deviceId: session.deviceId, bed: session.bed, label: session.label });
  draw();
}

function draw() {
  sessionStorage.setItem(KEPT, JSON.stringify({ operator: whose, paired }));
  find("round").hidden = paired.length === 0;
  put(find("round-title"), text("round", { count: number(paired.length) }));
  find("round-list").replaceChildren(
    ...paired.map(({ deviceId, bed, label }) => {
      const item = document.createElement("li");
      item.textContent = [deviceId, bed, label].filter(Boolean).join(" · ");
      return item;
    }).reverse(),
  );
}
