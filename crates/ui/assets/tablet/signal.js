// Heard and felt by somebody who looks at the monitor: two rising tones, or two low ones.

import { find } from "./dom.js";

const button = find("sound");
const icon = button.querySelector("use");
let context = null;

button.addEventListener("click", () => {
  const on = button.getAttribute("aria-pressed") !== "true";
  button.setAttribute("aria-pressed", String(on));
  icon.setAttribute("href", on ? "#icon-sound" : "#icon-mute");
  if (on) wake();
});
// Browsers let a page sound only after somebody has touched it.
addEventListener("pointerdown", wake);
addEventListener("keydown", wake);

function wake() {
  context ??= new AudioContext();
  if (context.state === "suspended") context.resume().catch(() => {});
}

function sound(tones) {
  if (context === null || button.getAttribute("aria-pressed") !== "true") return;
  tones.forEach((frequency, index) => {
    const tone = context.createOscillator();
    const volume = context.createGain();
    const from = context.currentTime + index * 0.18;
    tone.frequency.value = frequency;
    volume.gain.setValueAtTime(0.2, from);
    volume.gain.exponentialRampToValueAtTime(0.001, from + 0.16);
    tone.connect(volume).connect(context.destination);
    tone.start(from);
    tone.stop(from + 0.16);
  });
}

export function good() {
  sound([660, 990]);
  navigator.vibrate?.([80, 60, 80]);
}

export function bad() {
  sound([330, 220]);
  navigator.vibrate?.([300]);
}
