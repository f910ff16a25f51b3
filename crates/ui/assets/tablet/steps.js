// The views after bed and label: each step as it happens, and how it ended.

import { facts, find, notify, put, show } from "./dom.js";
import { problemTexts, text, word } from "./texts.js";

const PLACE = { dialling: 1, identified: 2, issuing: 2, delivering: 3, awaitingCommit: 4, paired: 5 };
/** From here on the monitor decides. */
const LAST = 4;
const items = [...find("step-list").children];

/** Shows where a session is. */
export function drawSteps(session, { phase, tested }) {
  show("steps");
  put(find("steps-title"), text("stepsTitle", { device: session.deviceId }));
  const now = phase === "delivering" && tested ? LAST : PLACE[phase];
  items.forEach((item, index) => {
    const isDone = index + 1 < now;
    item.dataset.done = String(isDone);
    if (index + 1 === now) item.setAttribute("aria-current", "step");
    else item.removeAttribute("aria-current");
  });
  put(find("step-now"), items[now - 1]?.textContent ?? "");
  find("steps-cancel").hidden = now >= LAST;
}

/** Shows the words that are to be compared, from when the monitor may show them until somebody has confirmed. */
export function drawWords({ phase, tested, words }) {
  const isAsked = ["delivering", "awaitingCommit"].includes(phase) && !tested;
  put(find("words-four"), words ?? "");
  find("words").hidden = words === undefined || !isAsked;
}

/** Why a session could not be given up. */
export const refuseSteps = (message = "") => notify("steps-refusal", message);

/** Shows that the monitor is paired. */
export function drawPaired(session, station) {
  end("good", text("pairedTitle"), text("pairedCause", { device: session.deviceId }), text("pairedNext"));
  facts(find("end-facts"), [
    [text("monitor"), session.deviceId], [text("serial"), session.serial],
    [text("bed"), session.bed], [text("label"), session.label], [text("pairsWith"), station],
  ]);
  put(find("next"), text("next"));
  find("end-typed").hidden = true;
}

/** Shows why a monitor is not paired, and what to do. */
export function drawFailed(problem, reason = undefined) {
  const { cause, next } = reason ?? problemTexts(problem);
  end("bad", text("failedTitle"), cause, next);
  const isOurs = problem?.code && problem.step;
  facts(find("end-facts"), isOurs ? [
    [text("step"), word("steps", problem.step)], [text("side"), word("sides", problem.side)],
    [text("code"), problem.code],
  ] : []);
  put(find("next"), text("scanAgain"));
  find("end-typed").hidden = false;
}

function end(tone, title, cause, next) {
  put(find("end-title"), title);
  find("end-card").dataset.tone = tone;
  find("end-card").querySelector("use").setAttribute("href", `#icon-${tone}`);
  put(find("end-cause"), cause);
  put(find("end-next"), next);
  find("end-courier").hidden = true;
  show("end");
}
