//! The rows as they were told last, found and ordered. Tells whoever watches, once a frame.

import { text } from "./dom.js";
import { STATUSES, statusOf } from "./status.js";

const collator = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });
/** What needs an eye comes first. */
const URGENCY = ["failed", "degraded", "offline", "provisioning", "paused", "online"];
const ORDERS = {
  name: (a, b) => collator.compare(a.title, b.title) || (a.id < b.id ? -1 : 1),
  trouble: (a, b) => URGENCY.indexOf(statusOf(a)) - URGENCY.indexOf(statusOf(b)) || ORDERS.name(a, b),
  newest: (a, b) => b.created_at_ms - a.created_at_ms || ORDERS.name(a, b),
};

/** Every workspace of the relay. */
export class Store extends EventTarget {
  #rows = new Map();
  #sorted = [];
  #order = "name";
  #stale = false;
  #awaited = false;
  loaded = false;

  /** Takes the whole list. */
  replace(rows) {
    this.#rows = new Map(rows.map((row) => [row.id, prepared(row)]));
    this.#stale = true;
    this.loaded = true;
    this.#tell();
  }

  /** Takes one change; answers the row before it. */
  take({ workspace_id: id, payload }) {
    const before = this.#rows.get(id);
    if (payload) {
      const row = prepared(payload);
      this.#rows.set(id, row);
      const place = before ? this.#sorted.indexOf(before) : -1;
      const stays = place >= 0 && this.#order === "name" && before.title === row.title;
      if (stays) this.#sorted[place] = row;
      else this.#stale = true;
    } else if (this.#rows.delete(id)) {
      this.#stale = true;
    }
    this.#tell();
    return before;
  }

  /** The row of a workspace. */
  get(id) {
    return this.#rows.get(id);
  }

  /** How many there are. */
  get size() {
    return this.#rows.size;
  }

  /** Orders by `name`, `trouble` or `newest`. */
  set order(order) {
    this.#order = order;
    this.#stale = true;
    this.#tell();
  }

  /** The rows with these words and, if given, this status, in order. */
  find(words, status) {
    if (this.#stale) {
      this.#sorted = [...this.#rows.values()].sort(ORDERS[this.#order]);
      this.#stale = false;
    }
    const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
    return this.#sorted.filter(
      (row) => (!status || statusOf(row) === status) && wanted.every((word) => row.found.includes(word)),
    );
  }

  /** How many have each status. */
  counts() {
    const counts = Object.fromEntries(STATUSES.map((status) => [status, 0]));
    for (const row of this.#rows.values()) counts[statusOf(row)] += 1;
    return counts;
  }

  #tell() {
    if (this.#awaited) return;
    this.#awaited = true;
    const tell = () => {
      this.#awaited = false;
      this.dispatchEvent(new Event("change"));
    };
    // A hidden page draws no frames, and must not fall behind.
    if (document.hidden) setTimeout(tell, 200);
    else requestAnimationFrame(tell);
  }
}

/** A row with what is asked of it again and again. */
function prepared(row) {
  const card = row.agent_card && typeof row.agent_card === "object" ? row.agent_card : {};
  const list = Array.isArray(card.skills) ? card.skills : [];
  const skills = list.map((skill) => text(skill?.name ?? skill?.id ?? skill, 80)).filter(Boolean);
  const role = text(row.role) || text(card.description);
  const title = text(row.name, 255) || row.id;
  const found = [title, row.alias ?? "", row.id, role, ...skills.slice(0, 100)].join("\n").toLowerCase();
  return { ...row, card, skills, role, title, found, cameAt: performance.now() };
}
