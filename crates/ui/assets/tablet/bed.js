// The view between scan and pairing: which monitor it is, and where it goes. It has two minutes.

import { bed as whoHas, cancel, device as registered, Refusal } from "./api.js";
import { offerBlink } from "./blink.js";
import { fault, find, notify, put, show, shown } from "./dom.js";
import { number, problemLine, text } from "./texts.js";

const ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
const HURRY = 30;
const PAUSE = 400;

const bed = find("bed-id");
const label = find("bed-label");
const agreed = find("bed-agreed");
const ok = find("bed-ok");
let session = null;
let deadline = null;
let clock = 0;
let typing = 0;
let looked = null;

/** Shows the view for a session, once, and what its news mean for it; `confirm` gets bed and label. */
export function openBed(of, station, news, confirm) {
  if (session?.id !== of.id || shown() !== "bed") begin(of, station);
  offerBlink(of, news);
  const way = of.isTyped ? "bedCourierTyped" : "bedCourier";
  notify("bed-courier", news.delivery === "courier" ? text(way) : "");
  find("bed-form").onsubmit = (event) => {
    event.preventDefault();
    submit(confirm);
  };
}

/** How many seconds are left, as the station says. */
export function remaining(seconds) {
  deadline = performance.now() + seconds * 1000;
  if (clock === 0) clock = setInterval(tick, 250);
  tick();
}

/** Why the station did not pair. */
export function refuseBed(problem) {
  ok.disabled = false;
  const field = { bedId: "bed-id", deviceLabel: "bed-label" }[problem.field];
  if (field === undefined) return notify("bed-refusal", problemLine(problem));
  fault(field, problemLine(problem));
  find(field).focus();
}

function begin(of, station) {
  session = of;
  deadline = null;
  looked = null;
  bed.value = of.bed ?? "";
  label.value = of.label ?? "";
  for (const field of ["bed-id", "bed-label"]) fault(field);
  for (const notice of ["bed-refusal", "bed-provisioned", "bed-taken"]) notify(notice);
  agree(false);
  ok.disabled = false;
  put(find("bed-device"), of.deviceId);
  put(find("bed-serial"), of.serial ?? "–");
  put(find("bed-firmware"), of.firmware ?? "–");
  put(find("bed-model"), "…");
  put(find("bed-now"), "…");
  put(find("bed-station"), station);
  put(find("bed-time"), "");
  put(find("bed-hurry"), "");
  show("bed", close);
  lookUp(of);
}

function close() {
  clearInterval(clock);
  clearTimeout(typing);
  clock = 0;
}

/** What the registry knows of the monitor: where it is, whether it works already. */
async function lookUp(of) {
  try {
    const row = await registered(of.deviceId);
    if (session !== of) return;
    put(find("bed-serial"), of.serial ?? row.deviceSerial);
    put(find("bed-model"), row.model ?? text("notKnown"));
    const place = [row.bedId, row.deviceLabel].filter(Boolean).join(" · ");
    put(find("bed-now"), place || text("noBed"));
    if (bed.value === "") bed.value = row.bedId ?? "";
    if (label.value === "") label.value = row.deviceLabel ?? "";
    if (row.provisioned) notify("bed-provisioned", text("alreadyProvisioned"));
    look();
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    // The station pairs without this answer; here it is only told.
    if (session === of) for (const fact of ["bed-model", "bed-now"]) put(find(fact), text("notKnown"));
  }
}

function tick() {
  if (deadline === null) return;
  const left = Math.max(0, Math.ceil((deadline - performance.now()) / 1000));
  const time = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
  put(find("bed-time"), text("timeLeft", { time }));
  find("bed-time").dataset.soon = String(left <= HURRY);
  // Said once, not every second.
  if (left <= HURRY) put(find("bed-hurry"), text("hurry"));
}

function agree(wanted) {
  find("bed-agree").hidden = !wanted;
  if (!wanted) agreed.checked = false;
}

/** Who has the bed that is typed now; `undefined` where the station does not say. */
function look() {
  const wanted = bed.value.trim();
  if (looked?.bed === wanted) return looked.answer;
  agree(false);
  notify("bed-taken");
  if (!ID.test(wanted)) {
    looked = null;
    return Promise.resolve([]);
  }
  const mine = { bed: wanted, of: session };
  looked = mine;
  mine.answer = whoHas(wanted).then(
    ({ devices }) => {
      const others = devices.filter(({ deviceId }) => deviceId !== mine.of.deviceId);
      if (looked !== mine) return others;
      const names = others.map(({ deviceId, deviceLabel }) => [deviceId, deviceLabel].filter(Boolean).join(" · "));
      notify("bed-taken", text(others.length === 0 ? "bedFree" : "bedTaken", { bed: wanted, monitors: names.join(", ") }));
      agree(others.length > 0);
      return others;
    },
    (error) => {
      if (looked === mine) looked = null;
      if (!(error instanceof Refusal)) throw error;
      return undefined;
    },
  );
  return mine.answer;
}

async function submit(confirm) {
  if (ok.disabled) return;
  notify("bed-refusal");
  fault("bed-label");
  const wanted = bed.value.trim();
  fault("bed-id", wanted === "" || ID.test(wanted) ? "" : text("idWrong"));
  if (wanted !== "" && !ID.test(wanted)) return bed.focus();
  ok.disabled = true;
  const of = session;
  const others = await look();
  if (session !== of || shown() !== "bed") return;
  if (others === undefined) {
    ok.disabled = false;
    return notify("bed-refusal", text("bedUnknown"));
  }
  if (others.length > 0 && !agreed.checked) {
    ok.disabled = false;
    return agreed.focus();
  }
  confirm({ bed: wanted, label: label.value.trim() });
}

bed.addEventListener("input", () => {
  fault("bed-id");
  clearTimeout(typing);
  typing = setTimeout(look, PAUSE);
});

/** Gives a session up; a session that has gone too far says so. */
export async function giveUp(id, refused) {
  try {
    await cancel(id);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    // Over already: its last state is on the way.
    const over = ["session_unknown", "session_expired"].includes(error.problem.code);
    if (!over) refused(error.problem);
  }
}
