// The device's screen: follows the device, presses its buttons.

import { draw, drawFound, drawLost, drawQr, drawRefusal, fitQr, route } from "./draw.js";
import { askPin, closePin } from "./pin.js";
import { speak, text } from "./texts.js";

/** The device gives a sign of life every 5 s. */
const SILENCE = 12_000;
const AGAIN = 1_000;
const NEEDS_PIN = ["enter", "reprovision", "migrate", "postpone", "confirmStation"];

let source = null;
let heard = 0;
let view = null;
let qr = "";
let assets = null;
let isLost = true;
let isPressing = false;

function connect() {
  source?.close();
  heard = performance.now();
  source = new EventSource("/api/screen/events");
  source.addEventListener("screen", (event) => seen({ screen: JSON.parse(event.data) }));
  source.addEventListener("qr", (event) => seen({ qr: event.data }));
  source.addEventListener("alive", () => seen({}));
  source.addEventListener("error", () => {
    lose();
    // The browser asks again by itself, unless it was refused.
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, AGAIN);
  });
}

/** Draws the newest of everything; events that come while texts are loaded are not lost. */
async function seen(news) {
  heard = performance.now();
  const before = view?.status.state;
  if (news.screen !== undefined) view = news.screen;
  if (news.qr !== undefined) qr = news.qr;
  if (view === null) return;
  assets ??= view.assets;
  if (view.assets !== assets) return location.reload();
  await speak(view.language);
  if (view === null) return;
  if (before !== view.status.state) {
    drawRefusal(undefined);
    if (!view.actions.some((action) => NEEDS_PIN.includes(action))) closePin();
  }
  if (news.screen !== undefined || isLost) draw(view, press);
  if (news.qr !== undefined || isLost) drawQr(qr);
  if (isLost) {
    isLost = false;
    drawFound();
    fitQr();
  }
}

/** What was shown may be wrong by now. */
function lose() {
  if (isLost) return;
  isLost = true;
  closePin();
  drawLost(view !== null);
  view = null;
  qr = "";
}

async function press(action) {
  if (isPressing) return;
  drawRefusal(undefined);
  isPressing = true;
  try {
    if (NEEDS_PIN.includes(action)) {
      // Who confirms a station confirms the words that were shown when the button was pressed.
      const words = action === "confirmStation" ? { words: view.status.confirmation?.words } : {};
      await askPin(text(action), (proof) => post({ [action]: { ...proof, ...words } }));
    } else {
      drawRefusal(await post({ [action]: {} }));
    }
  } finally {
    isPressing = false;
  }
}

/** Sends a request; returns the problem document of a refusal. */
async function post(request) {
  const answer = await fetch("/api/screen/press", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(request),
  }).catch(() => undefined);
  if (answer === undefined) return { code: "", title: text("lost"), next: "" };
  if (!answer.ok) return answer.json();
}

setInterval(() => {
  if (performance.now() - heard > SILENCE) {
    lose();
    connect();
  }
}, AGAIN);
addEventListener("hashchange", () => view !== null && route());
addEventListener("resize", fitQr);
connect();
