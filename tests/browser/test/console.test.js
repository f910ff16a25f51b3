// The console over a scripted station: every view and role, every change, bad answers, a station that goes away.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";
import { ConsoleStage } from "../console-stage.js";
import { launch } from "../rig.js";

const SIZES = [[800, 480], [1024, 768], [390, 844], [1440, 900]];
const VIEWS = ["overview", "fleet", "beds", "batches", "certificates", "operators", "audit", "policy"];
// A page that waits for what never comes is given up soon.
const PATIENCE = 20_000;

let stage;
let axe;
let browser;

before(async () => {
  axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
  [browser, stage] = await Promise.all([launch(), ConsoleStage.open()]);
});
after(async () => {
  await browser?.close();
  stage?.close();
});

const view = (page, name) => page.locator(`body[data-view=${name}][data-fresh=true]`).waitFor();
const says = (page, id, words) => page.locator(`#${id}`).filter({ hasText: words }).waitFor();
const cell = (page, table, key, at) => page.locator(`#${table}-table tr[data-key="${key}"] > :nth-child(${at})`);

async function openPage(options = {}, hash = "", prepare = async () => {}) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, locale: "en", reducedMotion: "reduce", ...options });
  context.setDefaultTimeout(PATIENCE);
  const page = await context.newPage();
  const faults = [];
  const asked = [];
  page.on("pageerror", (error) => faults.push(String(error)));
  page.on("request", (request) => asked.push(request.url()));
  await prepare(page);
  await page.goto(stage.url + hash);
  return { page, faults, asked };
}

/** The console at one view, of a station that begins anew. */
async function open(name, options = {}, prepare = undefined) {
  await stage.reset();
  Object.assign(stage, options.stage);
  const opened = await openPage(options.page, `#/${name}`, prepare);
  await view(opened.page, name.split("?")[0]);
  return opened;
}

async function violations(page) {
  await page.evaluate(axe);
  const tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
  const found = await page.evaluate(
    (tags) => window.axe.run(document, { runOnly: { type: "tag", values: tags } }), tags);
  return found.violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`);
}

const openDevice = async (page, id) => {
  await page.locator(`#fleet-table tr[data-key="${id}"] button`).click();
  await page.locator("#device-certificates li, #device[open]:not(:has(li))").first().waitFor();
};

/** What lies over a view. */
const LAYERS = {
  device: ["fleet", (page) => openDevice(page, "ZM-003")],
  ask: ["certificates", (page) => page.locator("#certificates-table .small").first().click()],
  once: ["operators", async (page) => {
    await page.locator("#operator-add").click();
    await page.locator("#ask-operator").fill("tara");
    await page.locator("#ask-ok").click();
    await page.locator("#once[open]").waitFor();
  }],
  batch: [`batches?batch=3f1c9a52-7d60-4e0b-9c1d-2a6b8e5f4d30`, (page) => page.locator("#items-table tbody tr").first().waitFor()],
  login: ["overview", (page) => page.locator("#log-out").click()],
};

test("axe finds nothing in any view, light or dark", async () => {
  for (const colorScheme of ["light", "dark"]) {
    const { page } = await open("overview", { page: { colorScheme } });
    for (const name of VIEWS) {
      await page.evaluate((name) => (location.hash = `/${name}`), name);
      await view(page, name);
      assert.deepEqual(await violations(page), [], `${name} ${colorScheme}`);
    }
    await page.context().close();
    for (const [name, [under, act]] of Object.entries(LAYERS)) {
      const { page } = await open(under, { page: { colorScheme } });
      await act(page);
      if (name === "login") await page.locator("body[data-view=login]").waitFor();
      else await page.locator(`#${name}:visible`).waitFor();
      assert.deepEqual(await violations(page), [], `${name} ${colorScheme}`);
      await page.context().close();
    }
  }
});

const measured = (page) => page.evaluate(() => {
  const root = document.documentElement;
  const top = [...document.querySelectorAll("dialog[open]")].at(-1) ?? document;
  const targets = [...top.querySelectorAll("a, button, select, input, textarea")];
  const small = targets
    .filter((target) => target.checkVisibility() && target.getBoundingClientRect().width > 1)
    .filter((target) => {
      const { width, height } = target.getBoundingClientRect();
      // The name of a monitor is as wide as it is; its row is its height.
      return height < 44 || (width < 44 && !target.classList.contains("link"));
    })
    .map((target) => target.id || target.textContent);
  return { wide: root.scrollWidth - root.clientWidth, small };
});

test("nothing is wider than the screen, and nothing is smaller than a finger", async () => {
  for (const locale of ["en", "es", "de"]) {
    const { page } = await open("overview", { page: { locale } });
    for (const name of VIEWS) {
      await page.evaluate((name) => (location.hash = `/${name}`), name);
      await view(page, name);
      for (const [width, height] of SIZES) {
        await page.setViewportSize({ width, height });
        assert.deepEqual(await measured(page), { wide: 0, small: [] }, `${name} ${locale} ${width}x${height}`);
      }
    }
    await page.context().close();
    for (const [name, [under, act]] of Object.entries(LAYERS).filter(([name]) => name !== "login")) {
      const { page } = await open(under, { page: { locale } });
      await act(page);
      for (const [width, height] of SIZES) {
        await page.setViewportSize({ width, height });
        assert.deepEqual(await measured(page), { wide: 0, small: [] }, `${name} ${locale} ${width}x${height}`);
      }
      await page.context().close();
    }
  }
});

test("nobody sees what their role may not do", async () => {
  const roles = {
    administrator: { views: VIEWS, buttons: ["Move", "Revoke", "New identity key", "Accept a new audit log", "Take out of service"] },
    technician: { views: VIEWS.filter((name) => !["operators", "audit"].includes(name)), buttons: ["Move"] },
    auditor: { views: VIEWS.filter((name) => name !== "operators"), buttons: [] },
  };
  for (const [role, { views, buttons }] of Object.entries(roles)) {
    const { page } = await open("fleet", { stage: { login: { operator: "x", role } } });
    const links = await page.locator("nav a:visible").evaluateAll((all) => all.map((link) => link.hash.slice(2)));
    assert.deepEqual(links, views, role);
    assert.equal(await page.locator("#import").isVisible(), role === "administrator");
    await openDevice(page, "ZM-001");
    assert.deepEqual(await page.locator("#device-actions button").allTextContents(), buttons, role);
    await page.locator("#device-close").click();
    for (const [name, may] of [["beds", role !== "auditor"], ["certificates", role === "administrator"]]) {
      await page.evaluate((name) => (location.hash = `/${name}`), name);
      await view(page, name);
      assert.equal(await page.locator(`#${name} .small:visible`).count() > 0, may, `${name} ${role}`);
    }
    // An address that the role has no link to leads to the first view.
    await page.evaluate(() => (location.hash = "/operators"));
    await view(page, views.includes("operators") ? "operators" : "overview");
    assert.equal(stage.count("GET /api/operators") > 0, role === "administrator");
    await page.context().close();
  }
});

test("the figures lead to the monitors they count", async () => {
  const { page } = await open("overview");
  await says(page, "figure-connected", "3");
  await says(page, "figure-disconnected", "2");
  await says(page, "figure-junk", "1,217");
  await page.locator("#overview a").filter({ hasText: "Disconnected" }).click();
  await view(page, "fleet");
  assert.equal(await page.locator("#fleet-state").inputValue(), "disconnected");
  assert.equal(await page.locator("#fleet-table tbody tr").count(), 2);
  await page.goBack();
  await view(page, "overview");
  await page.context().close();
});

test("monitors are found by text and state, and a reload finds the same", async () => {
  const { page } = await open("fleet");
  assert.equal(await page.locator("#fleet-table tbody tr").count(), 7);
  await page.locator("#fleet-text").fill("z monitor 8");
  await page.locator("#fleet-table tbody tr").nth(1).waitFor({ state: "detached" });
  assert.equal(await cell(page, "fleet", "ZM-002", 1).textContent(), "ZM-002");
  await page.locator("#fleet-state").selectOption("disconnected");
  await says(page, "fleet-none", "No monitor fits");
  await page.reload();
  await says(page, "fleet-none", "No monitor fits");
  assert.equal(await page.locator("#fleet-text").inputValue(), "z monitor 8");
  await page.locator("#fleet-text").fill("");
  await page.keyboard.press("Enter");
  await page.locator("#fleet-table tbody tr").nth(1).waitFor();
  const { query } = stage.asked.findLast(({ name }) => name === "GET /api/registry/devices");
  assert.equal(query, "state=disconnected&offset=0&limit=50");
  await page.context().close();
});

test("many monitors come in pages", async () => {
  await stage.reset();
  const [one] = stage.devices;
  stage.devices = Array.from({ length: 120 }, (_, n) => ({ ...one, deviceId: `ZM-${String(n).padStart(3, "0")}` }));
  const { page } = await openPage({}, "#/fleet");
  await says(page, "fleet-pager", "1–50 of 120");
  const [back, on] = await page.locator("#fleet-pager button").all();
  assert.equal(await back.isDisabled(), true);
  await on.click();
  await says(page, "fleet-pager", "51–100 of 120");
  await on.click();
  await says(page, "fleet-pager", "101–120 of 120");
  assert.equal(await on.isDisabled(), true);
  assert.equal(await page.locator("#fleet-table tbody tr").count(), 20);
  await page.context().close();
});

test("links are live, and whoever stands in the table stays there", async () => {
  const { page } = await open("fleet", {}, (page) => page.clock.install());
  const button = page.locator('#fleet-table tr[data-key="ZM-002"] button');
  await button.focus();
  assert.equal(await cell(page, "fleet", "ZM-002", 2).textContent(), "Connected");
  stage.devices[1].link = { ...stage.devices[1].link, connected: false, secondsAgo: 41 };
  stage.devices.splice(4, 1);
  await page.clock.runFor(5_100);
  await cell(page, "fleet", "ZM-002", 2).filter({ hasText: "Disconnected" }).waitFor();
  assert.equal(await cell(page, "fleet", "ZM-002", 3).textContent(), "41 sec. ago");
  assert.equal(await page.locator("#fleet-table tbody tr").count(), 6);
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "ZM-002");
  await page.context().close();
});

test("a revoked certificate changes its row, with the reason that was chosen", async () => {
  const { page } = await open("certificates");
  await page.locator('#certificates-table tr[data-key="5f03"] .small').click();
  await says(page, "ask-title", "ZM-003");
  await says(page, "ask-text", "5f03");
  await page.locator("#ask-cancel").click();
  assert.equal(stage.count("POST /api/certificates/5f03/revoke"), 0, "asked first");
  await page.locator('#certificates-table tr[data-key="5f03"] .small').click();
  await page.locator("#ask-reason").selectOption("keyCompromise");
  await page.locator("#ask-ok").click();
  await page.locator('#certificates-table tr[data-key="5f03"]').waitFor({ state: "detached" });
  assert.deepEqual(stage.body("POST /api/certificates/5f03/revoke"), { reason: "keyCompromise" });
  await says(page, "certificates-notice", "ZM-003 is revoked");
  await page.locator("#certificates-state").selectOption("revoked");
  await cell(page, "certificates", "5f03", 3).filter({ hasText: "key may be known" }).waitFor();
  await page.evaluate(() => (location.hash = "/fleet"));
  await view(page, "fleet");
  assert.equal(await cell(page, "fleet", "ZM-003", 2).textContent(), "Not provisioned");
  await page.context().close();
});

test("the timeline says in words what it shows", async () => {
  const { page } = await open("certificates");
  await says(page, "timeline-words", "Current certificates: 5. Ending within 30 days: 1. Expired: 1.");
  const figures = () => page.locator("#timeline .bar").count();
  assert.equal(await figures(), 2, "weeks, or days where there is room");
  await page.setViewportSize({ width: 390, height: 844 });
  await page.waitForFunction(() => document.querySelector("#timeline").viewBox.baseVal.width < 390);
  assert.equal(await figures(), 2);
  await page.context().close();
});

test("a monitor is moved after it was said who has the bed, and when the monitor hears of it", async () => {
  const { page } = await open("beds");
  await cell(page, "beds", "ZM-004", 1).filter({ hasText: "ICU-2 (more than one)" }).waitFor();
  await page.locator('#beds-table tr[data-key="ZM-006"] .small').click();
  await says(page, "ask-text", "next configuration");
  await page.locator("#ask-bed").fill("no such bed");
  await page.locator("#ask-ok").click();
  await says(page, "ask-error", "it begins with a letter");
  await page.locator("#ask-bed").fill("ICU-1");
  await page.locator("#ask-label").fill("Door side");
  await page.locator("#ask-ok").click();
  await says(page, "ask-warning", "The bed ICU-1 is taken by ZM-001");
  assert.equal(stage.count("POST /api/registry/devices/ZM-006/place"), 0);
  await page.locator("#ask-ok").click();
  await says(page, "beds-notice", "The monitor shows it after its next configuration");
  assert.deepEqual(stage.body("POST /api/registry/devices/ZM-006/place"), { bedId: "ICU-1", deviceLabel: "Door side" });
  await cell(page, "beds", "ZM-006", 1).filter({ hasText: "more than one" }).waitFor();
  assert.equal(await page.locator('#beds-table tr[data-key="ZM-007"] .small').isVisible(), false, "out of service");
  await page.context().close();
});

test("what another administrator has said of a monitor meanwhile is not overwritten", async () => {
  const { page } = await open("beds");
  const request = "POST /api/registry/devices/ZM-006/place";
  await page.locator('#beds-table tr[data-key="ZM-006"] .small').click();
  await page.locator("#ask-bed").fill("ICU-9");
  const monitor = stage.devices.find(({ deviceId }) => deviceId === "ZM-006");
  monitor.bedId = "ICU-8";
  await page.locator("#ask-ok").click();
  await says(page, "ask-error", "Title of precondition_failed.");
  assert.equal(stage.count(request), 1);
  assert.equal(monitor.bedId, "ICU-8");
  await page.locator("#ask-cancel").click();
  await cell(page, "beds", "ZM-006", 1).filter({ hasText: "ICU-8" }).waitFor();
  await page.locator('#beds-table tr[data-key="ZM-006"] .small').click();
  await page.locator("#ask-bed").fill("ICU-9");
  await page.locator("#ask-ok").click();
  await says(page, "beds-notice", "The monitor shows it after its next configuration");
  assert.equal(monitor.bedId, "ICU-9");
  await page.context().close();
});

const BATCH = "3f1c9a52-7d60-4e0b-9c1d-2a6b8e5f4d30";
const openBatch = (options = {}) => open(`batches?batch=${BATCH}`, options);
const answerIt = async (page) => {
  await page.locator("#ask-ok").click();
  await page.locator("#ask").waitFor({ state: "hidden" });
};

test("a batch shows how far it is, what has failed and why, and moves while one looks", async () => {
  const { page, faults } = await open("batches");
  assert.equal(await (await cell(page, "batches", BATCH, 3)).textContent(), "4 of 13");
  await page.getByRole("button", { name: "Ward 3, new monitors" }).click();
  await says(page, "batch-words", "Paired: 4 · Failed: 3 · At work: 2 · Waiting: 4");
  const bar = () => page.locator("#batch-progress").evaluate((bar) => [bar.value, bar.max]);
  assert.deepEqual(await bar(), [7, 13]);
  assert.equal(await (await cell(page, "items", 17, 5)).textContent(), "Title of device_unreachable.");
  assert.match(await (await cell(page, "items", 19, 5)).textContent(), /row 19.bedId must be/);
  const looks = stage.count(`GET /api/batches/${BATCH}`);
  stage.move(BATCH, 15, "paired");
  await says(page, "batch-words", "Paired: 5");
  assert.deepEqual(await bar(), [8, 13]);
  assert.ok(stage.count(`GET /api/batches/${BATCH}`) > looks, "it was told, and looked");
  // Nobody is followed who is not looked at.
  await page.locator("#batch a[href='#/batches']").click();
  await page.locator("#batches-table").waitFor();
  await page.waitForFunction(() => document.querySelector("#batch").hidden);
  assert.deepEqual(faults, []);
  await page.context().close();
});

test("a batch is paused, resumed, retried and closed, and offers nothing that is not possible", async () => {
  const { page } = await openBatch();
  const offered = () => page.locator("#batch .actions :visible").allTextContents();
  assert.deepEqual(await offered(), ["Pause", "Retry what has failed", "Close", "Report (CSV)"]);
  // A bad row is mended in another manifest.
  assert.equal(await page.locator("#items-table .small:visible").count(), 2);
  await page.locator("#batch-pause").click();
  await answerIt(page);
  await says(page, "batches-notice", "The batch is paused.");
  assert.deepEqual(await offered(), ["Resume", "Retry what has failed", "Close", "Report (CSV)"]);
  await page.locator("#batch-resume").click();
  await answerIt(page);
  await page.getByRole("button", { name: "Retry ZM-018" }).click();
  await answerIt(page);
  assert.deepEqual(stage.body(`POST /api/batches/${BATCH}/retry`), { rows: [18] });
  await page.locator("#batch-retry").click();
  await answerIt(page);
  await says(page, "batches-notice", "To be scanned again: 1.");
  await says(page, "batch-words", "Failed: 1 · At work: 2 · Waiting: 6");
  assert.deepEqual(await offered(), ["Pause", "Close", "Report (CSV)"]);
  await page.locator("#batch-close").click();
  await answerIt(page);
  await says(page, "batch-words", "Skipped: 6");
  assert.deepEqual(await offered(), ["Report (CSV)"]);
  assert.equal(await page.locator("#batch-report").getAttribute("href"), `/api/batches/${BATCH}/report`);
  await page.context().close();
});

test("a batch is opened with a name and a manifest, and an auditor only looks", async () => {
  const { page } = await open("batches");
  await page.locator("#batch-new").click();
  await page.locator("#ask-ok").click();
  await says(page, "ask-error", "Give it a name");
  await page.locator("#ask-name").fill("Ward 4 & 5");
  await page.locator("#ask-ok").click();
  await says(page, "ask-error", "Choose a file.");
  const manifest = '{"deviceId":"ZM-001"}\n';
  await page.locator("#ask-file").setInputFiles({ name: "a.jsonl", mimeType: "application/jsonl", buffer: Buffer.from(manifest) });
  await stage.refuse("POST /api/batches", "request_malformed", 400, { field: "manifest", rule: "must have at least one row" }, 1);
  await page.locator("#ask-ok").click();
  await says(page, "ask-error", "manifest must have at least one row");
  await answerIt(page);
  await says(page, "batch-name", "Ward 4 & 5");
  const { body, query } = stage.asked.findLast(({ name }) => name === "POST /api/batches");
  assert.deepEqual([body, new URLSearchParams(query).get("name")], [manifest, "Ward 4 & 5"]);
  await page.context().close();

  const { page: auditor } = await openBatch({ stage: { login: { operator: "audrey", role: "auditor" } } });
  await says(auditor, "batch-words", "Paired: 4");
  assert.equal(await auditor.locator("#batches button:visible").count(), 0);
  await auditor.context().close();
});

test("a monitor is taken out of service by whoever types its name", async () => {
  const { page } = await open("fleet");
  await openDevice(page, "ZM-002");
  await page.getByRole("button", { name: "Take out of service" }).click();
  await page.locator("#ask-name").fill("ZM-001");
  await page.locator("#ask-ok").click();
  await says(page, "ask-error", "not its name");
  assert.equal(stage.count("POST /api/registry/devices/ZM-002/decommission"), 0);
  await page.locator("#ask-name").fill("ZM-002");
  await page.locator("#ask-ok").click();
  await says(page, "device-notice", "is out of service");
  await page.locator("#device-actions").waitFor({ state: "hidden" });
  await says(page, "device-certificates", "Revoked: out of service");
  await page.keyboard.press("Escape");
  await cell(page, "fleet", "ZM-002", 2).filter({ hasText: "Out of service" }).waitFor();
  await page.context().close();
});

test("a new identity key and a new audit log are an administrator's word", async () => {
  const { page } = await open("fleet");
  await openDevice(page, "ZM-001");
  await page.getByRole("button", { name: "New identity key" }).click();
  await page.locator("#ask-manifest").fill('{"deviceId":"ZM-001"}');
  await stage.refuse("POST /api/registry/devices/ZM-001/rekey", "request_malformed", 400, { field: "deviceSerial", rule: "must be present" }, 1);
  await page.locator("#ask-ok").click();
  await says(page, "ask-error", "deviceSerial must be present");
  await page.locator("#ask-ok").click();
  await says(page, "device-notice", "has its new identity key");
  assert.equal(stage.asked.findLast(({ name }) => name.endsWith("/rekey")).body, '{"deviceId":"ZM-001"}', "as it was typed");
  await page.getByRole("button", { name: "Accept a new audit log" }).click();
  await page.locator("#ask-ok").click();
  await says(page, "device-notice", "may begin a new audit log");
  await page.context().close();
});

test("a manifest is imported whole, and one that is refused says why", async () => {
  const { page } = await open("fleet");
  await page.locator("#import").click();
  await page.locator("#ask-ok").click();
  await says(page, "ask-error", "Choose a file");
  const file = { name: "m.jsonl", mimeType: "application/jsonl", buffer: Buffer.from('{"deviceId":"ZM-010"}\n') };
  await page.locator("#ask-file").setInputFiles(file);
  await stage.refuse("POST /api/registry/import", "device_key_conflict", 409, { field: "row 1.deviceId", rule: "must not be registered under another key" }, 1);
  await page.locator("#ask-ok").click();
  await says(page, "ask-error", "row 1.deviceId must not be registered under another key");
  await page.locator("#ask-ok").click();
  await says(page, "fleet-notice", "2 new, 0 changed, 1 as they were");
  const sent = stage.asked.findLast(({ name }) => name === "POST /api/registry/import");
  assert.equal(sent.body, '{"deviceId":"ZM-010"}\n');
  assert.equal(sent.headers["content-type"], "application/json");
  await page.context().close();
});

test("a made password is shown once and kept nowhere", async () => {
  const { page } = await open("operators");
  await page.locator("#operator-add").click();
  await page.locator("#ask-operator").fill("tara");
  await page.locator("#ask-role").selectOption("auditor");
  await page.locator("#ask-ok").click();
  await says(page, "once-password", "kjhgfedcba9876543210");
  assert.deepEqual(stage.body("POST /api/operators"), { operator: "tara", role: "auditor" });
  await page.keyboard.press("Escape");
  assert.equal(await page.locator("#once").isVisible(), true, "nobody loses it by accident");
  await page.locator("#once-close").click();
  await cell(page, "operators", "tara", 3).filter({ hasText: "not changed yet" }).waitFor();
  const kept = await page.evaluate(() => document.documentElement.outerHTML + JSON.stringify({ ...sessionStorage, ...localStorage }));
  assert.ok(!kept.includes("kjhgfedcba"));
  await page.context().close();
});

test("accounts are barred, let in and given a new password, but nobody's own", async () => {
  const { page } = await open("operators");
  assert.equal(await page.locator('#operators-table tr[data-key="ada"] .small').isVisible(), false);
  const change = async (who, what) => {
    await page.locator(`#operators-table tr[data-key="${who}"] .small`).click();
    await page.locator("#ask-what").selectOption(what);
    await page.locator("#ask-ok").click();
  };
  await change("tess", "disable");
  await cell(page, "operators", "tess", 3).filter({ hasText: "Disabled" }).waitFor();
  await change("tim", "enable");
  await cell(page, "operators", "tim", 3).filter({ hasText: "May log in" }).waitFor();
  await stage.refuse("POST /api/operators/audrey/access", "last_administrator", 409, {}, 1);
  await change("audrey", "disable");
  await says(page, "ask-error", "last_administrator");
  await page.locator("#ask-cancel").click();
  await change("audrey", "password");
  await says(page, "once-password", "0123456789abcdefghjk");
  await page.context().close();
});

test("the audit log is read from its newest row, verified and saved", async () => {
  const { page } = await open("audit");
  await says(page, "chain", "intact: 130 rows, 3 checkpoints");
  assert.equal(await page.locator("#audit-table tbody tr").count(), 50);
  await cell(page, "audit", "130", 6).waitFor();
  await page.locator("#audit-older").click();
  await cell(page, "audit", "80", 6).waitFor();
  await page.locator("#audit-older").click();
  await cell(page, "audit", "1", 6).waitFor();
  await page.waitForFunction(() => document.querySelector("#audit-older").disabled);
  await page.locator("#audit-newest").click();
  await cell(page, "audit", "130", 6).waitFor();
  assert.match(await cell(page, "audit", "126", 2).textContent(), /login refused – authentication failed/);
  const saved = async (button) => {
    const [download] = await Promise.all([page.waitForEvent("download"), page.locator(button).click()]);
    return [download.suggestedFilename(), await readFile(await download.path(), "utf8")];
  };
  const [lines, text] = await saved("#audit-jsonl");
  assert.match(lines, /^audit-\d{4}-\d\d-\d\d\.jsonl$/);
  const rows = text.trimEnd().split("\n").map((line) => JSON.parse(line));
  assert.deepEqual(rows, JSON.parse(JSON.stringify(stage.audit)), "every row, oldest first, as the station has it");
  await says(page, "audit-notice", "130 rows are exported");
  const [, table] = await saved("#audit-csv");
  const [head, ...more] = table.trimEnd().split("\r\n");
  assert.match(head, /^lane,seq,timestamp,eventType,/);
  assert.equal(more.length, 130);
  assert.ok(more.some((row) => row.includes('"{""from"":""ICU-1"",""to"":""=ICU-3B,\\""x\\""""}"')), "quoted as RFC 4180 says");

  stage.intact = false;
  await page.locator("#audit-verify").click();
  await says(page, "chain", "broken: station:CS-1 row 17");
  assert.equal(await page.locator("#chain").getAttribute("data-tone"), "bad");
  await page.context().close();
});

test("the policy is read, and nothing in it can be pressed", async () => {
  const { page } = await open("policy");
  await says(page, "policy-station", "monitoring.hospital.com:8443");
  await says(page, "policy-trust", "confirmed at the monitor");
  await says(page, "policy-trust", "with the current certificate");
  await says(page, "policy-reach", "10.1.0.0/16");
  await says(page, "policy-times", "90 days");
  assert.equal(await page.locator("#policy").locator("button, input, select").count(), 0);
  await page.context().close();
});

test("a login that ends comes back to where it was", async () => {
  const { page } = await open("fleet?state=connected", {}, (page) => page.clock.install());
  await openDevice(page, "ZM-001");
  stage.login = null;
  await page.clock.runFor(5_100);
  await page.locator("body[data-view=login]").waitFor();
  assert.equal(await page.locator("#device").isVisible(), false);
  assert.equal(await page.locator("nav").isVisible(), false);
  await says(page, "login-reason", "come back to where you were");
  await page.locator("#login-operator").fill("ada");
  await page.locator("#login-password").fill("correct horse battery");
  await page.keyboard.press("Enter");
  await page.locator("body[data-view=fleet]").waitFor();
  assert.equal(await page.locator("#fleet-state").inputValue(), "connected");
  await page.context().close();
});

test("another operator after a logout gets the views of their own role", async () => {
  const { page } = await open("operators");
  await page.locator("#log-out").click();
  await page.locator("body[data-view=login]").waitFor();
  stage.nextRole = "auditor";
  await page.locator("#login-operator").fill("audrey");
  await page.locator("#login-password").fill("correct horse battery");
  await page.keyboard.press("Enter");
  await view(page, "overview");
  assert.equal(await page.locator('nav a[href="#/operators"]').isVisible(), false);
  await page.context().close();
});

test("a station that goes away is waited for, and what was seen comes back fresh", async () => {
  const { page, faults } = await open("fleet");
  await stage.gone();
  await says(page, "lost", "does not answer");
  stage.devices[0].link = { ...stage.devices[0].link, connected: false };
  await stage.back();
  await cell(page, "fleet", "ZM-001", 2).filter({ hasText: "Disconnected" }).waitFor();
  assert.equal(await page.locator("#lost").textContent(), "");
  assert.deepEqual(faults, []);
  await page.context().close();
});

test("a refusal while looking is said, and looking goes on", async () => {
  const { page } = await open("fleet", {}, (page) => page.clock.install());
  await stage.refuse("GET /api/registry/devices", "storage_unavailable", 503, {}, 1);
  await page.clock.runFor(5_100);
  await page.locator("#lost:not(:empty)").waitFor();
  await page.clock.runFor(5_100);
  await page.waitForFunction(() => document.querySelector("#lost").textContent === "");
  await page.context().close();
});

test("the keyboard alone finds a monitor and revokes its certificate", async () => {
  const { page } = await open("fleet");
  const focused = () => page.evaluate(() => document.activeElement.id || document.activeElement.textContent);
  assert.equal(await focused(), "fleet-title");
  await page.keyboard.press("Tab");
  assert.equal(await focused(), "fleet-text");
  await page.keyboard.type("ZM-003");
  await page.keyboard.press("Enter");
  await page.locator("#fleet-table tbody tr").nth(1).waitFor({ state: "detached" });
  for (let at = 0; at < 3; at += 1) await page.keyboard.press("Tab");
  assert.equal(await focused(), "ZM-003");
  await page.keyboard.press("Enter");
  await page.locator("#device[open]").waitFor();
  await page.locator("#device-certificates li").first().waitFor();
  for (let at = 0; at < 2; at += 1) await page.keyboard.press("Tab");
  assert.equal(await focused(), "Revoke");
  await page.keyboard.press("Enter");
  assert.equal(await focused(), "ask-reason");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await says(page, "device-notice", "is revoked");
  await page.keyboard.press("Escape");
  assert.equal(await focused(), "ZM-003", "back where one came from");
  await page.context().close();
});

test("texts of others stay texts", async () => {
  const evil = `"><img src=x onerror="document.title='owned'"><script>document.title='owned'</script>`;
  await stage.reset();
  Object.assign(stage.devices[0], { bedId: evil, deviceLabel: evil, model: evil, deviceId: evil });
  stage.audit[129].detail = { [evil]: evil };
  stage.policy.stationName = evil;
  const { page, faults } = await openPage({}, "#/fleet");
  await view(page, "fleet");
  await page.locator("#fleet-table button").first().click();
  await says(page, "device-title", "onerror");
  for (const name of ["beds", "audit", "policy"]) {
    await page.evaluate((name) => (location.hash = `/${name}`), name);
    await view(page, name);
  }
  assert.equal(await page.locator("img").count(), 0);
  assert.ok(!(await page.title()).includes("owned"));
  assert.deepEqual(faults, []);
  await page.context().close();
});

test("every change is asked as our page, and nothing is asked elsewhere", async () => {
  const { page, asked } = await open("operators");
  await page.locator('#operators-table tr[data-key="tess"] .small').click();
  await page.locator("#ask-what").selectOption("disable");
  await page.locator("#ask-ok").click();
  await says(page, "operators-notice", "tess is disabled");
  for (const name of VIEWS) {
    await page.evaluate((name) => (location.hash = `/${name}`), name);
    await view(page, name);
  }
  const { origin } = new URL(stage.url);
  assert.deepEqual(asked.filter((url) => !url.startsWith("data:") && new URL(url).origin !== origin), []);
  for (const { name, headers } of stage.asked) {
    if (!name.startsWith("GET")) assert.equal(headers["x-zmon-page"], "1", name);
  }
  await page.context().close();
});

test("the console speaks three languages", async () => {
  for (const [locale, title] of [["es", "Monitores"], ["de", "Monitore"], ["fr", "Monitors"]]) {
    const { page } = await open("fleet", { page: { locale } });
    await says(page, "fleet-title", title);
    // The title speaks before the page is loaded anew, which is what the rest waits for.
    await Promise.all([page.waitForEvent("load"), page.locator("#language").selectOption("de")]);
    await says(page, "fleet-title", "Monitore");
    await page.locator("body[data-fresh=true]").waitFor();
    assert.equal(await cell(page, "fleet", "ZM-001", 2).textContent(), "Verbunden");
    await page.context().close();
  }
});
