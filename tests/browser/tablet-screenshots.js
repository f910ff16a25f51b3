// Pictures of each view of the tablet's page, at four sizes, light and dark, as one sheet a view:
// `npm run screenshots`. They are for eyes and lie under target/screenshots.

import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { launch, launchWithCamera, schemes, sizes, TARGET, wire } from "./rig.js";
import { cameraFrame, content, film, ID, qrPicture, StationStage } from "./tablet-stage.js";

const SIZES = sizes([[800, 480], [1024, 768], [390, 844], [1440, 900]]);
const SCHEMES = schemes(["light", "dark"]);
const OUT = join(TARGET, "screenshots");

const scanned = async (page, stage) => {
  stage.answer("POST /api/provisioning/sessions", { then: () => stage.say("identified", { secondsLeft: 97 }) });
  await page.locator("#to-typed").click();
  await page.locator("#typed-device").fill("ZM-001");
  await page.locator("#typed-code").fill("ABC-123-XYZ");
  await page.locator("#typed-form button[type=submit]").click();
  await page.locator("#bed-now").filter({ hasNotText: "…" }).waitFor();
};
const typed = (device, code) => async (page) => {
  await page.locator("#to-typed").click();
  await page.locator("#typed-device").fill(device);
  await page.locator("#typed-code").pressSequentially(code);
};
/** A monitor that only a courier reaches, as a photo of its screen shows it. */
const couriered = async (page, stage) => {
  const body = { ...stage.pending, delivery: "courier" };
  stage.answer("POST /api/provisioning/sessions", { status: 202, body,
    then: () => stage.say("dialling", { delivery: "courier", secondsLeft: 104, deviceSerial: undefined, firmwareVersion: undefined }) });
  const buffer = Buffer.from((await qrPicture(JSON.stringify(await content()))).split(",")[1], "base64");
  await page.locator("#photo").setInputFiles({ name: "x.png", mimeType: "image/png", buffer });
  await page.locator("#bed-now").filter({ hasNotText: "…" }).waitFor();
};
const after = (phase, more) => async (page, stage) => {
  await scanned(page, stage);
  await page.locator("#bed-id").fill("ICU-3B");
  await page.locator("#bed-label").fill("ICU-MON-04");
  await page.locator("#bed-ok").click();
  await page.locator("body[data-view=steps]").waitFor();
  stage.say(phase, more);
};
const view = (name) => async (page) => page.locator(`body[data-view=${name}]`).waitFor();

/** What is looked at: a name, what to do before the picture, what to wait for. */
const SCENES = [
  ["login", async (page, stage) => { await page.locator("#log-out").click(); await view("login")(page); }],
  ["scan", async () => {}],
  ["typed", typed("ZM-001", "ABC12")],
  ["typed-typo", typed("ZM-001", "ABC123XYA")],
  ["claim", async (page, stage) => {
    stage.answer("POST /api/provisioning/sessions", { hold: new Promise(() => {}) });
    await typed("ZM-001", "ABC123XYZ")(page);
    await page.locator("#typed-form button[type=submit]").click();
    await view("claim")(page);
  }],
  ["bed", scanned],
  ["bed-taken", async (page, stage) => {
    Object.assign(stage.row, { bedId: "ICU-3B", deviceLabel: "ICU-MON-04", provisioned: true });
    stage.atBed = [{ ...stage.row, deviceId: "ZM-009", deviceLabel: "ICU-MON-09" }];
    await scanned(page, stage);
    await page.locator("#bed-agree").waitFor();
  }],
  ["bed-blinking", async (page, stage) => {
    await scanned(page, stage);
    await page.locator("#bed-blink").click();
    await page.locator("#bed-blinking").filter({ hasText: "6 s" }).waitFor();
  }],
  ["bed-courier", couriered],
  ["courier", async (page, stage) => {
    await couriered(page, stage);
    await page.locator("#bed-ok").click();
    await view("courier")(page);
  }],
  ["courier-wrong", async (page, stage) => {
    await couriered(page, stage);
    await page.locator("#bed-ok").click();
    stage.courier.message = { configuration: { envelope: "AQID" } };
    stage.say("awaitingCommit", { delivery: "courier" });
    await page.locator("#courier-download").filter({ hasText: "envelope" }).click();
    await page.locator("#courier-notice:not([hidden])").waitFor();
    await page.locator("#courier-file").setInputFiles({ name: "notes.txt", mimeType: "text/plain", buffer: Buffer.from("-") });
    await page.locator("#courier-refusal:not([hidden])").waitFor();
  }],
  ["words", after("delivering", { words: "struggle affair task open" })],
  ["steps", after("delivering", { tested: true })],
  ["paired", async (page, stage) => { await after("paired", { tested: true })(page, stage); await view("end")(page); }],
  ["failed", async (page, stage) => {
    await scanned(page, stage);
    const title = "The station cannot reach the device.";
    const next = "Check that the monitor shows its QR code and is on the network, then scan again, or send a courier.";
    const of = { code: "device_unreachable", step: "connect", side: "network" };
    stage.say("failed", { problem: { ...(await wire("problem")), field: undefined, rule: undefined, ...of, title, detail: title, next } });
    await view("end")(page);
  }],
  ["too-late", async (page, stage) => {
    await scanned(page, stage);
    await stage.fail("released", "session_expired");
    await view("end")(page);
  }],
  ["lost", async (page, stage) => {
    await after("delivering", {})(page, stage);
    await page.locator("#step-list [aria-current]").waitFor();
    stage.server.closeAllConnections();
    await page.route("**/api/**", (route) => route.abort());
    await page.locator("#lost").filter({ hasText: "…" }).waitFor();
  }],
  ["trust", async (page, stage) => { await page.goto(`${stage.url}trust`); await view("trust")(page); }],
];

async function picture(browser, stage, name, act, [width, height], colorScheme, locale) {
  await stage.reset();
  const context = await browser.newContext({ viewport: { width, height }, colorScheme, locale });
  const page = await context.newPage();
  await page.goto(stage.url);
  await view("scan")(page);
  await act(page, stage);
  if (name === "scan") await page.waitForFunction(() => document.querySelector("#camera").videoWidth > 0);
  const file = join(OUT, `tablet-${name}-${width}x${height}-${colorScheme}-${locale}.png`);
  await page.screenshot({ path: file });
  const over = await page.evaluate(() => {
    const root = document.documentElement;
    return [root.scrollWidth - root.clientWidth, root.scrollHeight - root.clientHeight];
  });
  if (over[0] > 0) console.log(`${name} ${width}x${height}: ${over[0]} px too wide`);
  if (over[1] > 0) console.log(`${name} ${width}x${height} ${locale}: scrolls ${over[1]} px`);
  await context.close();
  return file;
}

async function sheet(browser, name, files) {
  const page = await browser.newPage({ viewport: { width: 1900, height: 1000 } });
  const figures = await Promise.all(files.map(async (file) =>
    `<img src="data:image/png;base64,${(await readFile(file)).toString("base64")}">`));
  await page.setContent(`<style>body{margin:8px;background:#888;display:flex;flex-wrap:wrap;gap:8px}
    img{max-width:460px;max-height:620px;align-self:start}</style>${figures.join("")}`);
  const path = join(OUT, `sheet-tablet-${name}.png`);
  await page.screenshot({ path, fullPage: true });
  await page.close();
  return path;
}

await mkdir(OUT, { recursive: true });
const stage = await StationStage.open();
const drawing = await launch();
// A code of another product: the view stays where it is.
const code = await qrPicture(JSON.stringify({ ...(await content()), pairingToken: "cut" }));
const seen = await film(join(OUT, "camera.y4m"), [await cameraFrame(drawing, [code])]);
const browser = await launchWithCamera(seen);
const only = process.argv.slice(2);
for (const [name, act] of SCENES) {
  if (only.length > 0 && !only.some((part) => name.includes(part))) continue;
  const files = [];
  for (const scheme of SCHEMES) {
    for (const size of SIZES) files.push(await picture(browser, stage, name, act, size, scheme, "en"));
  }
  for (const locale of process.env.SIZE ? [] : ["es", "de"]) files.push(await picture(browser, stage, name, act, [390, 844], "light", locale));
  console.log(await sheet(drawing, name, files));
}
await browser.close();
await drawing.close();
stage.close();
