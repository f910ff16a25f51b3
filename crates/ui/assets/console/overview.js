// Figures at a glance; those about monitors lead to the list of them.

import { find, put } from "/page/dom.js";
import { number, text } from "/page/texts.js";
import { overview } from "/console/api.js";
import { setClock, time } from "/console/say.js";

export const open = () => {};

export async function refresh(isCurrent) {
  const figures = await overview();
  setClock(figures.time);
  if (!isCurrent()) return;
  const { active, provisioned, connected, expiring, expired } = figures;
  const all = {
    active, connected, expiring, expired,
    disconnected: provisioned - connected,
    unprovisioned: active - provisioned,
    paired: figures.pairedLastDay,
    open: figures.openSessions,
    junk: figures.junkRefused,
  };
  for (const [name, value] of Object.entries(all)) {
    put(find(`figure-${name}`), number(value));
    find(`figure-${name}`).dataset.tone = tone(name, value);
  }
  put(find("since"), text("since", { time: time(figures.since) }));
}

/** What somebody should look at stands out, and only while there is something. */
function tone(name, value) {
  if (value === 0) return "none";
  return { connected: "good", disconnected: "bad", expired: "bad", expiring: "busy" }[name] ?? "plain";
}
