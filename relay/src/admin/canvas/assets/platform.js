//! What the platform thinks of an agent, next to what the relay does there, where the relay bridges to one.

import { call, of } from "./api.js";
import { el, say, text } from "./dom.js";
import { span } from "./status.js";

/** Calls pass every few seconds and are no changes that the feed would tell, so they are asked for. */
const ASK_EVERY_MS = 5000;

const STEPS = {
  none: "not begun",
  begun: "being made there",
  made: "made there, not registered yet",
  registered: "registered",
  leaving: "being deleted there",
  gone: "deleted there",
};

/** Seconds from now to a moment, or since it; never less than none. */
function away(atMs, sign) {
  const seconds = Math.max(0, Math.round((sign * (Number(atMs) - Date.now())) / 1000));
  return seconds < 1 ? "now" : span(seconds);
}

/** The facts of a platform's row, by their names; empty ones are left out. */
function facts(platform) {
  const { last, next } = platform;
  return {
    Platform: text(platform.url, 2048),
    "Status there": text(platform.status) || "unknown",
    Enrolment: STEPS[platform.step] ?? text(platform.step),
    "Last call": last ? `${text(last.call)}: ${text(last.answer)}, ${away(last.at_ms, -1)} ago`.replace("now ago", "just now") : "",
    "Next call": next ? `${text(next.call)}, ${away(next.at_ms, 1)}`.replace(/, (?!now)/, ", in ") : "",
    Late: platform.late ? "Its heartbeat to the platform is late." : "",
    Trouble: text(platform.trouble, 1000),
    "Id there": text(platform.id),
  };
}

/** The part “On the platform” of a page. */
export class PlatformPart {
  #list = el("dl", { class: "facts" });
  #values = new Map();
  #asked = 0;
  #calls = null;

  constructor() {
    this.element = el("div", { class: "part platform" }, el("h3", { text: "On the platform" }), this.#list);
    this.element.hidden = true;
  }

  /** Shows what a row has of it. */
  show(id, platform) {
    this.element.hidden = !platform;
    if (!platform) return;
    if (performance.now() - this.#asked > ASK_EVERY_MS) this.#ask(id);
    const { last, next, late } = this.#calls ?? platform;
    for (const [name, value] of Object.entries(facts({ ...platform, last, next, late }))) {
      let [term, shown] = this.#values.get(name) ?? [];
      if (!term) {
        term = el("dt", { text: name });
        shown = el("dd", { class: name === "Id there" ? "mono" : undefined });
        this.#values.set(name, [term, shown]);
        this.#list.append(term, shown);
      }
      term.hidden = shown.hidden = !value;
      say(shown, value);
    }
  }

  async #ask(id) {
    this.#asked = performance.now();
    // What cannot be asked for now stays as it is; the page says elsewhere that the relay is away.
    const row = await call("GET", of(id)).catch(() => null);
    if (row?.platform) this.#calls = row.platform;
  }
}
