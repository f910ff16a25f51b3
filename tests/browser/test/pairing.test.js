// One pairing from picture to picture, with the programs as they ship: the monitor's page shows the QR
// code, its screenshot lies before the tablet's camera, the tablet's page scans it and pairs, and the
// monitor's page says so.

import assert from "node:assert/strict";
import { createHash, X509Certificate } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { launch, launchWithCamera, open, PINS, Rig, trusting } from "../rig.js";
import { cameraFrame, film } from "../tablet-stage.js";

let rig;
let browser;
/** A tablet that trusts the station and has no camera. */
let desk;
let camera;
let trust;

before(async () => {
  [rig, browser] = await Promise.all([Rig.start(), launch()]);
  trust = await trusting(rig.station.ready.addresses.operators);
  desk = await launch(trust);
});
after(async () => {
  await Promise.all([browser?.close(), desk?.close(), camera?.close()]);
  await rig?.stop();
});

const view = (page, name) => page.locator(`body[data-view=${name}]`).waitFor();
const indicator = (page, word) => page.locator("#indicator").filter({ hasText: word }).waitFor();

async function enterPin(page, action) {
  await page.locator(`[data-action=${action}]`).click();
  await page.locator("#operators input[value=tina]").check();
  for (const key of PINS.tina) await page.locator(`[data-key="${key}"]`).click();
  await page.locator("#pin-ok").click();
}

async function logIn(page) {
  await view(page, "login");
  await page.locator("#login-operator").fill("admin");
  await page.locator("#login-password").fill(rig.station.ready.password);
  await page.keyboard.press("Enter");
}

test("the tablet scans the monitor's screen and the monitor says Connected", async () => {
  const { operators: station } = rig.station.ready.addresses;
  const { page: monitor } = await open(browser, rig.screen);
  await enterPin(monitor, "enter");
  await indicator(monitor, "Ready");
  await monitor.locator("#qr img").waitFor();
  const code = await monitor.locator("#code span").first().textContent();

  // The whole screen lies before the camera, not the code alone.
  const picture = `data:image/png;base64,${(await monitor.screenshot()).toString("base64")}`;
  const seen = await film(join(rig.home, "camera.y4m"), [
    await cameraFrame(browser, [picture], { side: 1100 }),
  ]);
  assert.ok((await stat(seen)).size > 1_000_000);
  camera = await launchWithCamera(seen, trust);
  const { page, asked, faults } = await open(camera, `${station}/`, { viewport: { width: 1024, height: 768 } });
  const missing = [];
  page.on("response", (answer) => answer.status() === 404 && missing.push(new URL(answer.url()).pathname));
  await logIn(page);
  await view(page, "bed");
  await indicator(monitor, "Pairing");
  await page.locator("#bed-device").filter({ hasText: rig.device.ready.addresses.deviceId }).waitFor();
  await page.locator("#bed-station").filter({ hasText: "Mock Central Station" }).waitFor();
  // Which of ten it is: the monitor says so itself, for some seconds, and is paired all the same.
  assert.ok(await monitor.locator("#blink").isHidden());
  await page.locator("#bed-blink").click();
  await monitor.locator("#blink").filter({ hasText: "This is the monitor you scanned" }).waitFor();
  await page.locator("#bed-blinking").filter({ hasText: "It blinks" }).waitFor();
  await monitor.locator("#blink").waitFor({ state: "hidden" });
  await page.locator("#bed-id").fill("ICU-3B");
  await page.locator("#bed-label").fill("ICU-MON-04");
  await page.locator("#bed-ok").click();

  await page.locator("#end-title").filter({ hasText: "Paired" }).waitFor();
  await indicator(monitor, "Connected");
  await monitor.locator("#facts").filter({ hasText: "ICU-3B" }).waitFor();
  await monitor.locator("#facts").filter({ hasText: "ICU-MON-04" }).waitFor();

  const { origin } = new URL(station);
  assert.deepEqual(asked.filter((url) => !url.startsWith("data:") && new URL(url).origin !== origin), []);
  assert.ok(asked.some((url) => url.endsWith("/page/decoder/zxing_reader.wasm")));
  assert.ok(asked.every((url) => !url.includes(code)));
  // No manifest has named the monitor: the registry gets it with its certificate, and the browser says so.
  assert.deepEqual(missing, [`/api/registry/devices/${rig.device.ready.addresses.deviceId}`]);
  assert.equal(faults.length, missing.length, faults.join());

  const cookies = await page.context().cookies();
  assert.equal(cookies.length, 1);
  const { name, httpOnly, secure, sameSite, expires, path } = cookies[0];
  assert.deepEqual({ name, httpOnly, secure, sameSite, expires, path },
    { name: "__Host-zmon", httpOnly: true, secure: true, sameSite: "Strict", expires: -1, path: "/" });
  assert.equal(await page.evaluate(() => document.cookie), "");

  // WebAssembly is for the worker: the page itself may not.
  const compiled = await page.evaluate(() =>
    WebAssembly.compile(new Uint8Array([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0])).then(() => "done", (error) => error.name));
  assert.equal(compiled, "CompileError");
  await monitor.context().close();
});

test("a monitor that is provisioned is paired anew by its typed code, and keeps working meanwhile", async () => {
  const { operators: station } = rig.station.ready.addresses;
  const { page: monitor } = await open(browser, rig.screen);
  await enterPin(monitor, "reprovision");
  await indicator(monitor, "Ready");
  await monitor.locator("#code span").first().filter({ hasText: "-" }).waitFor();
  const code = await monitor.locator("#code span").first().textContent();
  const { page } = await open(desk, `${station}/`, { viewport: { width: 390, height: 844 } });
  await logIn(page);
  await view(page, "scan");
  await page.locator("#to-typed").click();
  await page.locator("#typed-device").fill(rig.device.ready.addresses.deviceId);
  await page.locator("#typed-code").pressSequentially(code.replaceAll("-", "").toLowerCase());
  await page.locator("#typed-code-state[data-state=good]").waitFor();
  const { hostname, port } = new URL(`https://${await rig.listensAt()}`);
  await page.locator("#typed-place summary").click();
  await page.locator("#typed-address").fill(hostname);
  await page.locator("#typed-port").fill(port);
  await page.locator("#typed-form button[type=submit]").click();
  await view(page, "bed");
  await page.locator("#bed-provisioned").filter({ hasText: "works already" }).waitFor();
  assert.equal(await page.locator("#bed-id").inputValue(), "ICU-3B");
  await page.locator("#bed-ok").click();
  await page.locator("#end-title").filter({ hasText: "Paired" }).waitFor();
  await indicator(monitor, "Connected");
  await monitor.context().close();
});

test("the page says how to trust the station, and gives its anchor", async () => {
  const { operators: station, anchor } = rig.station.ready.addresses;
  const { page } = await open(desk, `${station}/trust`);
  await view(page, "trust");
  const shown = (await page.locator("#fingerprint").textContent()).replaceAll(" ", "").toLowerCase();
  const pem = await readFile(anchor, "utf8");
  const certificate = new X509Certificate(pem);
  assert.equal(shown, createHash("sha256").update(certificate.raw).digest("hex"));
  const [download] = await Promise.all([page.waitForEvent("download"), page.locator("a.main").click()]);
  assert.deepEqual(await readFile(await download.path()), certificate.raw);
  await page.context().close();
});

test("logging out ends the login, and a page of elsewhere can use none", async () => {
  const { operators: station } = rig.station.ready.addresses;
  const { page } = await open(desk, `${station}/`);
  await logIn(page);
  await view(page, "scan");
  await page.reload();
  await view(page, "scan");
  const foreign = await page.context().newPage();
  await foreign.goto(rig.screen);
  const outcomes = await foreign.evaluate(async (station) => {
    const post = (mode, type) => fetch(`${station}/api/auth/logout`, {
      method: "POST", mode, credentials: "include", headers: { "content-type": type }, body: "{}",
    }).then((answer) => answer.type, () => "refused");
    const read = fetch(`${station}/api/registry/devices`, { credentials: "include" }).then(() => "read", () => "refused");
    return [await read, await post("cors", "application/json"), await post("no-cors", "text/plain")];
  }, station);
  assert.deepEqual(outcomes.slice(0, 2), ["refused", "refused"]);
  await page.reload();
  await view(page, "scan");
  await page.locator("#log-out").click();
  await view(page, "login");
  assert.equal((await page.context().cookies(station)).length, 0);
  await page.context().close();
});

test("an open page does not hold the station up", async () => {
  const { operators: station } = rig.station.ready.addresses;
  const { page } = await open(desk, `${station}/`);
  await logIn(page);
  await view(page, "scan");
  assert.equal(await rig.station.stop(), 0);
  await page.context().close();
});
