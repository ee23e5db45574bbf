//! Who gets in as the agent, and what it is given: join strings, tokens, secrets.

import { call, of } from "./api.js";
import { confirm } from "./confirm.js";
import { showConnection } from "./connect.js";
import { button, el } from "./dom.js";
import { line, list, moment } from "./list.js";

/** The page “Access” of one agent. */
export class Access {
  #id;
  #tokens;
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
    this.#tokens = list({
      title: "Tokens",
      path: of(id, "/tokens"),
      field: "tokens",
      empty: "No token was issued; registering issues one.",
      show: (token) => this.#token(token),
    });
    this.#secrets = list({
      title: "Secrets",
      path: of(id, "/secrets"),
      field: "secrets",
      empty: "No secrets are set. Values are shown to nobody but the agent.",
      show: (secret) => this.#secret(secret),
      extra: this.#setSecret(),
    });
    this.element = el("div", { class: "page" }, joining, this.#tokens.element, this.#secrets.element);
  }

  /** Nothing of the row is shown here. */
  show() {}

  /** Reads what may have changed. */
  turned() {
    this.#tokens.read();
    this.#secrets.read();
  }

  #token(token) {
    const used = token.last_used_at ? `used ${moment(token.last_used_at)}` : "never used";
    const ends = token.expires_at ? `expires ${moment(token.expires_at)}` : "no expiry";
    const revoke = button("Revoke…", async () => {
      const ask = {
        title: "Revoke this token?",
        sentence: `${token.prefix}… stops working now, and a link that came by it ends.`,
        verb: "Revoke",
        danger: true,
      };
      const path = of(this.#id, `/tokens/${encodeURIComponent(token.id)}`);
      if (await confirm(ask, () => call("DELETE", path, {}))) this.#tokens.read();
    }, "small danger");
    return line(`${token.prefix ?? token.id}…`, `${used}, ${ends}`, moment(token.created_at), revoke);
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
