// The view with the camera: what it sees, what that is, and what to do where there is none.

import { find, notify, put, show } from "./dom.js";
import { Camera, readPhoto } from "./camera.js";
import { choose } from "./qr.js";
import { text } from "./texts.js";

/** So long without a readable picture, and how to hold the tablet is said again. */
const STEADY = 10_000;
const NOTICES = { url: "qrUrl", cut: "qrCut", foreign: "qrForeign", several: "qrSeveral" };
const REASONS = {
  insecure: "cameraInsecure", refused: "cameraRefused", none: "cameraNone", busy: "cameraBusy",
  decoder: "decoderFailed",
};

const video = find("camera");
let camera = null;
let run = 0;
let hint = 0;
let found = null;

/** Shows the view; `scanned` gets the first code that is a monitor's. `notice` says why we are here. */
export async function openScan(scanned, notice = "") {
  found = scanned;
  show("scan", close);
  notify("scan-notice", notice);
  await startCamera();
}

async function startCamera() {
  const mine = (run += 1);
  explain("");
  camera?.stop();
  camera = null;
  try {
    const started = await Camera.start(video, see, noCamera);
    // Meanwhile the view may have been left; then nobody may keep the camera.
    if (mine !== run) return started.stop();
    camera = started;
    hint = setTimeout(() => put(find("scan-hint"), text("scanSteady")), STEADY);
  } catch (why) {
    if (mine === run) noCamera(why);
  }
}

function close() {
  run += 1;
  clearTimeout(hint);
  camera?.stop();
  camera = null;
}

function noCamera(why) {
  if (!(why in REASONS)) throw why;
  clearTimeout(hint);
  camera = null;
  explain(text(REASONS[why]));
  find("camera-again").hidden = why === "insecure";
}

/** Why there is no picture; nothing while there is one. */
function explain(reason) {
  const place = find("no-camera");
  place.hidden = reason === "";
  video.hidden = reason !== "";
  put(place, reason);
  put(find("scan-hint"), text(reason === "" ? "scanHint" : "withoutCamera"));
  find("camera-again").hidden = true;
}

function see(texts) {
  if (texts.length === 0) return;
  const one = choose(texts);
  if (one.kind !== "ours") return notify("scan-notice", text(NOTICES[one.kind]));
  const tell = found;
  close();
  tell(one);
}

find("camera-again").addEventListener("click", startCamera);
find("to-photo").addEventListener("click", () => find("photo").click());
find("photo").addEventListener("change", async (event) => {
  const [file] = event.target.files;
  event.target.value = "";
  if (file === undefined) return;
  notify("scan-notice", text("photoReading"));
  try {
    const texts = await readPhoto(file);
    if (texts.length === 0) notify("scan-notice", text("photoNothing"));
    see(texts);
  } catch {
    notify("scan-notice", text("photoFailed"));
  }
});
