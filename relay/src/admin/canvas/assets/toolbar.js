//! `<agent-toolbar>`: the search, the statuses with their counts, and the order.

import { el, mark, say } from "./dom.js";
import { STATUSES, label } from "./status.js";

class AgentToolbar extends HTMLElement {
  words = "";
  status = "";
  #buttons = new Map();

  connectedCallback() {
    const search = el("input", {
      type: "search",
      placeholder: "Search agents and skills",
      "aria-label": "Search agents and skills",
      autocomplete: "off",
      spellcheck: "false",
    });
    search.addEventListener("input", () => {
      this.words = search.value;
      this.#tell("filter");
    });
    document.addEventListener("keydown", (event) => {
      const typing = event.target.closest("input, textarea, select, dialog");
      if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      search.focus();
    });
    const statuses = el("div", { class: "statuses", role: "group", "aria-label": "Show by status" });
    for (const status of ["", ...STATUSES]) statuses.append(this.#button(status));
    const order = el(
      "select",
      { "aria-label": "Order" },
      el("option", { value: "name", text: "By name" }),
      el("option", { value: "trouble", text: "Trouble first" }),
      el("option", { value: "newest", text: "Newest first" }),
    );
    order.addEventListener("change", () => this.#tell("order", order.value));
    this.replaceChildren(search, statuses, order);
  }

  /** Shows how many there are of each. Nobody failed is not worth a place. */
  count(counts, total) {
    for (const [status, { element, count }] of this.#buttons) {
      say(count, String(status ? counts[status] : total));
      element.hidden = status === "failed" && !counts.failed && this.status !== "failed";
    }
  }

  #button(status) {
    const count = el("span", { class: "count", text: "0" });
    const element = el("button", { type: "button", "aria-pressed": String(status === this.status) });
    if (status) element.append(el("span", { class: "dot", "aria-hidden": "true" }));
    element.append(status ? label(status) : "All", count);
    mark(element, "data-status", status);
    element.addEventListener("click", () => {
      this.status = status;
      for (const [other, { element: its }] of this.#buttons) mark(its, "aria-pressed", other === status);
      this.#tell("filter");
    });
    this.#buttons.set(status, { element, count });
    return element;
  }

  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}

customElements.define("agent-toolbar", AgentToolbar);
