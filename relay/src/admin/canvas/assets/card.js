//! `<agent-card>`: one agent at a glance.

import { el, mark, say, text } from "./dom.js";
import { isHeard, label, reason, seen, statusOf, trouble } from "./status.js";

/** Skills that are shown by name. */
const SKILLS = 4;

class AgentCard extends HTMLElement {
  #row;
  #parts;

  connectedCallback() {
    if (this.#parts) return;
    const part = (tag, kind, props = {}) => el(tag, { class: kind, ...props });
    const parts = {
      dot: part("span", "dot", { "aria-hidden": "true" }),
      name: part("button", "name", { type: "button" }),
      tier: part("span", "badge tier"),
      badge: part("span", "badge"),
      by: part("span", "by"),
      role: part("p", "role"),
      skills: part("ul", "skills", { "aria-label": "Skills" }),
      note: part("p", "note"),
      task: part("p", "task"),
      label: part("span", "label"),
      tasks: part("span", "tasks"),
      seen: part("span", "seen"),
    };
    this.#parts = parts;
    const top = el("div", { class: "top" }, parts.dot, parts.name, parts.tier);
    const badges = el("div", { class: "badges" }, parts.badge, parts.by);
    const foot = el("div", { class: "foot" }, parts.label, parts.tasks, parts.seen);
    const about = el("div", { class: "about" }, parts.role, parts.skills);
    this.replaceChildren(top, badges, about, parts.note, parts.task, foot);
    parts.name.addEventListener("click", () => {
      this.dispatchEvent(new CustomEvent("open", { bubbles: true, detail: this.#row.id }));
    });
    if (this.#row) this.#show();
  }

  /** Shows this row. */
  set row(row) {
    const same = this.#row === row;
    this.#row = row;
    if (this.#parts) same ? this.age() : this.#show();
  }

  /** Lets passing time show. */
  age() {
    const { note, seen: last } = this.#parts;
    say(last, seen(this.#row));
    const wrong = trouble(this.#row);
    const why = wrong || (this.#row.current_task && isHeard(this.#row) ? "" : reason(this.#row));
    note.hidden = !why;
    note.classList.toggle("trouble", Boolean(wrong));
    say(note, text(why));
  }

  /** Gives the keyboard to the card. */
  focus() {
    this.#parts.name.focus();
  }

  #show() {
    const row = this.#row;
    const parts = this.#parts;
    const status = statusOf(row);
    mark(parts.dot.parentElement, "data-status", status);
    mark(parts.label, "data-status", status);
    say(parts.label, label(status));
    say(parts.name, row.title);
    mark(parts.name, "title", row.title);
    const remote = row.runtime === "external";
    say(parts.badge, remote ? "★ REMOTE" : text(row.runtime, 20));
    mark(parts.badge, "data-alive", remote && isHeard(row));
    mark(parts.badge, "title", isHeard(row) ? "Heartbeats arrive" : reason(row) || "No heartbeat arrives");
    parts.tier.hidden = !Number.isInteger(row.tier);
    say(parts.tier, `T${row.tier}`);
    mark(parts.tier, "data-tier", row.tier);
    say(parts.by, [row.transport, row.alias].filter(Boolean).join(" · "));
    parts.role.hidden = !row.role;
    say(parts.role, row.role);
    this.#showSkills(row.skills);
    parts.task.hidden = !row.current_task || !isHeard(row);
    say(parts.task, text(row.current_task));
    const tasks = Number(row.active_tasks) || 0;
    say(parts.tasks, tasks === 1 ? "1 task" : `${tasks} tasks`);
    parts.tasks.hidden = tasks === 0;
    this.age();
    mark(parts.name, "aria-label", [row.title, label(status), reason(row)].filter(Boolean).join(", "));
  }

  #showSkills(skills) {
    const list = this.#parts.skills;
    const names = skills.slice(0, SKILLS);
    if (skills.length > SKILLS) names.push(`+${skills.length - SKILLS}`);
    list.hidden = names.length === 0;
    mark(list, "title", skills.slice(0, 40).join(", "));
    while (list.childElementCount > names.length) list.lastElementChild.remove();
    while (list.childElementCount < names.length) list.append(el("li", { class: "skill" }));
    names.forEach((name, at) => {
      say(list.children[at], name);
      list.children[at].classList.toggle("more", at >= SKILLS);
    });
  }
}

customElements.define("agent-card", AgentCard);
