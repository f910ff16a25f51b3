// Accounts of the station, for administrators.

import { find, notify } from "/page/dom.js";
import { text } from "/page/texts.js";
import { addOperator, operators, resetPassword, setAccess } from "/console/api.js";
import { ask, must, showOnce } from "/console/ask.js";
import { date, role } from "/console/say.js";
import { Table } from "/console/table.js";

const ROLES = ["technician", "administrator", "auditor"];
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

let context = null;

const isOwn = (row) => row.operator === context.operator;

function state(row) {
  if (row.disabled) return text("disabled");
  return text(row.oneTime ? "oneTimePending" : "mayLogIn");
}

const table = new Table("operators", (row) => row.operator, [
  { text: (row) => row.operator },
  { text: (row) => role(row.role) },
  { text: state, tone: (row) => (row.disabled ? "bad" : row.oneTime ? "busy" : "plain") },
  { text: (row) => date(row.createdAt) },
  {
    text: (row) => (isOwn(row) ? "" : text("change")),
    name: (row) => text("changeTitle", { operator: row.operator }),
    press: askChange,
  },
]);

export function open(of) {
  context = of;
  notify("operators-notice");
}

export async function refresh(isCurrent) {
  const list = await operators();
  if (!isCurrent()) return;
  table.draw(list.operators, text("noOperators"));
}

async function done(message) {
  notify("operators-notice", message);
  await context.refresh();
}

function askChange({ operator, disabled }) {
  const access = disabled ? ["enable", text("enable")] : ["disable", text("disable")];
  ask({
    title: text("changeTitle", { operator }),
    words: text("changeWhy"),
    fields: [{ name: "what", label: text("what"), options: [["password", text("newOneTime")], access], value: "password" }],
    ok: text("change"),
    isGrave: true,
    act: async ({ what }) => {
      if (what === "password") {
        showOnce(operator, (await resetPassword(operator)).oneTimePassword);
        return done(text("passwordReset", { operator }));
      }
      await setAccess(operator, what === "disable");
      await done(text(what === "disable" ? "wasDisabled" : "wasEnabled", { operator }));
    },
  });
}

find("operator-add").addEventListener("click", () =>
  ask({
    title: text("addOperator"),
    words: text("addWhy"),
    fields: [
      { name: "operator", label: text("operator") },
      { name: "role", label: text("role"), options: ROLES.map((name) => [name, role(name)]), value: ROLES[0] },
    ],
    ok: text("add"),
    act: async ({ operator, role }) => {
      if (!NAME.test(operator)) must(text("idWrong"));
      showOnce(operator, (await addOperator(operator, role)).oneTimePassword);
      await done(text("operatorAdded", { operator }));
    },
  }));
