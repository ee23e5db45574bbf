//! Who gets in as the agent and who may call it, and what it is given: join strings, tokens, secrets.

import { call, of } from "./api.js";
import { confirm } from "./confirm.js";
import { showConnection } from "./connect.js";
import { credentials, life, name } from "./credentials.js";
import { button, el } from "./dom.js";
import { line, list, moment } from "./list.js";

/** The page “Access” of one agent. */
export class Access {
  #id;
  #tokens;
  #callers;
  #secrets;

  constructor(id) {
    this.#id = id;
    const wrong = el("p", { class: "wrong", role: "alert" });
    const join = button("New join string", async () => {
      wrong.textContent = "";
      try {
        await showConnection(await call("POST", of(id, "/join"), {}));
      } catch (problem) {
        wrong.textContent = problem.line;
      }
    }, "small");
    const joining = el(
      "section",
      { class: "part" },
      el("div", { class: "head" }, el("h3", { text: "Connect" }), join),
      el("p", { class: "muted", text: "A join string lets one connector in, within a day, for the same URL." }),
      wrong,
    );
    this.#tokens = credentials({
      title: "Tokens of the agent",
      noun: "token",
      path: of(id, "/tokens"),
      field: "tokens",
      secret: "auth_token",
      empty: "No token was issued; registering issues one.",
      opens: "whoever has it is this agent, with its secrets.",
      ends: "stops working now, and a link that came by it ends.",
    });
    this.#callers = credentials({
      title: "Tokens of callers",
      noun: "caller token",
      path: of(id, "/callers"),
      field: "callers",
      secret: "caller_token",
      empty: "Nobody has a token to call this agent.",
      opens: "whoever has it may call this agent.",
      ends: "opens nothing from now on; other callers stay.",
      inputs: [name("Who will hold it"), life()],
    });
    this.#secrets = list({
      title: "Secrets",
      path: of(id, "/secrets"),
      field: "secrets",
      empty: "No secrets are set. Values are shown to nobody but the agent.",
      show: (secret) => this.#secret(secret),
      extra: this.#setSecret(),
    });
    const lists = [this.#tokens, this.#callers, this.#secrets].map((one) => one.element);
    this.element = el("div", { class: "page" }, joining, ...lists);
  }

  /** Nothing of the row is shown here. */
  show() {}

  /** Reads what may have changed. */
  turned() {
    for (const one of [this.#tokens, this.#callers, this.#secrets]) one.read();
  }

  #secret({ key, updated_at: updated }) {
    const remove = button("Remove…", async () => {
      const sentence = "The agent no longer gets it at its next pull.";
      const ask = { title: `Remove the secret ${key}?`, sentence, verb: "Remove", danger: true };
      const path = of(this.#id, `/secrets/${encodeURIComponent(key)}`);
      if (await confirm(ask, () => call("DELETE", path, {}))) this.#secrets.read();
    }, "small danger");
    return line(key, "", moment(updated), remove);
  }

  #setSecret() {
    const key = el("input", { name: "key", required: true, autocomplete: "off", spellcheck: "false" });
    const value = el("input", { name: "value", type: "password", required: true, autocomplete: "off" });
    const wrong = el("p", { class: "wrong", role: "alert" });
    const form = el(
      "form",
      { class: "set" },
      el("label", { class: "field" }, "Name", key),
      el("label", { class: "field" }, "Value", value),
      el("button", { type: "submit", text: "Set" }),
    );
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      wrong.textContent = "";
      try {
        await call("PUT", of(this.#id, `/secrets/${encodeURIComponent(key.value.trim())}`), { value: value.value });
        form.reset();
        this.#secrets.read();
      } catch (problem) {
        wrong.textContent = problem.line;
      }
    });
    return el("div", { class: "part" }, form, wrong);
  }
}
