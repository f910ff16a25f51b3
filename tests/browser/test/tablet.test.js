// The tablet's page over a scripted station: every view, every bad input, and a camera that sees films.

import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { launch, launchWithCamera } from "../rig.js";
import { cameraFrame, content, film, ID, qrPicture, STATION, StationStage } from "../tablet-stage.js";

const SIZES = [[800, 480], [1024, 768], [390, 844], [1440, 900]];
const CLAIM = "POST /api/provisioning/sessions";
const PAIR = "POST /api/provisioning/pair";
const BLINK = "POST /api/provisioning/pair/{id}/blink";
const COURIER = "POST /api/provisioning/pair/{id}/courier";
const EVENTS = "GET /api/provisioning/pair/{id}/events";

let home;
let stage;
let axe;
/** Without a film before its camera; most tests need none. */
let browser;
let own;
const launched = [];

// A page that waits for what never comes is given up soon.
const PATIENCE = 15_000;

before(async () => {
  axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
  home = await mkdtemp(join(tmpdir(), "zmon-tablet-"));
  [browser, stage] = await Promise.all([launch(), StationStage.open()]);
  own = await content();
});
after(async () => {
  await Promise.all([browser, ...launched].map((one) => one?.close()));
  stage?.close();
  await rm(home, { recursive: true, force: true });
});

const view = (page, name) => page.locator(`body[data-view=${name}]`).waitFor();
const says = (page, id, words) => page.locator(`#${id}`).filter({ hasText: words }).waitFor();

async function openPage(options = {}, of = browser, before = async () => {}) {
  const context = await of.newContext({ viewport: { width: 1024, height: 768 }, locale: "en", ...options });
  context.setDefaultTimeout(PATIENCE);
  const page = await context.newPage();
  const faults = [];
  page.on("pageerror", (error) => faults.push(String(error)));
  await before(page);
  await page.goto(stage.url);
  return { page, faults };
}

/** A page at the scan view, of a stage that begins anew. */
async function open(options, of, before) {
  await stage.reset();
  const opened = await openPage(options, of, before);
  await view(opened.page, "scan");
  return opened;
}

async function typeCode(page, device = "ZM-001", code = "ABC-123-XYZ") {
  await page.locator("#to-typed").click();
  await page.locator("#typed-device").fill(device);
  await page.locator("#typed-code").fill(code);
  await page.locator("#typed-form button[type=submit]").click();
}

async function reachBed(page) {
  await typeCode(page);
  await view(page, "bed");
  await page.locator("#bed-now").filter({ hasNotText: "…" }).waitFor();
}

async function confirm(page, bed = "ICU-3B", label = "ICU-MON-04") {
  await page.locator("#bed-id").fill(bed);
  await page.locator("#bed-label").fill(label);
  await page.locator("#bed-ok").click();
}

/** A browser whose camera sees these texts, each as a QR code at level H. */
async function seeing(texts, how = {}) {
  const pictures = await Promise.all(texts.map(qrPicture));
  const path = join(home, `${Math.random().toString(36).slice(2)}.y4m`);
  await film(path, [await cameraFrame(browser, pictures, how)]);
  return kept(launchWithCamera(path));
}

/** A browser that is closed at the end, whatever becomes of its test. */
async function kept(starting) {
  launched.push(await starting);
  return launched.at(-1);
}

async function violations(page) {
  await page.evaluate(axe);
  const tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
  const found = await page.evaluate(
    (tags) => window.axe.run(document, { runOnly: { type: "tag", values: tags } }), tags);
  return found.violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`);
}

/** Every view, by what leads there from the scan. */
const VIEWS = {
  scan: async () => {},
  login: async (page) => page.locator("#log-out").click(),
  typed: async (page) => {
    await page.locator("#to-typed").click();
    await page.locator("#typed-code").fill("ABC-123-XYA");
    await page.locator("#typed-place summary").click();
  },
  claim: async (page) => {
    stage.answer(CLAIM, { hold: new Promise(() => {}) });
    await typeCode(page);
  },
  bed: async (page) => {
    Object.assign(stage.row, { bedId: "ICU-3B", deviceLabel: "ICU-MON-04", provisioned: true });
    stage.atBed = [{ ...stage.row, deviceId: "ZM-009" }];
    await reachBed(page);
    await page.locator("#bed-agree").waitFor();
  },
  steps: async (page) => {
    await reachBed(page);
    await confirm(page);
    await view(page, "steps");
    stage.say("delivering");
    await page.locator("#step-list li:nth-child(3)[aria-current]").waitFor();
  },
  courier: async (page) => {
    await reachCourier(page);
    await page.locator("#courier-both summary").click();
    await page.locator("#courier-download").click();
    await says(page, "courier-notice", "hello.json");
    await page.locator("#courier-file").setInputFiles(file("x.json", "no answer"));
    await page.locator("#courier-refusal:not([hidden])").waitFor();
  },
  end: async (page) => {
    await reachBed(page);
    await stage.fail("failed", "device_unreachable");
  },
};

const file = (name, text) => ({ name, mimeType: "application/json", buffer: Buffer.from(text) });

/** Shows the page a picture of this QR code. */
async function photograph(page, code = own) {
  const png = Buffer.from((await qrPicture(JSON.stringify(code))).split(",")[1], "base64");
  await page.locator("#photo").setInputFiles({ name: "x.png", mimeType: "image/png", buffer: png });
}

/** A monitor that only a courier reaches: scanned, its bed chosen, the first message waits. */
async function reachCourier(page) {
  stage.answer(CLAIM, { status: 202, body: { ...stage.pending, delivery: "courier" },
    then: () => stage.say("dialling", { delivery: "courier", secondsLeft: 113, deviceSerial: undefined, firmwareVersion: undefined }) });
  await photograph(page);
  await view(page, "bed");
  await page.locator("#bed-courier:not([hidden])").waitFor();
  await page.locator("#bed-now").filter({ hasNotText: "…" }).waitFor();
  await confirm(page);
  await view(page, "courier");
}

test("axe finds nothing in any view, light or dark", async () => {
  for (const colorScheme of ["light", "dark"]) {
    for (const [name, act] of Object.entries(VIEWS)) {
      const { page } = await open({ colorScheme, reducedMotion: "reduce" });
      await act(page);
      await view(page, name);
      assert.deepEqual(await violations(page), [], `${name} ${colorScheme}`);
      await page.context().close();
    }
    const { page } = await openPage({ colorScheme });
    await page.goto(`${stage.url}trust`);
    await view(page, "trust");
    assert.deepEqual(await violations(page), [], `trust ${colorScheme}`);
    await page.context().close();
  }
});

test("nothing is wider than the screen, and nothing is smaller than a finger", async () => {
  for (const locale of ["en", "es", "de"]) {
    for (const [name, act] of Object.entries(VIEWS)) {
      const { page } = await open({ locale });
      await act(page);
      await view(page, name);
      for (const [width, height] of SIZES) {
        await page.setViewportSize({ width, height });
        const found = await page.evaluate(() => {
          const root = document.documentElement;
          const targets = [...document.querySelectorAll("a, button, summary, select, input:not(.unseen, [type=checkbox]), label.check")];
          const small = targets
            .filter((target) => target.checkVisibility() && target.getBoundingClientRect().width > 1)
            .filter((target) => Math.min(target.getBoundingClientRect().width, target.getBoundingClientRect().height) < 44)
            .map((target) => target.id || target.textContent);
          return { wide: root.scrollWidth - root.clientWidth, small };
        });
        assert.deepEqual(found, { wide: 0, small: [] }, `${name} ${locale} ${width}x${height}`);
      }
      await page.context().close();
    }
  }
});

test("the camera claims at the instant of the scan, and twenty monitors go by without reloading", async () => {
  const camera = await seeing([JSON.stringify(own)]);
  const { page, faults } = await open({}, camera, (page) => page.addInitScript(() => {
    window.heard = [];
    navigator.vibrate = (pattern) => window.heard.push(pattern);
    window.loads = 0;
    addEventListener("pagehide", () => (window.loads += 1));
  }));
  for (let turn = 1; turn <= 20; turn += 1) {
    await view(page, "bed");
    assert.equal(stage.count(CLAIM), turn, "one claim a scan");
    assert.equal(await page.evaluate(() => document.querySelector("#camera").srcObject), null, "the camera is off");
    await confirm(page, `BED-${turn}`, "");
    await view(page, "steps");
    stage.say("issuing");
    stage.say("delivering", { tested: true });
    stage.say("paired", { tested: true });
    await says(page, "end-title", "Paired");
    await page.locator("#next").click();
  }
  const first = JSON.parse(stage.asked.find(({ name }) => name === CLAIM).body);
  assert.deepEqual(first, own, "all seven members, as they are");
  await view(page, "bed");
  await page.locator("#bed-cancel").click();
  const heard = await page.evaluate(() => window.heard);
  assert.equal(heard.length, 20, "success is felt");
  assert.equal(await page.evaluate(() => window.loads), 0);
  assert.deepEqual(faults, []);
  await camera.close();
});

test("an end is heard and felt: two rising tones or two falling ones, and none where the sound is off", async () => {
  const { page } = await open({}, browser, (page) => page.addInitScript(() => {
    window.heard = [];
    window.felt = [];
    navigator.vibrate = (pattern) => window.felt.push(pattern);
    const make = AudioContext.prototype.createOscillator;
    AudioContext.prototype.createOscillator = function () {
      const tone = make.call(this);
      const start = tone.start;
      tone.start = (...at) => (window.heard.push(tone.frequency.value), start.apply(tone, at));
      return tone;
    };
  }));
  const end = async (phase, code) => {
    await reachBed(page);
    if (code) await stage.fail(phase, code);
    else stage.say(phase);
    await view(page, "end");
    await page.locator("#next").click();
    await view(page, "scan");
    return page.evaluate(() => [window.heard.splice(0), window.felt.splice(0)]);
  };
  assert.deepEqual(await end("paired"), [[660, 990], [[80, 60, 80]]]);
  assert.deepEqual(await end("failed", "device_unreachable"), [[330, 220], [[300]]]);
  await page.locator("#sound").click();
  assert.deepEqual(await end("paired"), [[], [[80, 60, 80]]]);
  await page.context().close();
});

test("other QR codes say what they are, and nothing is sent", async () => {
  const other = JSON.stringify(await content({ deviceId: "ZM-002", pairingToken: "B".repeat(68) }));
  const films = [
    [["https://evil.example/pair?code=ABC-123-XYZ"], "is a web address"],
    [["WIFI:T:WPA;S:ward;P:secret;;"], "belongs to another product"],
    [[JSON.stringify(own).slice(0, 180)], "a part of it is missing"],
    [[JSON.stringify(own), other], "Two monitors are in the picture"],
  ];
  for (const [texts, words] of films) {
    const camera = await seeing(texts);
    const { page } = await open({}, camera);
    await says(page, "scan-notice", words);
    assert.ok(!(await page.content()).includes("evil.example"));
    assert.equal(stage.count(CLAIM), 0, words);
    await camera.close();
  }
});

test("a blurred code is waited for, then how to hold the tablet is said", async () => {
  const camera = await seeing([JSON.stringify(own)], { blur: 6 });
  const { page } = await open({}, camera, (page) => page.clock.install());
  await page.waitForFunction(() => document.querySelector("#camera").videoWidth > 0);
  assert.match(await page.locator("#scan-hint").textContent(), /inside the frame/);
  await page.clock.runFor(10_500);
  await says(page, "scan-hint", "Nothing readable yet");
  assert.equal(stage.count(CLAIM), 0);
  await camera.close();
});

test("an old QR code that nobody answers to is called old", async () => {
  const camera = await seeing([JSON.stringify(await content({ expiresAt: "2024-11-25T14:30:00Z" }))]);
  await stage.reset();
  await stage.refuse(CLAIM, "device_unreachable", 502);
  const { page } = await openPage({}, camera);
  await says(page, "end-cause", "older than ten minutes");
  await says(page, "end-next", "Regenerate QR Code");
  await says(page, "end-facts", "device_unreachable");
  await camera.close();
});

test("without a camera it says why, and the typed code is one press away", async () => {
  const cases = [
    [await kept(launch("--use-fake-device-for-media-stream", "--deny-permission-prompts")), async () => {}, "not allowed for this page"],
    [await kept(launchWithCamera(null)), async () => {}, "has no camera"],
    [await kept(launch()), (page) => page.addInitScript(() => Object.defineProperty(window, "isSecureContext", { value: false })), "does not trust"],
  ];
  for (const [of, before, words] of cases) {
    const { page } = await open({}, of, before);
    await says(page, "no-camera", words);
    await typeCode(page);
    await view(page, "bed");
    await of.close();
  }
});

test("a photo is read like the camera's picture", async () => {
  const { page } = await open();
  const png = Buffer.from((await qrPicture(JSON.stringify(own))).split(",")[1], "base64");
  await page.locator("#photo").setInputFiles({ name: "x.png", mimeType: "image/png", buffer: Buffer.from("no picture") });
  await says(page, "scan-notice", "no picture that can be read");
  await page.locator("#photo").setInputFiles({ name: "x.png", mimeType: "image/png", buffer: png });
  await view(page, "bed");
  assert.equal(stage.count(CLAIM), 1);
  await page.context().close();
});

test("a typed code is judged while it is typed, and a typo is not sent", async () => {
  const { page } = await open();
  await page.locator("#to-typed").click();
  await page.locator("#typed-device").fill("ZM-001");
  const code = page.locator("#typed-code");
  await code.pressSequentially("abc1");
  assert.equal(await code.inputValue(), "ABC1");
  await says(page, "typed-code-state", "5 more");
  await code.pressSequentially("23xya");
  assert.equal(await code.inputValue(), "ABC-123-XYA");
  await says(page, "typed-code-state", "Mistyped");
  await page.keyboard.press("Enter");
  await code.press("Backspace");
  await code.pressSequentially("z");
  await says(page, "typed-code-state", "check symbol fits");
  assert.equal(stage.count(CLAIM), 0);
  await stage.refuse(CLAIM, "request_malformed", 422, { field: "ipAddress", rule: "must be given" }, 1);
  await page.keyboard.press("Enter");
  await says(page, "typed-address-error", "Give its address and port");
  await page.locator("#typed-address").fill("192.168.1.100");
  await page.locator("#typed-port").fill("8443");
  await page.keyboard.press("Enter");
  await view(page, "bed");
  const sent = JSON.parse(stage.asked.filter(({ name }) => name === CLAIM).at(-1).body);
  assert.deepEqual(sent, { deviceId: "ZM-001", pairingCode: "ABC-123-XYZ", ipAddress: "192.168.1.100", port: 8443 });
  await page.context().close();
});

test("before pairing it shows which monitor, where it is, and who has the bed", async () => {
  const { page } = await open();
  Object.assign(stage.row, { bedId: "ICU-1", deviceLabel: "OLD", provisioned: true });
  stage.atBed = [stage.row, { ...stage.row, deviceId: "ZM-009", deviceLabel: "ICU-MON-09" }];
  await reachBed(page);
  await says(page, "bed-device", "ZM-001");
  await says(page, "bed-serial", "SN-2024-001234");
  await says(page, "bed-model", "Z Monitor 12");
  await says(page, "bed-firmware", "1.2.3");
  await says(page, "bed-now", "ICU-1 · OLD");
  await says(page, "bed-station", STATION);
  await says(page, "bed-provisioned", "works already");
  await page.locator("#bed-id").fill("ICU-3B");
  await page.locator("#bed-ok").click();
  await says(page, "bed-taken", "ZM-009 · ICU-MON-09");
  assert.equal(stage.count(PAIR), 0, "nobody has agreed");
  await page.locator("#bed-agreed").check();
  await page.locator("#bed-ok").click();
  await view(page, "steps");
  const sent = JSON.parse(stage.asked.find(({ name }) => name === PAIR).body);
  assert.deepEqual(sent, {
    deviceId: "ZM-001", pairingCode: "ABC-123-XYZ", sessionId: ID, bedId: "ICU-3B", deviceLabel: "OLD",
  });
  await page.context().close();
});

test("identify has the monitor blink, once however often it is tapped, and says when it cannot", async () => {
  const { page, faults } = await open();
  await reachBed(page);
  let answered;
  stage.answer(BLINK, { hold: new Promise((done) => (answered = done)) }, 1);
  await page.locator("#bed-blink").dblclick();
  await says(page, "bed-blinking", "Asking");
  assert.ok(await page.locator("#bed-blink").isDisabled());
  stage.blink.seconds = 1;
  answered();
  await says(page, "bed-blinking", "It blinks for 1 s");
  assert.equal(stage.count(BLINK), 1);
  // When the second is over it may be asked for again.
  await page.locator("#bed-blink:enabled").click();
  await says(page, "bed-blinking", "It blinks");
  await page.locator("#bed-blink:enabled").waitFor();
  await stage.refuse(BLINK, "device_unreachable", 502, {}, 1);
  await page.locator("#bed-blink").click();
  await says(page, "bed-blinking", "Next of device_unreachable");
  assert.ok(await page.locator("#bed-blink").isEnabled());
  await confirm(page);
  await view(page, "steps");
  assert.deepEqual(faults, []);
  await page.context().close();
});

test("a monitor that only a courier reaches does not blink, and is paired by two files there and two back", async () => {
  const { page, faults } = await open();
  await reachCourier(page);
  assert.ok(await page.locator("#bed-blink").isHidden());
  await says(page, "courier-trip", "Trip 1 of 2");
  const save = async (name) => {
    const [download] = await Promise.all([page.waitForEvent("download"), page.locator("#courier-download").click()]);
    assert.equal(download.suggestedFilename(), name);
    return JSON.parse(await readFile(await download.path(), "utf8"));
  };
  const { v, sessionId, deviceId, message } = stage.courier;
  assert.deepEqual(await save("hello.json"), { v, sessionId, deviceId, message });
  await says(page, "courier-notice", "hello.json is saved");

  // What is not the answer is told by what it is, and not sent.
  const bring = (name, content) =>
    page.locator("#courier-file").setInputFiles(file(name, typeof content === "string" ? content : JSON.stringify(content)));
  const answer = { v: 1, sessionId: ID, reply: { identity: { identity: "e30.e30.c2ln" } } };
  for (const [content, words] of [
    ["GIF89a", "no answer of a monitor"],
    ["[1, 2]", "no answer of a monitor"],
    [" ".repeat(70_000), "no answer of a monitor"],
    [{ v, sessionId, deviceId, message }, "a message for the monitor"],
    [{ ...answer, sessionId: ID.replace("67", "68") }, "the answer to another pairing"],
    [{ ...answer, reply: { status: { status: "e30.e30.c2ln" } } }, "not the answer that is waited for"],
  ]) {
    await bring("brought.json", content);
    await says(page, "courier-refusal", words);
    await says(page, "courier-refusal", "brought.json");
  }
  assert.equal(stage.count(COURIER), 0);
  await stage.refuse(COURIER, "signature_invalid", 403, {}, 1);
  await bring("identity.json", answer);
  await says(page, "courier-refusal", "Next of signature_invalid");
  // It may be brought again, after a new load of the page too.
  await page.reload();
  await view(page, "courier");
  await page.goBack();
  await says(page, "courier-refusal", "still being paired");
  await bring("identity.json", answer);
  await says(page, "courier-notice", "identity.json was taken");
  assert.deepEqual(JSON.parse(stage.asked.findLast(({ name }) => name === COURIER).body), answer);

  stage.say("issuing", { delivery: "courier" });
  await says(page, "courier-trip", "at work");
  stage.courier.message = { configuration: { envelope: "AQID" } };
  stage.say("awaitingCommit", { delivery: "courier" });
  await says(page, "courier-trip", "Trip 2 of 2");
  assert.deepEqual((await save("envelope.json")).message, stage.courier.message);
  await bring("identity.json", answer);
  await says(page, "courier-refusal", "Choose the status.json of this trip");
  stage.courier.message = undefined;
  await page.locator("#courier-download").click();
  await says(page, "courier-refusal", "No message waits");
  stage.say("paired", { delivery: "courier", tested: true });
  await says(page, "end-title", "Paired");
  assert.equal(stage.count(CLAIM), 1);
  assert.equal(stage.count(PAIR), 1);
  assert.deepEqual(faults, []);
  await page.context().close();
});

test("no way to a monitor is a dead end: typed codes, and networks that the station may not enter", async () => {
  const { page } = await open();
  stage.answer(CLAIM, { status: 202, body: { ...stage.pending, delivery: "courier" },
    then: () => stage.say("dialling", { delivery: "courier", secondsLeft: 113 }) });
  await typeCode(page);
  await view(page, "bed");
  await says(page, "bed-courier", "a typed code cannot wait for files");
  await confirm(page);
  await view(page, "courier");
  await says(page, "courier-why", "scan the QR code");
  assert.ok(await page.locator("#courier-download").isHidden());
  await says(page, "courier-command", `zmon courier --session ${ID}`);
  await page.locator("#courier-cancel").click();
  await view(page, "scan");

  // Where the station may not dial, it is told to dial nobody.
  await stage.reset();
  await stage.refuse(CLAIM, "address_not_permitted", 403, {}, 1);
  await photograph(page);
  await says(page, "end-facts", "address_not_permitted");
  await page.locator("#end-courier").click();
  await view(page, "bed");
  const scans = stage.asked.filter(({ name }) => name === CLAIM).map(({ body }) => JSON.parse(body));
  assert.deepEqual(scans, [own, { ...own, delivery: "courier" }]);
  await stage.fail("failed", "device_unreachable", { delivery: "courier" });
  await says(page, "end-facts", "device_unreachable");
  assert.ok(await page.locator("#end-courier").isHidden());
  await page.context().close();
});

test("the words to compare stand there until the monitor has tested its connection", async () => {
  const { page } = await open();
  await reachBed(page);
  const words = "struggle affair task open";
  await confirm(page);
  stage.say("issuing", { words });
  await page.locator("#step-list li:nth-child(2)[aria-current]").waitFor();
  assert.ok(await page.locator("#words").isHidden());
  stage.say("delivering", { words });
  await says(page, "words-four", words);
  await says(page, "words", "Somebody at the monitor confirms");
  assert.deepEqual(await violations(page), []);
  await page.reload();
  await says(page, "words-four", words);
  stage.say("delivering", { words, tested: true });
  await page.locator("#words").waitFor({ state: "hidden" });
  stage.say("paired");
  await says(page, "end-title", "Paired");
  await page.context().close();
});

test("at 110 seconds on the bed page it still pairs, at 121 it is told to scan again", async () => {
  const { page } = await open({}, browser, (page) => page.clock.install());
  await reachBed(page);
  await page.clock.runFor(1_000);
  await says(page, "bed-time", "1:59 left");
  // The station speaks every 5 s; a page that hears nothing asks again.
  await page.clock.runFor(94_000);
  stage.say("identified", { secondsLeft: 10 });
  await says(page, "bed-time", "0:10 left");
  await says(page, "bed-hurry", "Half a minute");
  await confirm(page);
  await view(page, "steps");
  stage.say("paired");
  await says(page, "end-title", "Paired");
  await page.context().close();

  const { page: late } = await open({}, browser, (page) => page.clock.install());
  await reachBed(late);
  await late.clock.runFor(121_000);
  stage.say("identified", { secondsLeft: 0 });
  await says(late, "bed-time", "0:00 left");
  await stage.fail("released", "session_expired");
  await says(late, "end-cause", "Two minutes have passed");
  await says(late, "end-next", "Scan that one");
  assert.equal(stage.count(PAIR), 0);
  await late.locator("#next").click();
  await view(late, "scan");
  await late.context().close();
});

test("two taps, the way back and a new load pair once", async () => {
  const { page } = await open();
  await reachBed(page);
  await page.goBack();
  await says(page, "bed-refusal", "still being paired");
  await page.locator("#bed-id").fill("ICU-3B");
  await page.locator("#bed-ok").dblclick();
  await view(page, "steps");
  stage.say("issuing");
  await page.goBack();
  await says(page, "steps-refusal", "still being paired");
  await page.reload();
  await view(page, "steps");
  stage.say("paired");
  await says(page, "end-facts", "ICU-3B");
  assert.equal(stage.count(CLAIM), 1);
  assert.equal(stage.count(PAIR), 1);
  await page.context().close();
});

test("a second tab that scans the same code gets the first one's result", async () => {
  const { page } = await open();
  stage.say("paired", { tested: true });
  await stage.refuse(CLAIM, "pairing_code_consumed", 409, { instance: `/api/provisioning/pair/${ID}` });
  await typeCode(page);
  // A typed code is refused at its field; a scanned one is followed to its result.
  await says(page, "typed-refusal", "pairing_code_consumed");
  await page.locator("#typed-back").click();
  await photograph(page);
  await says(page, "end-cause", "ZM-001 is provisioned.");
  assert.equal(stage.count(PAIR), 0);
  await page.context().close();
});

test("a station that goes away in the middle is waited for, and its state comes first", async () => {
  const { page, faults } = await open();
  await reachBed(page);
  await confirm(page);
  await view(page, "steps");
  stage.say("delivering");
  await page.locator("#step-list li:nth-child(3)[aria-current]").waitFor();
  await stage.gone();
  await says(page, "lost", "does not answer");
  stage.state = { ...stage.state, tested: true };
  await stage.back();
  await page.locator("#step-list li:nth-child(4)[aria-current]").waitFor();
  assert.equal(await page.locator("#lost").textContent(), "");
  stage.say("paired");
  await says(page, "end-title", "Paired");
  assert.deepEqual(faults, []);

  // One that does not know the session any more says so.
  await page.locator("#next").click();
  await reachBed(page);
  await stage.gone();
  stage.state = null;
  await stage.back();
  await says(page, "end-facts", "session_unknown");
  await page.locator("#next").click();
  await view(page, "scan");
  await page.context().close();
});

test("a tablet that slept asks again by itself", async () => {
  const { page } = await open({}, browser, (page) => page.clock.install());
  await reachBed(page);
  const before = stage.count(EVENTS);
  await page.clock.runFor(13_000);
  await page.waitForFunction(() => document.querySelector("#lost").textContent === "");
  assert.ok(stage.count(EVENTS) > before);
  await page.context().close();
});

test("a login that ends in the middle is asked for again, and the pairing goes on", async () => {
  const { page } = await open();
  await reachBed(page);
  await page.locator("#bed-id").fill("ICU-3B");
  await says(page, "bed-taken", "No other monitor");
  stage.login = null;
  await page.locator("#bed-ok").click();
  await view(page, "login");
  await says(page, "login-reason", "goes on where it was");
  await page.locator("#login-operator").fill("tess");
  await page.locator("#login-password").fill("correct horse battery");
  await page.keyboard.press("Enter");
  await view(page, "steps");
  stage.say("paired");
  await says(page, "end-facts", "ICU-3B");
  assert.equal(stage.count(PAIR), 2, "once refused, once done");

  // Somebody else starts anew: the session is not theirs.
  await page.locator("#next").click();
  await reachBed(page);
  stage.login = null;
  await confirm(page);
  await page.locator("#login-operator").fill("tom");
  await page.locator("#login-password").fill("correct horse battery");
  await page.keyboard.press("Enter");
  await view(page, "scan");
  assert.equal(await page.locator("#round").isVisible(), false);
  await page.context().close();
});

test("a claim that nobody answers may be repeated", async () => {
  const { page } = await open();
  const drop = (path) => page.route(`**/api/provisioning/${path}`, (route) => route.abort(), { times: 1 });
  await drop("sessions");
  await typeCode(page);
  await says(page, "typed-refusal", "did not answer");
  await page.locator("#typed-form button[type=submit]").click();
  await view(page, "bed");
  await drop(`pair/${ID}/cancel`);
  await page.locator("#bed-cancel").click();
  await says(page, "bed-refusal", "did not answer");
  await drop("pair");
  await confirm(page);
  await says(page, "bed-refusal", "nothing is done twice");
  await page.locator("#bed-ok").click();
  await view(page, "steps");
  stage.say("paired");
  await view(page, "end");
  await page.context().close();
});

test("a refused login says what to do, and waits as long as it must", async () => {
  await stage.reset();
  stage.login = null;
  const { page } = await openPage({}, browser, (page) => page.clock.install());
  await view(page, "login");
  const password = page.locator("#login-password");
  await page.keyboard.type("tess");
  await page.keyboard.press("Tab");
  await page.keyboard.type("not this one");
  await stage.refuse("POST /api/auth/session", "authentication_failed", 401, {}, 1);
  await page.keyboard.press("Enter");
  await says(page, "login-error", "authentication_failed");
  assert.equal(await password.inputValue(), "");
  const locked = { status: 429, headers: { "retry-after": "30" } };
  await stage.refuse("POST /api/auth/session", "authentication_locked", 429, {}, 1);
  Object.assign(stage.answers.get("POST /api/auth/session"), locked);
  await page.keyboard.type("again");
  await page.keyboard.press("Enter");
  await says(page, "login-ok", "Wait");
  assert.equal(await page.locator("#login-ok").isDisabled(), true);
  await page.clock.runFor(31_000);
  assert.equal(await page.locator("#login-ok").isDisabled(), false);
  await password.fill("correct horse battery");
  await page.keyboard.press("Enter");
  await view(page, "scan");
  await page.context().close();
});

test("a one-time password is changed before anything else", async () => {
  await stage.reset();
  Object.assign(stage, { login: null, oneTime: true });
  const { page } = await openPage();
  await view(page, "login");
  await page.locator("#login-operator").fill("tess");
  await page.locator("#login-password").fill("made for me");
  await page.keyboard.press("Enter");
  await says(page, "login-own", "Choose one of your own");
  assert.deepEqual(await violations(page), []);
  await stage.refuse("POST /api/operators/self/password", "pin_too_weak", 422, {}, 1);
  await page.locator("#login-new").fill("short");
  await page.keyboard.press("Enter");
  await says(page, "login-error", "pin_too_weak");
  await page.locator("#login-new").fill("correct horse battery");
  await page.keyboard.press("Enter");
  await view(page, "scan");
  const sent = JSON.parse(stage.asked.findLast(({ name }) => name === "POST /api/operators/self/password").body);
  assert.deepEqual(sent, { password: "made for me", newPassword: "correct horse battery" });
  await page.context().close();
});

test("the keyboard alone pairs, and each view is read out", async () => {
  const { page } = await open();
  const focused = () => page.evaluate(() => document.activeElement.id);
  assert.equal(await focused(), "scan-title");
  await page.locator("#to-typed").focus();
  await page.keyboard.press("Enter");
  assert.equal(await focused(), "typed-device");
  await page.keyboard.type("ZM-001");
  await page.keyboard.press("Tab");
  await page.keyboard.type("ABC123XYZ");
  await page.keyboard.press("Enter");
  await view(page, "bed");
  assert.equal(await focused(), "bed-title");
  await page.keyboard.press("Tab");
  assert.equal(await focused(), "bed-blink");
  await page.keyboard.press("Enter");
  await says(page, "bed-blinking", "It blinks");
  await page.keyboard.press("Tab");
  assert.equal(await focused(), "bed-id");
  await page.keyboard.type("ICU-3B");
  await page.keyboard.press("Enter");
  await view(page, "steps");
  assert.equal(await focused(), "steps-title");
  stage.say("paired");
  await view(page, "end");
  assert.equal(await focused(), "end-title");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await view(page, "scan");
  await page.context().close();
});

test("giving up is no failure, and waiting can be stopped", async () => {
  const { page } = await open();
  await reachBed(page);
  await page.locator("#bed-cancel").click();
  await view(page, "scan");
  await says(page, "scan-notice", "Given up");
  stage.answer(CLAIM, { hold: new Promise(() => {}) }, 1);
  await typeCode(page);
  await view(page, "claim");
  await page.locator("#claim-stop").click();
  await says(page, "scan-notice", "may be scanned again");
  await reachBed(page);
  await page.context().close();
});

test("texts of others stay texts", async () => {
  const evil = `"><img src=x onerror="document.title='owned'"><script>document.title='owned'</script>`;
  const { page, faults } = await open();
  Object.assign(stage.row, { bedId: evil, deviceLabel: evil });
  Object.assign(stage.scan, { deviceId: evil, deviceSerial: evil, firmwareVersion: evil });
  await typeCode(page);
  await view(page, "bed");
  await says(page, "bed-now", "onerror");
  await stage.fail("failed", evil, { problem: { code: evil, title: evil, next: evil, step: evil, side: evil } });
  await view(page, "end");
  assert.equal(await page.locator("img").count(), 0);
  assert.ok(!(await page.title()).includes("owned"));
  assert.deepEqual(faults, []);
  await page.context().close();
});

test("every change is asked as our page, no secret is in an address, and nothing is left behind", async () => {
  const { page } = await open();
  await reachBed(page);
  await confirm(page);
  await view(page, "steps");
  stage.say("paired");
  await view(page, "end");
  for (const { name, headers } of stage.asked) {
    assert.ok(!/ABC|AAAA/.test(name), name);
    if (!name.startsWith("GET")) assert.equal(headers["x-zmon-page"], "1", name);
  }
  const kept = await page.evaluate(() => JSON.stringify({ ...sessionStorage, ...localStorage }));
  assert.ok(!kept.includes("ABC-123-XYZ"), kept);
  await page.context().close();
});

test("the page speaks three languages, chosen or the browser's", async () => {
  const titles = { es: "Escanee el código QR del monitor", de: "QR-Code des Monitors scannen", fr: "Scan the monitor's QR code" };
  for (const [locale, title] of Object.entries(titles)) {
    const { page } = await open({ locale });
    await says(page, "scan-title", title);
    assert.equal(await page.locator("html").getAttribute("lang"), locale === "fr" ? "en" : locale);
    await page.locator("#language").selectOption("de");
    await says(page, "scan-title", titles.de);
    await stage.refuse(CLAIM, "device_unknown", 404);
    await typeCode(page);
    await says(page, "typed-refusal", "Das Gerät steht nicht im Register.");
    await page.context().close();
  }
});
