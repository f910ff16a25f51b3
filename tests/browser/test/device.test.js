// The programs as they ship and a real browser: from the PIN to "Connected", and back.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createServer } from "node:http";
import { once } from "node:events";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { launch, open, PINS, Rig } from "../rig.js";

let rig;
let browser;

before(async () => {
  [rig, browser] = await Promise.all([Rig.start(), launch()]);
});
after(async () => {
  await browser?.close();
  await rig?.stop();
});

const indicator = (page, word) => page.locator("#indicator").filter({ hasText: word }).waitFor();

async function enterPin(page, action, operator, pin) {
  await page.locator(`[data-action=${action}]`).click();
  await page.locator(`#operators input[value=${operator}]`).check();
  for (const key of pin) await page.locator(`[data-key="${key}"]`).click();
  await page.locator("#pin-ok").click();
}

async function cancel(page) {
  await page.locator("[data-action=cancel]").click();
  await indicator(page, "Not provisioned");
}

test("a wrong PIN opens nothing and says what to do", async () => {
  const { page } = await open(browser, rig.screen);
  await enterPin(page, "enter", "tina", "111111");
  await page.locator("#pin-error").filter({ hasText: "Name or secret is wrong." }).waitFor();
  assert.equal(await page.locator("#pin").inputValue(), "");
  await page.locator("#pin-back").click();
  await indicator(page, "Not provisioned");
  await page.context().close();
});

test("the keyboard alone opens a window, makes a new code and closes it", async () => {
  const { page, faults } = await open(browser, rig.screen);
  await indicator(page, "Not provisioned");
  await page.locator("[data-action=enter]").focus();
  await page.keyboard.press("Enter");
  await page.locator("#pin-pad[open]").waitFor();
  await page.locator("#operators input[value=tina]").focus();
  await page.keyboard.press("Space");
  await page.locator("#pin").focus();
  await page.keyboard.type(PINS.tina);
  await page.keyboard.press("Enter");
  await indicator(page, "Ready");
  const code = await page.locator("#code span").first().textContent();
  assert.match(code, /^[0-9A-Z]{3}-[0-9A-Z]{3}-[0-9A-Z]{3}$/);
  const image = await page.locator("#qr img").getAttribute("src");
  await page.locator("[data-action=regenerate]").focus();
  await page.keyboard.press("Enter");
  await page.waitForFunction((old) => document.querySelector("#code span").textContent !== old, code);
  await page.waitForFunction((old) => document.querySelector("#qr img").src !== old, image);
  await page.locator("[data-action=cancel]").focus();
  await page.keyboard.press("Enter");
  await indicator(page, "Not provisioned");
  const focused = await page.evaluate(() => document.activeElement.dataset.action);
  assert.equal(focused, "enter", "focus follows the buttons");
  assert.deepEqual(faults, []);
  await page.context().close();
});

test("the countdown shows every second", async () => {
  const { page } = await open(browser, rig.screen);
  await enterPin(page, "enter", "tina", PINS.tina);
  await indicator(page, "Ready");
  const shown = await page.evaluate(
    () =>
      new Promise((done) => {
        const place = document.querySelector("#time");
        const texts = [place.textContent];
        new MutationObserver(() => {
          if (texts.at(-1) !== place.textContent) texts.push(place.textContent);
          if (texts.length > 4) done(texts);
        }).observe(place, { childList: true, characterData: true, subtree: true });
      }),
  );
  const seconds = shown.map((text) => {
    const [, minutes, rest] = /^(\d+):(\d\d) remaining$/.exec(text);
    return Number(minutes) * 60 + Number(rest);
  });
  assert.deepEqual(seconds.map((value) => seconds[0] - value), seconds.map((_, index) => index));
  await cancel(page);
  await page.context().close();
});

test("pages of another origin press no button", async () => {
  const foreign = createServer((_, response) => response.end("<!doctype html><title>evil</title>"));
  foreign.listen(0, "127.0.0.1");
  await once(foreign, "listening");
  const { page } = await open(browser, `http://127.0.0.1:${foreign.address().port}/`);
  const request = JSON.stringify({ enter: { operator: "tina", pin: PINS.tina } });
  const outcomes = await page.evaluate(
    async ([screen, body]) => {
      const types = ["application/json", "text/plain", "application/x-www-form-urlencoded"];
      const send = (mode) => (type) =>
        fetch(`${screen}api/screen/press`, { method: "POST", mode, headers: { "content-type": type }, body })
          .then((answer) => answer.type, () => "refused");
      const read = fetch(`${screen}api/screen/operators`).then(() => "read", () => "refused");
      const form = document.createElement("form");
      Object.assign(form, { action: `${screen}api/screen/press`, method: "post", enctype: "text/plain", target: "sink" });
      const field = document.createElement("input");
      field.name = body;
      form.append(field);
      const frame = document.createElement("iframe");
      frame.name = "sink";
      document.body.append(frame, form);
      const framed = new Promise((done) => frame.addEventListener("load", done));
      form.submit();
      await framed;
      return [await read, ...(await Promise.all([...types.map(send("cors")), ...types.map(send("no-cors"))]))];
    },
    [rig.screen, request],
  );
  assert.deepEqual(outcomes.slice(0, 4), Array(4).fill("refused"));
  await page.context().close();
  const { page: own } = await open(browser, rig.screen);
  await indicator(own, "Not provisioned");
  await own.context().close();
  foreign.close();
});

test("a restarted device leaves no stale code on the page", async () => {
  const { page } = await open(browser, rig.screen);
  await enterPin(page, "enter", "tina", PINS.tina);
  await indicator(page, "Ready");
  const code = await page.locator("#code span").first().textContent();
  const address = new URL(rig.screen).host;
  assert.equal(await rig.device.stop(), 0, "an open page does not hold the device up");
  await page.locator("#lost").filter({ hasText: "Connection to the monitor lost" }).waitFor();
  const content = await page.content();
  assert.ok(!content.includes(code) && !content.includes("svg+xml"));
  assert.equal(await page.locator("main").isVisible(), false);
  await rig.startDevice(address);
  await indicator(page, "Not provisioned");
  assert.equal(await page.locator("#lost").isVisible(), false);
  await page.context().close();
});

test("a technician provisions the monitor from its screen alone", async () => {
  const { page, asked, faults } = await open(browser, rig.screen);
  await enterPin(page, "enter", "tina", PINS.tina);
  await indicator(page, "Ready");
  await page.locator("#qr img").waitFor();
  const code = await page.locator("#code span").first().textContent();
  const picture = join(rig.home, "screen.png");
  await page.screenshot({ path: picture });

  // Two decoders that share nothing with the encoder, one of them nothing with this project.
  const read = execFileSync("zbarimg", ["--quiet", "--raw", picture], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  const content = JSON.parse(read);
  assert.deepEqual(Object.keys(content).length, 7);
  assert.equal(content.pairingCode, code);
  const paired = await rig.pair(picture);
  assert.equal(paired.success, true);

  await indicator(page, "Connected");
  assert.equal(await page.locator("#window").isVisible(), false);
  await page.locator("#facts").filter({ hasText: "ICU-3B" }).waitFor();
  await page.getByRole("link", { name: "Status" }).click();
  await page.locator("#connection").filter({ hasText: "Connected" }).waitFor();
  assert.equal(await page.locator("#server").textContent(), rig.station.ready.addresses.devices);
  assert.match(await page.locator("#certificate").textContent(), /^Until /);
  assert.equal(await page.locator("#validity").textContent(), "Valid");
  assert.notEqual(await page.locator("#last").textContent(), "Never");
  assert.equal(await page.locator("#status button").count(), 0, "the status view changes nothing");

  await page.getByRole("link", { name: "Provisioning" }).click();
  await enterPin(page, "reprovision", "tina", PINS.tina);
  await indicator(page, "Ready");
  await page.locator("#message").filter({ hasText: "Monitoring goes on meanwhile." }).waitFor();
  await page.locator("[data-action=cancel]").click();
  await indicator(page, "Connected");

  const { origin } = new URL(rig.screen);
  assert.deepEqual(asked.filter((url) => !url.startsWith("data:") && new URL(url).origin !== origin), []);
  assert.ok(asked.every((url) => url.startsWith("data:") || !url.includes(code)));
  assert.deepEqual(faults, []);
  await page.context().close();
});
