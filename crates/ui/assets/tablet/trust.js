// How a tablet comes to trust the station: facts and steps. It needs no login.

import { find, put, show, translate } from "./dom.js";
import { preferred, speak, tag, text } from "./texts.js";

async function start() {
  await speak(preferred());
  find("language").value = tag;
  const answer = await fetch("/trust/ca.json").catch(() => undefined);
  if (!answer?.ok) return put(find("lost"), text("stationLost"));
  const { stationName, fingerprint } = await answer.json();
  translate();
  put(find("station").firstChild, stationName);
  document.title = `${text("trustTitle")} – ${stationName}`;
  // As systems show it, in pairs, and in lines that can be compared.
  put(find("fingerprint"), fingerprint.toUpperCase().match(/../g).join(" "));
  show("trust");
}

find("language").addEventListener("change", async (event) => {
  await speak(event.target.value);
  translate();
  document.title = `${text("trustTitle")} – ${find("station").firstChild.textContent}`;
});
start();
