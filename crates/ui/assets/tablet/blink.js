// Which of ten monitors is it? The one of this session blinks, on its own screen.

import { blink, Refusal } from "./api.js";
import { find, notify, shown } from "./dom.js";
import { number, problemLine, text } from "./texts.js";

const button = find("bed-blink");
let session = null;
let over = 0;

/** Offers it for a session: where its monitor is claimed, and nobody has to carry the request by hand. */
export function offerBlink(of, { phase, delivery }) {
  if (session?.id !== of.id) {
    session = of;
    quiet();
  }
  button.hidden = phase !== "identified" || delivery === "courier";
}

/** Ready to be pressed, nothing to be said. */
function quiet() {
  clearTimeout(over);
  button.disabled = false;
  notify("bed-blinking");
}

async function ask() {
  if (button.disabled) return;
  const of = session;
  const isHere = () => session === of && shown() === "bed";
  button.disabled = true;
  notify("bed-blinking", text("blinkAsked"));
  try {
    const { seconds } = await blink(of.id);
    if (!isHere()) return;
    notify("bed-blinking", text("blinking", { seconds: number(seconds) }));
    over = setTimeout(() => isHere() && quiet(), seconds * 1000);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    if (!isHere()) return;
    quiet();
    notify("bed-blinking", problemLine(error.problem));
  }
}

button.addEventListener("click", ask);
