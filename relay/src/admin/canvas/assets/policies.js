//! The policies of one agent: who may call it, what of it, how fast. Each change holds at once.

import { call, of } from "./api.js";
import { el, text } from "./dom.js";

const CALLERS = [
  ["link", "Whoever has its URL"],
  ["token", "Holders of a caller token"],
  ["workspaces", "Agents that may talk to it"],
  ["open", "Everybody"],
];
const EXPOSE = [["a2a", "A2A alone"], ["all", "Every path"]];

/** The page “Policies” of one agent. */
export class Policies {
  #id;
  #wrong = el("p", { class: "wrong", role: "alert" });
  #fields = [
    choice("callers", "Who may call", CALLERS),
    choice("expose", "What they reach", EXPOSE),
    words("methods", "Methods", "all, or some: send,stream,get,…"),
    number("rate", "Requests per second", { min: "0.001", max: "100000", step: "any" }),
    number("in_flight", "Requests open at a time", { min: "1", max: "4096", step: "1" }),
    toggle("keep_alive", "Break the silences of event streams with comments"),
    toggle("jsonrpc_errors_as_200", "Refuse JSON-RPC calls with status 200"),
    toggle("strict_card", "Serve a signed card as it is, even if its URLs are of no use"),
  ];

  constructor(id) {
    this.#id = id;
    const parts = this.#fields.map((field) => {
      field.input.addEventListener("change", () => this.#change(field));
      const { label, input } = field;
      return input.type === "checkbox"
        ? el("label", { class: "toggle" }, input, label)
        : el("label", { class: "field" }, label, input);
    });
    const form = el("form", { class: "part", "aria-label": "Policies" }, ...parts);
    form.addEventListener("submit", (event) => event.preventDefault());
    this.element = el("div", { class: "page" }, form, this.#wrong);
  }

  /** Shows the row, but for what is being written or on its way. */
  show(row) {
    for (const { name, input, write } of this.#fields) {
      const mine = input.disabled || (document.activeElement === input && input.type !== "checkbox");
      if (!mine) write(row[name]);
    }
  }

  async #change({ name, input, read, write }) {
    if (!input.reportValidity()) return;
    this.#wrong.textContent = "";
    const had = document.activeElement === input;
    input.disabled = true;
    try {
      write((await call("PATCH", of(this.#id), { [name]: read() }))[name]);
    } catch (problem) {
      this.#wrong.textContent = problem.line ?? problem.message;
    }
    input.disabled = false;
    if (had) input.focus();
  }
}

function choice(name, label, choices) {
  const input = el("select", { name }, ...choices.map(([value, text]) => el("option", { value, text })));
  return { name, label, input, read: () => input.value, write: (value) => (input.value = text(value)) };
}

function words(name, label, placeholder) {
  const input = el("input", { name, autocomplete: "off", spellcheck: "false", placeholder });
  const read = () => input.value.replaceAll(" ", "") || "all";
  return { name, label, input, read, write: (value) => (input.value = text(value)) };
}

/** A number; none is no limit. */
function number(name, label, limits) {
  const input = el("input", { name, type: "number", placeholder: "no limit", ...limits });
  const read = () => (input.value === "" ? null : Number(input.value));
  return { name, label, input, read, write: (value) => (input.value = Number.isFinite(value) ? value : "") };
}

function toggle(name, label) {
  const input = el("input", { name, type: "checkbox" });
  return { name, label, input, read: () => input.checked, write: (value) => (input.checked = value === true) };
}
