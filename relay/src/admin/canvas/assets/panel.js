//! `<agent-panel>`: everything about one agent, and what can be done with it.

import { Access } from "./access.js";
import { Activity } from "./activity.js";
import { call, of } from "./api.js";
import { Chat } from "./chat.js";
import { confirm } from "./confirm.js";
import { button, el, mark, say, text } from "./dom.js";
import { Overview } from "./overview.js";
import { Policies } from "./policies.js";
import { isHeard, label, reason, statusOf, trouble } from "./status.js";
import { tabs } from "./tabs.js";

const PAGES = { overview: "Overview", chat: "Chat", access: "Access", policies: "Policies", activity: "Activity" };

class AgentPanel extends HTMLElement {
  store;
  #id = null;
  #page = "overview";
  #pages = {};
  #tabs;
  #parts;

  connectedCallback() {
    if (this.#parts) return;
    const parts = {
      title: el("h2", { tabindex: "-1" }),
      state: el("span", { class: "dot", "aria-hidden": "true" }),
      label: el("span", { class: "label" }),
      badge: el("span", { class: "badge" }),
      why: el("p", { class: "why", role: "status" }),
      pause: button("Pause", () => this.#pause(), "small"),
    };
    this.#parts = parts;
    this.#tabs = tabs("Details", PAGES, (page) => this.#turn(page));
    const close = button("✕", () => this.#close(), "plain small");
    close.setAttribute("aria-label", "Close details");
    const actions = el(
      "div",
      { class: "actions" },
      parts.pause,
      button("Revoke…", () => this.#revoke(), "small danger"),
      button("Remove…", () => this.#remove(), "small danger"),
    );
    const head = el(
      "header",
      {},
      el("div", { class: "title" }, parts.title, close),
      el("div", { class: "state" }, parts.state, parts.label, parts.badge),
      parts.why,
      actions,
      this.#tabs.row,
    );
    this.replaceChildren(head);
    this.setAttribute("role", "complementary");
    this.setAttribute("aria-label", "Agent details");
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && this.#id && !document.querySelector("dialog[open]")) this.#close();
    });
    setInterval(() => this.#id && this.refresh(), 1000);
  }

  /** Shows this agent as soon as there is a row of it, or nothing for `null`. */
  open(id) {
    if (id === this.#id) return;
    for (const page of Object.values(this.#pages)) {
      page.element.remove();
      page.leave?.();
    }
    this.#pages = {};
    this.#id = id;
    this.hidden = true;
    this.refresh();
  }

  /** Shows what changed of it. */
  refresh() {
    if (!this.#id) return;
    const row = this.store.get(this.#id);
    if (!row) {
      if (!this.hidden) this.#close();
      return;
    }
    const { title, state, label: word, badge, why, pause } = this.#parts;
    const status = statusOf(row);
    say(title, row.title);
    mark(state.parentElement, "data-status", status);
    mark(word, "data-status", status);
    say(word, label(status));
    say(badge, row.runtime === "external" ? "★ REMOTE" : text(row.runtime, 20));
    mark(badge, "data-alive", isHeard(row));
    const wrong = trouble(row);
    say(why, text(wrong || reason(row) || (row.connected ? "Connected; calls reach the agent." : "")));
    why.classList.toggle("trouble", Boolean(wrong));
    say(pause, row.paused ? "Resume" : "Pause…");
    this.#pages[this.#page]?.show(row);
    if (!this.hidden) return;
    this.hidden = false;
    this.#tabs.select(this.#page);
    title.focus({ preventScroll: true });
  }

  #turn(name) {
    this.#page = name;
    if (!this.#id) return;
    const makers = { overview: Overview, chat: Chat, access: Access, policies: Policies, activity: Activity };
    const page = (this.#pages[name] ??= new makers[name](this.#id));
    for (const other of Object.values(this.#pages)) other.element.remove();
    this.append(page.element);
    const row = this.store.get(this.#id);
    if (row) page.show(row);
    page.turned?.();
  }

  #close() {
    const detail = this.#id;
    this.dispatchEvent(new CustomEvent("close", { detail }));
  }

  #pause() {
    const { id, title, paused } = this.store.get(this.#id);
    if (paused) {
      const ask = { title: `Resume ${title}?`, sentence: "Calls reach the agent again.", verb: "Resume" };
      return confirm(ask, () => call("POST", of(id, "/resume"), {}));
    }
    const sentence = "Its connector stays, but every call is answered 503 until you resume it.";
    return confirm({ title: `Pause ${title}?`, sentence, verb: "Pause" }, () => call("POST", of(id, "/pause"), {}));
  }

  #revoke() {
    const { id, title } = this.store.get(this.#id);
    const sentence =
      "Every certificate, token and join string of this agent ends now, its link and open calls with " +
      "them. The workspace and its URL stay; a new join string lets an agent in again.";
    const ask = { title: `Revoke the credentials of ${title}?`, sentence, verb: "Revoke", danger: true };
    return confirm(ask, () => call("DELETE", of(id, "/tokens"), {}));
  }

  #remove() {
    const { id, title } = this.store.get(this.#id);
    const sentence = "Its URL, credentials and secrets are gone for good. This cannot be undone.";
    const ask = { title: `Remove ${title}?`, sentence, verb: "Remove", danger: true };
    return confirm(ask, () => call("DELETE", of(id), {}));
  }
}

customElements.define("agent-panel", AgentPanel);
