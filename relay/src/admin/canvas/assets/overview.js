//! What is known of an agent: its addresses, its state, its card and skills.

import { copyButton } from "./copy.js";
import { el, say, text } from "./dom.js";
import { PlatformPart } from "./platform.js";
import { label, seen, span, statusOf } from "./status.js";

const SKILLS_MAX = 100;

/** The facts of a row, by their names; empty ones are left out. */
function facts(row) {
  const time = (ms) => (Number.isFinite(ms) ? new Date(ms).toLocaleString() : "");
  const share = typeof row.error_rate === "number" ? `${Math.round(row.error_rate * 100)} %` : "";
  return {
    Status: `${label(statusOf(row))}, ${seen(row)}`,
    Role: row.role,
    Tier: Number.isInteger(row.tier) ? `T${row.tier}` : "",
    "Current task": text(row.current_task, 4096),
    "Active tasks": String(Number(row.active_tasks) || 0),
    "Error rate": share,
    "Agent up for": row.uptime_seconds ? span(row.uptime_seconds) : "",
    State: text(row.runtime_state, 200),
    Transport: text(row.transport),
    Alias: text(row.alias),
    Callers: text(row.callers),
    Exposes: text(row.expose),
    Methods: row.methods === "all" ? "" : text(row.methods),
    "At most": limits(row),
    Parent: text(row.parent_id),
    Made: time(row.created_at_ms),
    Id: row.id,
  };
}

/** What the operator lets reach the agent. */
function limits(row) {
  const rate = row.rate > 0 ? `${Number(row.rate)} requests/s` : "";
  const open = row.in_flight > 0 ? `${Number(row.in_flight)} at a time` : "";
  return [rate, open].filter(Boolean).join(", ");
}

/** The page “Overview” of one agent. */
export class Overview {
  #list = el("dl", { class: "facts" });
  #values = new Map();
  #url = el("code");
  #own = el("code");
  #ownPart;
  #platform = new PlatformPart();
  #card = el("div", { class: "part" });
  #shown = "";

  constructor() {
    this.#ownPart = el("div", { class: "part" }, el("h3", { text: "Registered URL" }), el("div", { class: "url" }, this.#own));
    const copy = copyButton(() => this.#url.textContent, "Copy the public URL");
    const url = el("div", { class: "part" }, el("h3", { text: "Public URL" }), el("div", { class: "url" }, this.#url, copy));
    this.element = el("div", { class: "page" }, url, this.#ownPart, this.#list, this.#platform.element, this.#card);
  }

  /** Shows the row. */
  show(row) {
    say(this.#url, text(row.public_url, 2048));
    const own = row.url === row.public_url ? "" : text(row.url, 2048);
    this.#ownPart.hidden = !own;
    say(this.#own, own);
    for (const [name, value] of Object.entries(facts(row))) {
      let [term, shown] = this.#values.get(name) ?? [];
      if (!term) {
        term = el("dt", { text: name });
        shown = el("dd", { class: name === "Id" ? "mono" : undefined });
        this.#values.set(name, [term, shown]);
        this.#list.append(term, shown);
      }
      term.hidden = shown.hidden = !value;
      say(shown, value ?? "");
    }
    this.#platform.show(row.id, row.platform);
    this.#showCard(row.card);
  }

  #showCard(card) {
    const whole = JSON.stringify(card);
    if (whole === this.#shown) return;
    this.#shown = whole;
    const head = el("h3", { text: "Agent card" });
    if (whole === "{}") {
      const none = "It comes with the agent's connection or registration.";
      this.#card.replaceChildren(head, el("p", { class: "faint", text: none }));
      return;
    }
    const protocol = text(card.protocolVersion, 40);
    const about = [text(card.name), text(card.version, 40), protocol && `A2A ${protocol}`];
    const list = el("ul", { class: "rows" });
    const skills = Array.isArray(card.skills) ? card.skills : [];
    for (const skill of skills.slice(0, SKILLS_MAX)) list.append(skillRow(skill));
    if (skills.length > SKILLS_MAX) list.append(el("li", { class: "faint", text: `and ${skills.length - SKILLS_MAX} more` }));
    this.#card.replaceChildren(
      head,
      el("p", { text: about.filter(Boolean).join(" · ") }),
      el("p", { class: "muted", text: text(card.description, 2000) }),
      list,
    );
  }
}

function skillRow(skill) {
  const tags = Array.isArray(skill?.tags) ? skill.tags.slice(0, 12) : [];
  const about = el(
    "div",
    {},
    text(skill?.name ?? skill?.id ?? skill) || "(no name)",
    el("div", { class: "sub", text: text(skill?.description, 1000) }),
  );
  const shown = tags.map((tag) => text(tag, 40)).filter(Boolean);
  if (shown.length) about.append(el("div", { class: "tags" }, ...shown.map((tag) => el("span", { class: "skill", text: tag }))));
  return el("li", {}, about);
}
