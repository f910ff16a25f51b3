// A station that reaches no monitor, with the programs as they ship: the tablet's page saves the messages as
// files, the monitor takes them out of its folder, the page takes its answer, and the monitor says so.

import assert from "node:assert/strict";
import { copyFile, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { launch, open, PINS, program, Rig, run, trusting } from "../rig.js";

let rig;
let browser;
let stick;

before(async () => {
  stick = await mkdtemp(join(tmpdir(), "zmon-stick-"));
  rig = await Rig.start({ station: ["--fault", "dial=fail"], device: ["--courier-folder", stick] });
  browser = await launch(await trusting(rig.station.ready.addresses.operators));
});
after(async () => {
  await browser?.close();
  await rig?.stop();
  if (stick) await rm(stick, { recursive: true, force: true });
});

const view = (page, name) => page.locator(`body[data-view=${name}]`).waitFor();
const says = (page, id, words) => page.locator(`#${id}`).filter({ hasText: words }).waitFor();
const take = async () => JSON.parse((await run(program("zmon"), ["--json", "device", "courier", "--dir", rig.dir])).stdout);

test("two files there and one back pair a monitor that the station cannot reach", async () => {
  const { page: monitor } = await open(browser, rig.screen);
  await monitor.locator("[data-action=enter]").click();
  await monitor.locator("#operators input[value=tina]").check();
  for (const key of PINS.tina) await monitor.locator(`[data-key="${key}"]`).click();
  await monitor.locator("#pin-ok").click();
  await monitor.locator("#qr img").waitFor();
  const picture = await monitor.screenshot();

  const { page } = await open(browser, `${rig.station.ready.addresses.operators}/`);
  await view(page, "login");
  await page.locator("#login-operator").fill("admin");
  await page.locator("#login-password").fill(rig.station.ready.password);
  await page.keyboard.press("Enter");
  await view(page, "scan");
  await page.locator("#photo").setInputFiles({ name: "screen.png", mimeType: "image/png", buffer: picture });
  // The station tries three times.
  await says(page, "bed-courier", "you carry two files");
  assert.ok(await page.locator("#bed-blink").isHidden());
  assert.match(await page.locator("#bed-time").textContent(), /^1:\d\d left/);
  await page.locator("#bed-id").fill("ICU-3B");
  await page.locator("#bed-label").fill("ICU-MON-04");
  await page.locator("#bed-ok").click();

  const carry = async (name) => {
    const [download] = await Promise.all([page.waitForEvent("download"), page.locator("#courier-download").click()]);
    const path = await download.path();
    await copyFile(path, join(stick, name));
    return { carried: JSON.parse(await readFile(path, "utf8")), ...(await take()) };
  };
  await says(page, "courier-trip", "Trip 1 of 2");
  const { carried: hello, ...first } = await carry("hello.json");
  assert.deepEqual(first, { taken: "hello.json", written: "identity.json" });
  await monitor.locator("#indicator").filter({ hasText: "Pairing" }).waitFor();

  // The wrong file costs nothing.
  await page.locator("#courier-file").setInputFiles({ name: "hello.json", mimeType: "application/json", buffer: Buffer.from(JSON.stringify(hello)) });
  await says(page, "courier-refusal", "hello.json is a message for the monitor");
  await page.locator("#courier-file").setInputFiles(join(stick, "identity.json"));
  await says(page, "courier-trip", "Trip 2 of 2");

  const { taken, written } = await carry("envelope.json");
  assert.deepEqual([taken, written], ["envelope.json", "status.json"]);
  await says(page, "end-title", "Paired");
  await monitor.locator("#indicator").filter({ hasText: "Connected" }).waitFor();
  await monitor.locator("#facts").filter({ hasText: "ICU-3B" }).waitFor();
  assert.deepEqual((await readdir(stick)).sort(), ["identity.json", "status.json"]);
  await monitor.context().close();
  await page.context().close();
});
