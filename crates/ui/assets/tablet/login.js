// Logging in, at the start and where a login has ended in the middle of something.

import { changePassword, logIn, Refusal } from "./api.js";
import { find, notify, put, show, shown } from "./dom.js";
import { number, problemLine, text } from "./texts.js";

const operator = find("login-operator");
const password = find("login-password");
const own = find("login-new");
const ok = find("login-ok");
let waiting = null;
let lock = 0;

/** Asks until somebody has logged in; returns the station's view. One question at a time. */
export function askLogin(reason = "") {
  waiting ??= new Promise((done) => {
    const before = shown();
    notify("login-reason", reason);
    put(find("login-error"), "");
    password.value = "";
    askOwn(false);
    show("login");
    (operator.value === "" ? operator : password).focus();
    find("login-form").onsubmit = async (event) => {
      event.preventDefault();
      const view = await submit();
      if (view === undefined) return;
      waiting = null;
      // Who asked says what comes next; where nobody does, it is what was there.
      if (before !== "none" && before !== "login") show(before);
      done(view);
    };
  });
  return waiting;
}

async function submit() {
  if (ok.disabled) return;
  const [name, secret] = [operator.value.trim(), password.value];
  ok.disabled = true;
  put(find("login-error"), "");
  try {
    let view = await logIn(name, secret);
    if (view.mustChangePassword && own.value === "") {
      // The password stays in its field: the station wants it again beside the new one.
      ok.disabled = false;
      askOwn(true);
      return undefined;
    }
    if (view.mustChangePassword) {
      await changePassword(secret, own.value);
      view = await logIn(name, own.value);
    }
    password.value = "";
    askOwn(false);
    ok.disabled = false;
    return view;
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    put(find("login-error"), problemLine(error.problem));
    if (find("login-own").hidden) password.value = "";
    (find("login-own").hidden ? password : own).focus();
    if (error.wait > 0) countDown(error.wait);
    else ok.disabled = false;
  }
}

/** A password that was made for somebody opens nothing but its own change. */
function askOwn(wanted) {
  find("login-own").hidden = !wanted;
  own.required = wanted;
  own.value = "";
  if (wanted) own.focus();
}

/** After too many failures: when to try again. */
function countDown(seconds) {
  clearInterval(lock);
  const until = performance.now() + seconds * 1000;
  const label = text("logIn");
  const tick = () => {
    const left = Math.ceil((until - performance.now()) / 1000);
    ok.disabled = left > 0;
    put(ok, left > 0 ? text("waitSeconds", { seconds: number(left) }) : label);
    if (left <= 0) clearInterval(lock);
  };
  lock = setInterval(tick, 500);
  tick();
}
