// Tables that are drawn anew every few seconds and keep their rows, so that nobody loses the focus.

import { find, put } from "/page/dom.js";
import { number, text } from "/page/texts.js";

/** What a list shows at a time. */
export const ROWS = 50;

/** A column: `text` of a row, and where there is one its `tone`, `press` (then it is a button, or looks like a link) and `name` for those who listen. */
export class Table {
  constructor(id, key, columns) {
    Object.assign(this, { id, key, columns, rows: new Map() });
    this.body = find(`${id}-table`).tBodies[0];
    this.heads = [...find(`${id}-table`).tHead.rows[0].cells];
  }

  /** Shows these rows and no others. */
  draw(rows, none) {
    const elements = rows.map((row) => {
      const key = String(this.key(row));
      const element = this.rows.get(key) ?? this.make(key);
      this.fill(element, row);
      return element;
    });
    for (const [key, element] of this.rows) if (!elements.includes(element)) this.rows.delete(key);
    const isSame = elements.length === this.body.rows.length && elements.every((element, at) => element === this.body.rows[at]);
    if (!isSame) {
      const focused = document.activeElement;
      this.body.replaceChildren(...elements);
      if (this.body.contains(focused)) focused.focus({ preventScroll: true });
    }
    put(find(`${this.id}-none`), none);
    find(`${this.id}-none`).hidden = rows.length > 0;
    find(`${this.id}-table`).hidden = rows.length === 0;
  }

  make(key) {
    const row = document.createElement("tr");
    row.dataset.key = key;
    this.columns.forEach((column, at) => {
      const cell = document.createElement(at === 0 ? "th" : "td");
      if (at === 0) cell.scope = "row";
      cell.className = this.heads[at].className;
      if (this.heads[at].dataset.roles) cell.dataset.roles = this.heads[at].dataset.roles;
      cell.hidden = this.heads[at].hidden;
      const inner = document.createElement(column.press ? "button" : "span");
      if (column.press) {
        inner.type = "button";
        inner.className = column.isLink ? "link" : "small";
        inner.addEventListener("click", () => column.press(row.of));
      }
      cell.append(inner);
      row.append(cell);
    });
    this.rows.set(key, row);
    return row;
  }

  fill(element, row) {
    element.of = row;
    this.columns.forEach((column, at) => {
      const cell = element.cells[at];
      const inner = cell.firstChild;
      const said = column.text(row) ?? "";
      put(inner, said);
      if (column.press) inner.hidden = said === "";
      if (column.press && column.name) inner.setAttribute("aria-label", column.name(row));
      if (column.tone) inner.dataset.tone = column.tone(row);
    });
  }
}

/** Two buttons and where one is; `turn` gets the next offset. */
export function drawPager(id, offset, count, total, turn) {
  const pager = find(`${id}-pager`);
  if (pager.children.length === 0) {
    const button = (key) => Object.assign(document.createElement("button"), { type: "button", textContent: text(key) });
    const place = document.createElement("span");
    pager.append(button("previous"), place, button("following"));
  }
  const [back, place, on] = pager.children;
  pager.hidden = total <= ROWS && offset === 0;
  put(place, text("rows", { first: number(count === 0 ? 0 : offset + 1), last: number(offset + count), total: number(total) }));
  back.disabled = offset === 0;
  on.disabled = offset + count >= total;
  back.onclick = () => turn(Math.max(0, offset - ROWS));
  on.onclick = () => turn(offset + ROWS);
}
