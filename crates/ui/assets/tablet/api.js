// Speaking with the station. The login is a cookie that no script reads.

import { text } from "./texts.js";

/** What our own requests carry and no other page can send. */
const PAGE = { "x-zmon-page": "1" };
const LOGIN = "/api/auth/session";
const ENDED = ["proof_expired", "authentication_failed"];

let askLogin = async () => {};

/** Who asks for a login when one has ended. */
export const onLoginEnded = (ask) => (askLogin = ask);

/** Why the station did not do it: its problem document, or that it does not answer. */
export class Refusal extends Error {
  constructor(problem, wait = 0) {
    super(problem.title);
    this.problem = problem;
    this.wait = wait;
  }
}

/** Whether nobody answered, as far as this tablet can tell. */
export const isLost = (error) => error instanceof Refusal && error.problem.code === "";

const unanswered = () =>
  new Refusal({ code: "", title: text("noAnswer"), next: text("noAnswerNext") });

async function send(method, path, body, signal, { tag, tagged } = {}) {
  const headers = body === undefined ? { ...PAGE } : { ...PAGE, "content-type": "application/json" };
  if (tag !== undefined) headers["if-match"] = tag;
  const content = body instanceof Blob ? body : JSON.stringify(body);
  const options = { method, headers, body: content, signal, cache: "no-store" };
  let answer;
  let read;
  try {
    answer = await fetch(path, options);
    read = await answer.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw unanswered();
  }
  if (answer.ok) return tagged ? { value: read, tag: answer.headers.get("etag") } : read;
  throw new Refusal(read, Number(answer.headers.get("retry-after") ?? 0));
}

/**
 * Asks the station, with a value or with the bytes of a file; where the login has ended, asks for a new one first and goes on.
 * With `tag` a change is made only to what has that tag still, with `tagged` the answer comes with its own.
 */
export async function call(method, path, body, signal, bound) {
  try {
    return await send(method, path, body, signal, bound);
  } catch (error) {
    const ended = error instanceof Refusal && ENDED.includes(error.problem.code);
    if (!ended) throw error;
    await askLogin();
    return send(method, path, body, signal, bound);
  }
}

/** Who is logged in, and at which station. */
export const whoIsThere = () => send("GET", LOGIN);
export const logIn = (operator, password) => send("POST", LOGIN, { operator, password });
export const changePassword = (password, newPassword) =>
  send("POST", "/api/operators/self/password", { password, newPassword });
export const logOut = () => send("POST", "/api/auth/logout", {});

const part = encodeURIComponent;
export const claim = (content, signal) => call("POST", "/api/provisioning/sessions", content, signal);
export const pair = (request) => call("POST", "/api/provisioning/pair", request);
export const cancel = (session) => call("POST", `/api/provisioning/pair/${part(session)}/cancel`, {});
export const blink = (session) => call("POST", `/api/provisioning/pair/${part(session)}/blink`, {});
/** The message that a courier takes to the monitor, and the monitor's answer. */
export const message = (session) => call("GET", `/api/provisioning/pair/${part(session)}/courier`);
export const bringBack = (session, answer) =>
  call("POST", `/api/provisioning/pair/${part(session)}/courier`, answer);
export const result = (session) => call("GET", `/api/provisioning/pair/${part(session)}`);
export const events = (session) => `/api/provisioning/pair/${part(session)}/events`;
export const device = (id) => call("GET", `/api/registry/devices/${part(id)}`);
export const bed = (id) => call("GET", `/api/registry/beds/${part(id)}`);
