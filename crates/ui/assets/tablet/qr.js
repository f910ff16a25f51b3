// What a scanned text is. Only a monitor's own is sent anywhere; nothing else is shown or opened.

const MEMBERS = [
  "deviceId", "deviceSerial", "ipAddress", "pairingCode", "pairingToken", "expiresAt", "firmwareVersion",
];
const TOKEN = /^[A-Za-z0-9_-]{68}$/;

/** `{ kind: "ours", content, isOld }`, or a kind that has a text of its own: `url`, `cut`, `foreign`. */
export function judge(text) {
  let content;
  try {
    content = JSON.parse(text);
  } catch {
    if (/^\s*\{\s*"deviceId"/.test(text)) return { kind: "cut" };
    return { kind: /^\s*[a-z][a-z0-9+.-]*:\/\//i.test(text) ? "url" : "foreign" };
  }
  const isObject = typeof content === "object" && content !== null && !Array.isArray(content);
  if (!isObject || !("deviceId" in content)) return { kind: "foreign" };
  const whole = MEMBERS.every((member) => typeof content[member] === "string");
  const known = Object.keys(content).every((member) => MEMBERS.includes(member));
  if (!whole || !known || !TOKEN.test(content.pairingToken)) return { kind: "cut" };
  // By this tablet's clock, which may be wrong: it only explains a refusal.
  return { kind: "ours", content, isOld: Date.parse(content.expiresAt) < Date.now() };
}

/** Of several in one picture: the one that is ours, or why none is. */
export function choose(texts) {
  const judged = texts.map(judge);
  const ours = new Map(judged.filter(({ kind }) => kind === "ours").map((one) => [one.content.pairingToken, one]));
  if (ours.size > 1) return { kind: "several" };
  return [...ours.values()][0] ?? judged[0];
}
