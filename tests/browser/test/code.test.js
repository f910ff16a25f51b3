// What the page judges before anything is sent, without a browser.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { content } from "../tablet-stage.js";
import { ASSETS } from "../rig.js";

/** The page's own modules: modules of a browser, whatever node takes the file for. */
const own = async (name) =>
  import(`data:text/javascript,${encodeURIComponent(await readFile(`${ASSETS}/tablet/${name}`, "utf8"))}`);
const { grouped, judge } = await own("code.js");
const qr = await own("qr.js");

test("the check symbol is the one of the monitor", () => {
  for (const good of ["ABC-123-XYZ", "000-000-00R", "7K3-M9P-Q2M", "abc 123 xyz", "ABCI23XYZ", "OOO-000-OOR"]) {
    assert.equal(judge(good).state, "good", good);
  }
  const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
  const code = "7K3M9PQ2M";
  for (let at = 0; at < code.length; at += 1) {
    for (const symbol of alphabet) {
      const typed = code.slice(0, at) + symbol + code.slice(at + 1);
      assert.equal(judge(typed).state, symbol === code[at] ? "good" : "typo", typed);
    }
    for (let other = at + 1; other < code.length; other += 1) {
      const symbols = [...code];
      [symbols[at], symbols[other]] = [symbols[other], symbols[at]];
      if (symbols[at] !== symbols[other]) assert.equal(judge(symbols.join("")).state, "typo");
    }
  }
});

test("what is typed is told at each length", () => {
  const states = { "": "empty", "A": "more", "ABC-12": "more", "X7Y9Z2": "short", "ABC-123-XYZ0": "long", "ABU": "letterU", "AB*": "symbol", "ABÇ": "symbol" };
  for (const [typed, state] of Object.entries(states)) assert.equal(judge(typed).state, state, typed);
  assert.equal(grouped("ABC123XYZ"), "ABC-123-XYZ");
  assert.equal(grouped("X7Y9Z2"), "X7Y9Z2");
});

test("only a monitor's own QR code is one", async () => {
  const ours = await content();
  const text = JSON.stringify(ours);
  assert.deepEqual(qr.judge(text), { kind: "ours", content: ours, isOld: false });
  assert.equal(qr.judge(JSON.stringify(await content({ expiresAt: "2020-01-01T00:00:00Z" }))).isOld, true);
  const kinds = {
    "https://evil.example/?q=1": "url", "HTTP://EVIL.EXAMPLE": "url", "WIFI:T:WPA;S:x;;": "foreign", "": "foreign",
    "5901234123457": "foreign", "null": "foreign", "[]": "foreign", '{"ssid":"x"}': "foreign",
    [text.slice(0, 100)]: "cut", '{"deviceId":"ZM-001"}': "cut",
    [JSON.stringify({ ...ours, pairingToken: "short" })]: "cut",
    [JSON.stringify({ ...ours, extra: 1 })]: "cut",
    [JSON.stringify({ ...ours, deviceId: {} })]: "cut",
  };
  for (const [typed, kind] of Object.entries(kinds)) assert.equal(qr.judge(typed).kind, kind, typed);
  const other = JSON.stringify(await content({ deviceId: "ZM-002", pairingToken: "B".repeat(68) }));
  assert.equal(qr.choose([text, other]).kind, "several");
  assert.equal(qr.choose(["https://x.example", text, text]).kind, "ours");
  assert.equal(qr.choose(["https://x.example", "junk"]).kind, "url");
});
