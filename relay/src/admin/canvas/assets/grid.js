//! `<agent-grid>`: the cards in sight, and room for all the others.
//!
//! Every card has the same height, so that where each one stands is known without drawing it.

import "./card.js";
import { button, el, mark } from "./dom.js";

const WIDTH_MIN = 258;
const HEIGHT = 194;
const GAP = 12;
/** Drawn above and below what is in sight, so that scrolling shows no gaps. */
const SPARE = 500;

class AgentGrid extends HTMLElement {
  #rows = [];
  #cards = new Map();
  #current = null;
  #empty;

  connectedCallback() {
    this.#empty = this.querySelector(".empty");
    this.setAttribute("role", "list");
    this.setAttribute("aria-label", "Agents");
    new ResizeObserver(() => this.#draw()).observe(this);
    document.addEventListener("scroll", () => this.#draw(), { passive: true });
    setInterval(() => document.hidden || this.#cards.forEach((card) => card.age()), 1000);
  }

  /** Shows these rows; if there are none, says why: none at all, or none of those. */
  show(rows, total) {
    this.#rows = rows;
    if (rows.length) this.#empty.remove();
    else if (total) this.#say("No agent matches", "Try another word or status.");
    else {
      const ask = () => this.dispatchEvent(new CustomEvent("connect", { bubbles: true }));
      this.#say(
        "No agents yet",
        "An agent connects from wherever it runs, by one outgoing line. Nothing has to be opened to it.",
        button("Connect an agent", ask, "primary"),
      );
    }
    this.#draw();
  }

  /** Marks the card whose details are open. */
  set current(id) {
    this.#cards.get(this.#current)?.removeAttribute("aria-current");
    this.#current = id;
    this.#cards.get(id)?.setAttribute("aria-current", "true");
  }

  /** Gives the keyboard back to a card, if it is drawn. */
  focusOn(id) {
    this.#cards.get(id)?.focus();
  }

  #say(title, ...more) {
    const [sentence, ...rest] = more;
    this.#empty.replaceChildren(el("h2", { text: title }));
    if (sentence) this.#empty.append(el("p", { text: sentence }), ...rest);
    if (!this.#empty.isConnected) this.append(this.#empty);
  }

  #draw() {
    const width = this.clientWidth;
    if (!width) return;
    const columns = Math.max(1, Math.floor((width + GAP) / (WIDTH_MIN + GAP)));
    const cardWidth = (width - GAP * (columns - 1)) / columns;
    const lines = Math.ceil(this.#rows.length / columns);
    this.style.height = lines ? `${lines * (HEIGHT + GAP) - GAP}px` : "";
    const top = this.getBoundingClientRect().top;
    const first = Math.max(0, Math.floor((-top - SPARE) / (HEIGHT + GAP))) * columns;
    const last = Math.ceil((innerHeight - top + SPARE) / (HEIGHT + GAP)) * columns;

    const wanted = this.#rows.slice(first, last).map((row, at) => [row, first + at]);
    // Who has the keyboard keeps it, wherever it is scrolled to.
    const held = document.activeElement?.closest("agent-card")?.dataset.id;
    const heldAt = held ? this.#rows.findIndex((row) => row.id === held) : -1;
    if (heldAt >= 0 && heldAt < first) wanted.unshift([this.#rows[heldAt], heldAt]);
    if (heldAt >= last) wanted.push([this.#rows[heldAt], heldAt]);

    const ids = new Set(wanted.map(([row]) => row.id));
    for (const [id, card] of this.#cards) {
      if (ids.has(id)) continue;
      card.remove();
      this.#cards.delete(id);
    }
    let next = this.querySelector("agent-card");
    for (const [row, at] of wanted) {
      const card = this.#cards.get(row.id) ?? this.#make(row.id);
      if (card === next) next = next.nextElementSibling;
      else this.insertBefore(card, next);
      card.row = row;
      mark(card, "aria-posinset", at + 1);
      mark(card, "aria-setsize", this.#rows.length);
      const x = (at % columns) * (cardWidth + GAP);
      const y = Math.floor(at / columns) * (HEIGHT + GAP);
      const place = `translate(${x}px, ${y}px)`;
      if (card.style.transform !== place) card.style.transform = place;
      if (card.style.width !== `${cardWidth}px`) card.style.width = `${cardWidth}px`;
    }
  }

  #make(id) {
    const card = el("agent-card", { role: "listitem", "data-id": id });
    if (id === this.#current) card.setAttribute("aria-current", "true");
    this.#cards.set(id, card);
    return card;
  }
}

customElements.define("agent-grid", AgentGrid);
