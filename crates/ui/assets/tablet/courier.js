// The view for a monitor that the station cannot reach: its messages go by hand, as files, in two trips.
// The station says what waits; what is brought back is looked at here first, so that a wrong file costs
// nothing.

import { bringBack, message, Refusal } from "./api.js";
import { find, notify, put, show, shown } from "./dom.js";
import { number, problemLine, text } from "./texts.js";

/** The two trips, by the phase in which the station waits. */
const TRIPS = {
  dialling: { number: 1, message: "session", file: "hello.json", reply: "identity", answer: "identity.json" },
  awaitingCommit: { number: 2, message: "configuration", file: "envelope.json", reply: "status", answer: "status.json" },
};
/** No answer of a monitor is longer. */
const LONGEST = 65_536;

const download = find("courier-download");
const upload = find("courier-upload");
const file = find("courier-file");
let session = null;
let trip = null;
let isBusy = false;

/** Shows which trip it is, or that the station is at work between the two. */
export function drawCourier(of, { phase }) {
  const next = TRIPS[phase] ?? null;
  if (session !== of || trip !== next) {
    notify("courier-refusal");
    if (session !== of || next !== null) notify("courier-notice");
  }
  session = of;
  trip = next;
  show("courier");
  put(find("courier-title"), text("courierTitle", { device: of.deviceId }));
  // A run of the typed code waits half a minute for each answer: no file is that fast.
  const isTooSlow = of.isTyped && trip?.number === 1;
  find("courier-steps").hidden = trip === null || isTooSlow;
  put(find("courier-why"), text(isTooSlow ? "courierTyped" : "courierWhy"));
  if (isTooSlow) find("courier-both").open = true;
  put(find("courier-command"), `zmon courier --session ${of.id}`);
  if (trip === null) return put(find("courier-trip"), text("courierBetween"));
  const names = { file: trip.file, answer: trip.answer };
  if (isTooSlow) return put(find("courier-trip"), text("courierWaits"));
  put(find("courier-trip"), text("courierTrip", { trip: number(trip.number), trips: number(2) }));
  put(find("courier-fetch"), text("courierFetch", names));
  put(download, text("courierDownload", names));
  put(find("courier-carry"), text("courierCarry", names));
  put(find("courier-bring"), text(trip.number === 1 ? "courierBring" : "courierBringLast", names));
  put(upload, text("courierUpload", names));
}

/** Why it could not be given up. */
export const refuseCourier = (said) => tell("courier-refusal", said);

/** Says it where it is seen: on small screens the buttons may fill the view. */
function tell(place, said) {
  notify(place, said);
  find(place).scrollIntoView({ block: "nearest" });
}

/** One thing at a time; what it was for may be over when it is done. */
async function alone(act) {
  if (isBusy) return;
  const [of, on] = [session, trip];
  const isHere = () => session === of && trip === on && shown() === "courier";
  isBusy = true;
  notify("courier-refusal");
  try {
    await act(of, on, isHere);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    if (isHere()) tell("courier-refusal", problemLine(error.problem));
  } finally {
    isBusy = false;
  }
}

async function fetchMessage(of, on, isHere) {
  const { v, sessionId, deviceId, message: said } = await message(of.id);
  if (!isHere()) return;
  if (said?.[on.message] === undefined) return tell("courier-refusal", text("courierNothing"));
  const bytes = new Blob([JSON.stringify({ v, sessionId, deviceId, message: said })], { type: "application/json" });
  const link = document.createElement("a");
  link.href = URL.createObjectURL(bytes);
  link.download = on.file;
  link.click();
  // The browser has taken it by then, or never will.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  tell("courier-notice", text("courierSaved", { file: on.file }));
}

async function takeAnswer(chosen, of, on, isHere) {
  const { wrong, answer } = judge(await chosen.slice(0, LONGEST + 1).text(), of, on);
  if (!isHere()) return;
  if (wrong !== undefined) {
    return tell("courier-refusal", text(wrong, { chosen: chosen.name, file: on.file, answer: on.answer }));
  }
  await bringBack(of.id, answer);
  tell("courier-notice", text("courierTaken", { answer: on.answer }));
}

/** What a file is: the answer that is waited for, or which text says why it is not. */
function judge(content, of, on) {
  if (content.length > LONGEST) return { wrong: "courierForeign" };
  let answer;
  try {
    answer = JSON.parse(content);
  } catch {
    return { wrong: "courierForeign" };
  }
  if (answer?.message !== undefined) return { wrong: "courierOwn" };
  if (typeof answer?.reply !== "object" || answer.reply === null) return { wrong: "courierForeign" };
  if (answer.sessionId !== of.id) return { wrong: "courierOther" };
  if (answer.reply[on.reply] === undefined) return { wrong: "courierEarlier" };
  return { answer };
}

download.addEventListener("click", () => alone(fetchMessage));
upload.addEventListener("click", () => file.click());
file.addEventListener("change", () => {
  const [chosen] = file.files;
  file.value = "";
  if (chosen !== undefined) alone((...at) => takeAnswer(chosen, ...at));
});
