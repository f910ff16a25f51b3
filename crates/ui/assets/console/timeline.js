// When certificates end: days from now along the axis, a bar for each day or week, as high as there are many.

import { find, put } from "/page/dom.js";
import { number, text } from "/page/texts.js";

const SPACE = "http" + "://www.w3.org/2000/svg";
const HEIGHT = 112;
const AXIS = 22;
const SIDE = 26;
const SOON = 30;
const LEAST_DAYS = 90;
const TICK = 15;
const WEEK = 7;
/** Pixels in which the figure over a bar is read. */
const ENOUGH = 16;

function part(name, attributes, words = "") {
  const element = document.createElementNS(SPACE, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.textContent = words;
  return element;
}

/** Draws `[{day, certificates}]`, and says it in words for those who see no picture. */
export function drawTimeline(expiry) {
  const picture = find("timeline");
  const width = picture.clientWidth;
  if (width === 0) return;
  const ended = sum(expiry.filter(({ day }) => day < 0));
  const ahead = expiry.filter(({ day }) => day >= 0);
  const days = Math.max(LEAST_DAYS, ...ahead.map(({ day }) => day + 1));
  const x = (day) => SIDE + (day / days) * (width - 2 * SIDE);
  const floor = HEIGHT - AXIS;
  // Where days are too narrow to be told apart, a bar is a week.
  const size = (width - 2 * SIDE) / days >= ENOUGH ? 1 : WEEK;
  const bars = together(ahead, size);
  const most = Math.max(1, ...bars.values());
  const bar = Math.min(32, x(size) - x(0) - 2);
  const step = TICK * Math.ceil(days / ((width / 60) * TICK));
  const parts = [
    part("rect", { class: "soon", x: x(0), y: 0, width: x(SOON) - x(0), height: floor }),
    part("path", { class: "axis", d: `M${SIDE} ${floor}H${width - SIDE}` }),
  ];
  for (let day = 0; day <= days; day += step) {
    parts.push(part("path", { class: "axis", d: `M${x(day)} ${floor}v5` }));
    parts.push(part("text", { x: x(day), y: HEIGHT - 3, "text-anchor": "middle" }, number(day)));
  }
  for (const [day, certificates] of bars) {
    const height = Math.max(6, (certificates / most) * (floor - 20));
    const middle = x(day + size / 2);
    parts.push(part("rect", { class: day < SOON ? "bar near" : "bar", x: middle - bar / 2, y: floor - height, width: bar, height, rx: 2 }));
    parts.push(part("text", { x: middle, y: floor - height - 5, "text-anchor": "middle" }, number(certificates)));
  }
  picture.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
  picture.replaceChildren(...parts);
  const soon = sum(ahead.filter(({ day }) => day < SOON));
  put(find("timeline-words"), text("timelineWords", {
    total: number(ended + sum(ahead)), soon: number(soon), ended: number(ended),
  }));
}

/** So many days a bar: its first day, and how many certificates. */
function together(ahead, size) {
  const bars = new Map();
  for (const { day, certificates } of ahead) {
    const first = day - (day % size);
    bars.set(first, (bars.get(first) ?? 0) + certificates);
  }
  return bars;
}

const sum = (days) => days.reduce((all, { certificates }) => all + certificates, 0);
