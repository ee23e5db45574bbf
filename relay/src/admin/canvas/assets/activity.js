//! What happened to an agent: calls that were refused, and changes with who made them.

import { of } from "./api.js";
import { el } from "./dom.js";
import { line, list, moment } from "./list.js";

/** Between two looks while the page is open, ms. */
const AGAIN = 5000;

/** The page “Activity” of one agent. */
export class Activity {
  #lists;
  #readAt = 0;

  constructor(id) {
    this.#lists = [
      list({
        title: "Recent refusals",
        path: of(id, "/refusals"),
        field: "refusals",
        empty: "No call was refused since the relay started.",
        show: (no) => line(no.code, refusal(no), moment(no.at ?? no.at_ms)),
      }),
      list({
        title: "Events",
        path: `/events?workspace=${encodeURIComponent(id)}&limit=50`,
        field: "events",
        empty: "Nothing was changed yet.",
        show: (event) => line(event.action, told(event), moment(event.at ?? event.at_ms)),
      }),
    ];
    this.element = el("div", { class: "page" }, ...this.#lists.map((one) => one.element));
  }

  /** Reads again now and then. */
  show() {
    if (performance.now() - this.#readAt > AGAIN) this.turned();
  }

  /** Reads what may have changed. */
  turned() {
    this.#readAt = performance.now();
    for (const one of this.#lists) one.read();
  }
}

function refusal(no) {
  return [no.status, no.delivery && `delivery: ${no.delivery}`, no.request_id].filter(Boolean).join(" · ");
}

function told(event) {
  const { detail } = event;
  const all = detail && typeof detail === "object" ? Object.entries(detail) : [];
  const pairs = all.filter(([, value]) => value !== null);
  const more = pairs.map(([name, value]) => `${name}: ${typeof value === "object" ? JSON.stringify(value) : value}`);
  const who = event.source ? `${event.actor} (${event.source})` : event.actor;
  return [who, ...(typeof detail === "string" ? [detail] : more)].filter(Boolean).join(" · ");
}
