// What was paired in this tab: a round of many monitors, one after the other.

import { find, put } from "./dom.js";
import { number, text } from "./texts.js";

const KEPT = "zmon.round";
const paired = [];

/** What was there before the page was loaded anew in this tab. */
export function restore() {
  paired.push(...JSON.parse(sessionStorage.getItem(KEPT) ?? "[]"));
}

/** Adds a monitor, once for each session. */
export function add(session) {
  if (paired.some(({ id }) => id === session.id)) return;
  paired.push({ id: session.id, deviceId: session.deviceId, bed: session.bed, label: session.label });
  draw();
}

/** Another operator, another round. */
export function clear() {
  paired.length = 0;
  draw();
}

export function draw() {
  sessionStorage.setItem(KEPT, JSON.stringify(paired));
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
