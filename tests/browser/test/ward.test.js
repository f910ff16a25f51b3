// The console over the programs as they ship: three registered monitors, one of them paired by its screen.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { launch, open, PINS, trusting } from "../rig.js";
import { PASSWORD, Ward } from "../ward.js";

let ward;
let bedside;
/** A desk that trusts the station. */
let desk;
let page;
let asked;
let faults;

before(async () => {
  [ward, bedside] = await Promise.all([Ward.open(), launch()]);
  desk = await launch(await trusting(ward.addresses.operators));
  ({ page, asked, faults } = await open(desk, `${ward.addresses.operators}/console`, { viewport: { width: 1440, height: 900 }, locale: "en" }));
});
after(async () => {
  await Promise.all([bedside?.close(), desk?.close()]);
  await ward?.close();
});

const view = (page, name) => page.locator(`body[data-view=${name}][data-fresh=true]`).waitFor();
const says = (page, id, words) => page.locator(`#${id}`).filter({ hasText: words }).waitFor();
const go = async (page, name) => {
  await page.evaluate((name) => (location.hash = `/${name}`), name);
  await view(page, name);
};
const stands = (id, word) => page.locator(`#fleet-table tr[data-key="${id}"] > :nth-child(2)`).filter({ hasText: word }).waitFor();

async function logIn(page, operator, password) {
  await page.locator("body[data-view=login]").waitFor();
  await page.locator("#login-operator").fill(operator);
  await page.locator("#login-password").fill(password);
  await page.keyboard.press("Enter");
}

test("three monitors are registered, one is paired, and the console sees it connected by itself", async () => {
  await logIn(page, "admin", PASSWORD);
  await view(page, "overview");
  await says(page, "figure-active", "0");
  await go(page, "fleet");
  await says(page, "fleet-none", "No monitor is registered yet");
  await page.locator("#import").click();
  const rows = Buffer.from(ward.monitors.map(({ row }) => row).join(""));
  await page.locator("#ask-file").setInputFiles({ name: "ward.jsonl", mimeType: "application/jsonl", buffer: rows });
  await page.locator("#ask-ok").click();
  await says(page, "fleet-notice", "3 new");
  for (const { id } of ward.monitors) await stands(id, "Not provisioned");

  const [first] = ward.monitors;
  const { page: monitor } = await open(bedside, await ward.startMonitor(first));
  await monitor.locator("[data-action=enter]").click();
  await monitor.locator("#operators input[value=tina]").check();
  for (const key of PINS.tina) await monitor.locator(`[data-key="${key}"]`).click();
  await monitor.locator("#pin-ok").click();
  await monitor.locator("#qr img").waitFor();
  const picture = join(ward.home, "screen.png");
  await monitor.screenshot({ path: picture });
  await ward.pair(picture, "ICU-3B", "ICU-MON-04");
  await monitor.locator("#indicator").filter({ hasText: "Connected" }).waitFor();
  await stands(first.id, "Connected");
  await page.locator(`#fleet-table tr[data-key="${first.id}"]`).filter({ hasText: "ICU-3B" }).waitFor();
  await monitor.context().close();

  await page.locator("#fleet-state").selectOption("connected");
  await page.locator("#fleet-table tbody tr").nth(1).waitFor({ state: "detached" });
  await page.locator(`#fleet-table tr[data-key="${first.id}"] button`).click();
  await says(page, "device-certificates", "Current");
  await says(page, "device-link", "ago");
  await says(page, "device-facts", "anchor");
  await page.locator("#device-close").click();
  await go(page, "overview");
  await says(page, "figure-connected", "1");
  await says(page, "figure-paired", "1");
  await says(page, "figure-unprovisioned", "2");
});

test("every view has data, axe finds nothing in it, and no request leaves the origin", async () => {
  const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
  await go(page, "certificates");
  await says(page, "timeline-words", "Current certificates: 1.");
  await go(page, "beds");
  await says(page, "beds-table", "ICU-3B");
  await go(page, "policy");
  await says(page, "policy-station", "Ward 3");
  await says(page, "policy-reach", "127.0.0.0/8");
  await go(page, "audit");
  await says(page, "chain", "intact");
  await says(page, "audit-table", "pairing succeeded");
  for (const scheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme: scheme });
    for (const name of ["overview", "fleet", "beds", "certificates", "operators", "audit", "policy"]) {
      await go(page, name);
      await page.evaluate(axe);
      const found = await page.evaluate(() => window.axe.run(document, { runOnly: { type: "tag", values: ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"] } }));
      assert.deepEqual(found.violations.map(({ id }) => id), [], `${name} ${scheme}`);
    }
  }
  const { origin } = new URL(ward.addresses.operators);
  assert.deepEqual(asked.filter((url) => !url.startsWith("data:") && new URL(url).origin !== origin), []);
  assert.deepEqual(faults, [], "nothing that the page's policy forbids");
});

test("nothing inline runs in the console", async () => {
  const ran = await page.evaluate(() => {
    const script = document.createElement("script");
    script.textContent = "window.ran = true";
    document.body.append(script);
    script.remove();
    return window.ran === true;
  });
  assert.equal(ran, false);
  assert.match(faults.join(), /Content Security Policy/);
  faults.length = 0;
});

test("a monitor is moved in the registry, with its row in the log", async () => {
  const [first] = ward.monitors;
  await go(page, "beds");
  await page.locator(`#beds-table tr[data-key="${first.id}"] .small`).click();
  await page.locator("#ask-bed").fill("ICU-9");
  await page.locator("#ask-ok").click();
  await says(page, "beds-notice", "next configuration");
  await page.locator(`#beds-table tr[data-key="${first.id}"]`).filter({ hasText: "ICU-9" }).waitFor();
  await go(page, "audit");
  await page.locator("#audit-table tbody tr").filter({ hasText: "device moved" }).filter({ hasText: "from ICU-3B" }).filter({ hasText: "to ICU-9" }).waitFor();
});

test("a new operator changes the one-time password and sees a technician's views", async () => {
  await go(page, "operators");
  await page.locator("#operator-add").click();
  await page.locator("#ask-operator").fill("tess");
  await page.locator("#ask-ok").click();
  const password = await page.locator("#once-password").filter({ hasText: /^\w{20}$/ }).textContent();
  await page.locator("#once-close").click();
  const { page: theirs } = await open(desk, `${ward.addresses.operators}/console`, { locale: "en" });
  await logIn(theirs, "tess", password);
  await theirs.locator("#login-own").waitFor();
  await theirs.locator("#login-new").fill("a password of my own");
  await theirs.keyboard.press("Enter");
  await view(theirs, "overview");
  const links = await theirs.locator("nav a:visible").evaluateAll((all) => all.map((link) => link.hash.slice(2)));
  assert.deepEqual(links, ["overview", "fleet", "beds", "batches", "certificates", "policy"]);

  await page.locator('#operators-table tr[data-key="tess"] .small').click();
  await page.locator("#ask-what").selectOption("disable");
  await page.locator("#ask-ok").click();
  await says(page, "operators-notice", "tess is disabled");
  await theirs.locator("body[data-view=login]").waitFor();
  await theirs.context().close();
});

test("a station that is started again has its pages and their logins back", async () => {
  const [first] = ward.monitors;
  await go(page, "fleet");
  await page.locator("#fleet-state").selectOption("");
  assert.equal(await ward.station.stop(), 0);
  await says(page, "lost", "does not answer");
  faults.length = 0;
  await ward.startStation();
  await page.waitForFunction(() => document.querySelector("#lost").textContent === "");
  // The links of the run before are not those of this one: the monitor speaks for itself.
  await stands(first.id, "Connected");
});

test("a revoked certificate changes its row and cuts the link", async () => {
  const [first] = ward.monitors;
  await go(page, "certificates");
  await page.locator("#certificates-table tbody tr").filter({ hasText: first.id }).locator(".small").click();
  await page.locator("#ask-reason").selectOption("keyCompromise");
  await page.locator("#ask-ok").click();
  await says(page, "certificates-none", "no such certificate");
  await page.locator("#certificates-state").selectOption("revoked");
  await says(page, "certificates-table", "key may be known to others");
  await go(page, "fleet");
  await stands(first.id, "Not provisioned");
  await go(page, "audit");
  await says(page, "chain", "intact");
  await says(page, "audit-table", "certificate revoked");
});

test("a login that was ended elsewhere is asked for again", async () => {
  await go(page, "policy");
  const answer = await page.evaluate(() => fetch("/api/auth/logout", { method: "POST", headers: { "x-zmon-page": "1" } }).then(({ status }) => status));
  assert.equal(answer, 200);
  await page.locator("body[data-view=login]").waitFor();
  await logIn(page, "admin", PASSWORD);
  await page.locator("body[data-view=policy]").waitFor();
});
