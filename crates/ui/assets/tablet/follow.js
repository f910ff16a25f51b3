// One session as it happens. Each event is the whole state, so a tablet that slept or a station that
// was started again needs nothing of before.

import { events, result } from "./api.js";

/** The station speaks every 5 s. */
const SILENCE = 12_000;
const AGAIN = 1_000;

/** Follows a session until its end or until `stop()`. */
export class Follower {
  /** `state` gets each state, `lost` whether the station is silent, `gone` why there is no such session. */
  constructor(session, { state, lost, gone }) {
    Object.assign(this, { session, state, lost, gone, isOver: false, source: null, isLost: false });
    this.watch = setInterval(() => performance.now() - this.heard > SILENCE && this.again(), AGAIN);
    this.wake = () => document.visibilityState === "visible" && this.isLost && this.again();
    document.addEventListener("visibilitychange", this.wake);
    this.connect();
  }

  connect() {
    this.source?.close();
    this.heard = performance.now();
    const source = new EventSource(events(this.session));
    this.source = source;
    source.addEventListener("session", (event) => this.hear(JSON.parse(event.data)));
    source.addEventListener("error", () => {
      if (this.isOver || source !== this.source) return;
      this.lose();
      // The browser asks again by itself, unless it was refused.
      if (source.readyState === EventSource.CLOSED) this.askWhy();
    });
  }

  hear(state) {
    if (this.isOver) return;
    this.heard = performance.now();
    if (this.isLost) {
      this.isLost = false;
      this.lost(false);
    }
    if (["paired", "failed", "released"].includes(state.phase)) this.stop();
    this.state(state);
  }

  lose() {
    if (this.isLost) return;
    this.isLost = true;
    this.lost(true);
  }

  again() {
    this.lose();
    this.connect();
  }

  /** A stream says no reasons. A request does, and asks for a new login where that is it. */
  async askWhy() {
    try {
      await result(this.session);
    } catch (error) {
      if (this.isOver) return;
      if (["session_unknown", "not_permitted"].includes(error.problem?.code)) {
        this.stop();
        return this.gone(error.problem);
      }
      if (!error.problem) throw error;
    }
    if (!this.isOver) setTimeout(() => !this.isOver && this.connect(), AGAIN);
  }

  stop() {
    this.isOver = true;
    this.source.close();
    clearInterval(this.watch);
    document.removeEventListener("visibilitychange", this.wake);
    if (this.isLost) this.lost(false);
  }
}
