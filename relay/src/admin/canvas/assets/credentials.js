//! Credentials of one kind: made, shown once, listed by their first letters, revoked.

import { call } from "./api.js";
import { confirm } from "./confirm.js";
import { el } from "./dom.js";
import { line, list, moment } from "./list.js";
import { showOnce } from "./once.js";

const DAY = 24 * 60 * 60;
const LIVES = [["", "No expiry"], [DAY, "1 day"], [7 * DAY, "7 days"], [30 * DAY, "30 days"], [365 * DAY, "1 year"]];
const SCOPES = [["call", "Call every agent"], ["read", "Read every list"], ["admin", "Everything (admin)"]];

/**
 * The credentials at `path`, which answers them in `field`, and a new one's text in `secret`. `inputs`
 * are what making one asks for; `opens` says what it opens, `ends` what its revocation does.
 */
export function credentials({ title, noun, path, field, secret, empty, opens, ends, inputs = [] }) {
  const wrong = el("p", { class: "wrong", role: "alert" });
  const submit = el("button", { type: "submit", class: inputs.length ? undefined : "small", text: `New ${noun}` });
  const form = el(
    "form",
    { class: inputs.length ? "set" : "buttons", "aria-label": `New ${noun}` },
    ...inputs.map(({ label, input }) => el("label", { class: "field" }, label, input)),
    submit,
  );
  const all = list({ title, path, field, empty, show, extra: el("div", { class: "part" }, form, wrong) });

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    submit.disabled = true;
    wrong.textContent = "";
    try {
      const made = await call("POST", path, Object.fromEntries(inputs.map(({ name, read }) => [name, read()])));
      form.reset();
      submit.disabled = false;
      submit.focus();
      await showOnce(`New ${noun}`, opens, made[secret]);
      all.read();
    } catch (problem) {
      wrong.textContent = problem.line ?? problem.message;
      submit.disabled = false;
    }
  });

  function show(credential) {
    const used = credential.last_used_at ? `used ${moment(credential.last_used_at)}` : "never used";
    const life = credential.expires_at ? `expires ${moment(credential.expires_at)}` : "no expiry";
    const bounds = [
      credential.rate && `${credential.rate} requests/s`,
      credential.in_flight && `${credential.in_flight} open`,
      credential.methods !== "all" && credential.methods,
    ];
    const about = [credential.name, credential.scope && `scope ${credential.scope}`, ...bounds, used, life];
    const revoke = el("button", {
      type: "button",
      class: "small danger",
      text: "Revoke…",
      "aria-label": `Revoke ${credential.name ?? credential.prefix}`,
    });
    revoke.addEventListener("click", async () => {
      const ask = { title: `Revoke this ${noun}?`, sentence: `${credential.prefix}… ${ends}`, verb: "Revoke", danger: true };
      const one = `${path}/${encodeURIComponent(credential.id)}`;
      if (await confirm(ask, () => call("DELETE", one, {}))) all.read();
    });
    return line(`${credential.prefix}…`, about.filter(Boolean).join(", "), moment(credential.created_at), revoke);
  }

  return { element: all.element, read: all.read };
}

/** Asks who will hold it. */
export function name(placeholder) {
  const input = el("input", { name: "name", required: true, maxlength: "255", autocomplete: "off", placeholder });
  return { name: "name", label: "Name", input, read: () => input.value.trim() };
}

/** Asks how long it lives. */
export function life() {
  const input = select("expires_seconds", LIVES);
  return { name: "expires_seconds", label: "Expiry", input, read: () => (input.value ? Number(input.value) : null) };
}

/** Asks what it opens. */
export function scope() {
  const input = select("scope", SCOPES);
  return { name: "scope", label: "Scope", input, read: () => input.value };
}

function select(name, choices) {
  return el("select", { name }, ...choices.map(([value, text]) => el("option", { value, text })));
}
