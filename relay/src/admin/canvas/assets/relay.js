//! `<relay-panel>`: the keys of the organisation, which open more than one agent.

import { credentials, name, scope } from "./credentials.js";
import { button, el } from "./dom.js";

class RelayPanel extends HTMLElement {
  #keys;
  #title = el("h2", { tabindex: "-1", text: "Keys of the organisation" });

  connectedCallback() {
    if (this.#keys) return;
    this.#keys = credentials({
      title: "Keys",
      noun: "key",
      path: "/keys",
      field: "keys",
      secret: "key",
      empty: "No key was made. The admin token opens everything, and belongs to the operator alone.",
      opens: "whoever has it has all that its scope opens.",
      ends: "opens nothing from now on.",
      inputs: [name("Which tool holds it"), scope()],
    });
    const close = button("✕", () => this.#close(), "plain small");
    close.setAttribute("aria-label", "Close keys");
    const about = el("p", { class: "muted", text: "For orchestrators and tools: a key opens every agent, as far as its scope goes." });
    this.replaceChildren(
      el("header", {}, el("div", { class: "title" }, this.#title, close)),
      el("div", { class: "page" }, about, this.#keys.element),
    );
    this.setAttribute("role", "complementary");
    this.setAttribute("aria-label", "Keys of the organisation");
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !this.hidden && !document.querySelector("dialog[open]")) this.#close();
    });
  }

  /** Shows it, as things are now. */
  open() {
    this.hidden = false;
    this.#keys.read();
    this.#title.focus({ preventScroll: true });
  }

  #close() {
    this.hidden = true;
    this.dispatchEvent(new Event("close"));
  }
}

customElements.define("relay-panel", RelayPanel);
