// The page for tablets: scan, choose bed and label, watch, next. The station's state is the only truth;
// what is drawn follows the session's events.

import * as api from "./api.js";
import { giveUp, openBed, refuseBed, remaining } from "./bed.js";
import { find, put, show, shown, translate } from "./dom.js";
import { Follower } from "./follow.js";
import { askLogin } from "./login.js";
import { drawCourier, refuseCourier } from "./courier.js";
import * as round from "./round.js";
import { openScan } from "./scan.js";
import * as signal from "./signal.js";
import { drawFailed, drawPaired, drawSteps, drawWords, refuseSteps } from "./steps.js";
import { preferred, problemLine, speak, tag, text } from "./texts.js";
import { clearTyped, openTyped, refuseTyped } from "./typed.js";

/** The session under way, for a page that is loaded anew. Its code opens nothing any more: the
 * monitor is claimed. */
const KEPT = "zmon.session";

let station = "";
let operator = null;
/** `{ id, deviceId, code, isTyped, serial, firmware, bed, label, isPairing }` */
let session = null;
let follower = null;
let state = null;
let reaching = null;
/** The last scan, for another try by another route. */
let last = null;

async function start() {
  await speak(preferred());
  find("language").value = tag;
  translate();
  api.onLoginEnded(async () => admit(await askLogin(text("loginEnded"))));
  const view = await untilAnswered(api.whoIsThere);
  greet(view);
  admit(view.login ? view : await askLogin(view.ended ? text("loginEnded") : ""));
  round.restore(operator);
  const kept = JSON.parse(sessionStorage.getItem(KEPT) ?? "null");
  if (kept?.operator === operator) follow(kept);
  else scan();
}

/** Asks until the station answers, and says meanwhile that it does not. */
async function untilAnswered(ask) {
  for (;;) {
    try {
      const answer = await ask();
      lost(false);
      return answer;
    } catch (error) {
      if (!(error instanceof api.Refusal)) throw error;
      lost(true);
      await new Promise((done) => setTimeout(done, 1_000));
    }
  }
}

function greet(view) {
  station = view.stationName;
  put(find("station").firstChild, station);
  document.title = `${text("title")} – ${station}`;
}

/** Somebody has logged in. What another operator had begun is not theirs. */
function admit(view) {
  greet(view);
  const before = operator;
  operator = view.login.operator;
  put(find("operator"), operator);
  find("who").hidden = false;
  if (before !== null && before !== operator) {
    forget();
    round.restore(operator);
    scan();
  }
}

function lost(isLost, message = text("stationLost")) {
  put(find("lost"), isLost ? message : "");
  document.body.dataset.lost = String(isLost);
}

/** Ready for the next monitor. */
function scan(notice = "") {
  forget();
  last = null;
  clearTyped();
  openScan((scanned) => reachScanned(scanned), notice);
}

/** With `delivery` the station dials nobody: it may not reach into every network. */
function reachScanned(scanned, delivery = undefined) {
  last = scanned;
  const { content, isOld } = scanned;
  return reach({ ...content, delivery }, content.deviceId, (problem) => scanFailed(problem, isOld));
}

function type() {
  forget();
  last = null;
  openTyped(
    (request) => reach(request, request.deviceId, (problem) => {
      type();
      refuseTyped(problem);
    }),
    () => scan(),
  );
}

/** Claims the monitor at once: bed and label come later. */
async function reach(request, deviceId, refused) {
  if (reaching !== null) return;
  reaching = new AbortController();
  put(find("claim-text"), text("claiming", { device: deviceId }));
  show("claim");
  try {
    const answer = await api.claim(request, reaching.signal);
    reaching = null;
    follow({
      id: answer.sessionId, deviceId, code: request.pairingCode, isTyped: request.pairingToken === undefined,
      serial: answer.deviceSerial, firmware: answer.firmwareVersion, operator,
    });
  } catch (error) {
    const isStopped = error.name === "AbortError";
    reaching = null;
    if (isStopped) return scan(text("stopped"));
    if (!(error instanceof api.Refusal)) throw error;
    refused(error.problem);
  }
}

function scanFailed(problem, isOld) {
  // Used up by this operator's own session, in another tab perhaps: its result is what counts.
  const own = /^\/api\/provisioning\/pair\/([0-9a-f-]{36})$/.exec(problem.instance ?? "")?.[1];
  if (own !== undefined) return follow({ id: own, operator });
  const unclear = ["device_unreachable", "claim_refused", "pairing_code_expired", "pairing_token_stale"];
  const old = { cause: text("qrOld"), next: text("qrOldNext") };
  fail(problem, isOld && unclear.includes(problem.code) ? old : undefined);
  find("end-courier").hidden = problem.code !== "address_not_permitted";
}

function fail(problem, reason) {
  forget();
  drawFailed(problem, reason);
  signal.bad();
}

/** From now on the session says what is shown. */
function follow(of) {
  forget();
  last = null;
  session = of;
  sessionStorage.setItem(KEPT, JSON.stringify(of));
  // The back button leads nowhere from here; see `popstate`.
  history.pushState({ session: of.id }, "");
  follower = new Follower(of.id, {
    state: (news) => session === of && draw(news),
    lost,
    gone: (problem) => session === of && fail(problem),
  });
}

function draw(news) {
  state = news;
  session.deviceId ??= news.deviceId;
  session.serial ??= news.deviceSerial;
  session.firmware ??= news.firmwareVersion;
  switch (news.phase) {
    case "dialling":
    case "identified":
      if (session.isPairing) return drawWay(news);
      openBed(session, station, news, confirm);
      if (news.secondsLeft !== undefined) remaining(news.secondsLeft);
      return;
    case "paired":
      round.add(session);
      drawPaired(session, station);
      forget();
      return signal.good();
    case "released":
      // Somebody's wish is no failure.
      if (news.problem.code === "cancelled") return scan(text("givenUp"));
      return fail(news.problem, tooLate(news.problem));
    case "failed":
      return fail(news.problem);
    default:
      drawWay(news);
  }
}

/** The bed is chosen: the monitor is paired step by step, or somebody carries its messages. */
function drawWay(news) {
  if (news.delivery === "courier" && news.phase !== "identified") drawCourier(session, news);
  else drawSteps(session, news);
  drawWords(news);
}

/** Where nobody has failed: the two minutes are over. */
const tooLate = ({ code }) =>
  code === "session_expired" ? { cause: text("tooLate"), next: text("tooLateNext") } : undefined;

async function confirm({ bed, label }) {
  if (session === null || session.isPairing) return;
  const of = Object.assign(session, { bed, label, isPairing: true });
  sessionStorage.setItem(KEPT, JSON.stringify(of));
  refuseSteps();
  drawWay(state);
  const request = { deviceId: of.deviceId, pairingCode: of.code, sessionId: of.id };
  if (bed !== "") request.bedId = bed;
  if (label !== "") request.deviceLabel = label;
  try {
    await api.pair(request);
  } catch (error) {
    if (!(error instanceof api.Refusal)) throw error;
    // The session's own last state says it better, if it has ended.
    if (session !== of || !["dialling", "identified"].includes(state.phase)) return;
    of.isPairing = false;
    draw(state);
    refuseBed(error.problem);
  }
}

/** Ends what is under way on this page; the station's session has its own end. */
function forget() {
  follower?.stop();
  follower = null;
  session = null;
  state = null;
  find("words").hidden = true;
  sessionStorage.removeItem(KEPT);
}

find("to-typed").addEventListener("click", type);
find("end-typed").addEventListener("click", type);
find("end-courier").addEventListener("click", () => reachScanned(last, "courier"));
find("next").addEventListener("click", () => scan());
find("claim-stop").addEventListener("click", () => reaching?.abort());
find("bed-cancel").addEventListener("click", () => giveUp(session?.id, refuseBed));
find("courier-cancel").addEventListener("click", () => giveUp(session?.id, (problem) => refuseCourier(problemLine(problem))));
find("steps-cancel").addEventListener("click", () => giveUp(session?.id, (problem) => refuseSteps(problemLine(problem))));
find("log-out").addEventListener("click", async () => {
  try {
    await api.logOut();
  } catch (error) {
    if (!(error instanceof api.Refusal)) throw error;
    if (api.isLost(error)) return lost(true);
  }
  forget();
  operator = null;
  find("who").hidden = true;
  admit(await askLogin());
  round.restore(operator);
  scan();
});
find("language").addEventListener("change", async (event) => {
  await speak(event.target.value);
  // Texts that were put together are made again with their view.
  location.reload();
});
addEventListener("popstate", () => {
  if (session === null) return;
  history.pushState({ session: session.id }, "");
  const places = { bed: (message) => refuseBed({ code: "", title: message, next: "" }), courier: refuseCourier };
  (places[shown()] ?? refuseSteps)(text("noWayBack", { device: session.deviceId }));
});
addEventListener("unhandledrejection", () => lost(true, text("broken")));
// A page out of the browser's memory would show what was.
addEventListener("pageshow", (event) => event.persisted && location.reload());

start();
