//! Connect an agent: its name, then once what connects it.

import { call } from "./api.js";
import { copyButton } from "./copy.js";
import { closed, kept, opened } from "./dialog.js";
import { button, el, text } from "./dom.js";
import { connector, curl, fields, python } from "./snippets.js";
import { tabs } from "./tabs.js";

const WAYS = { connector: "agent-connector", curl: "curl", python: "Python", fields: "Fields" };

/** Asks for a name, makes the workspace and shows how to connect; answers its id, if it was made. */
export function connectAgent() {
  const name = el("input", { name: "name", required: true, maxlength: "255", autocomplete: "off", placeholder: "My agent" });
  const wrong = el("p", { class: "wrong", role: "alert" });
  const submit = el("button", { type: "submit", class: "primary", text: "Create" });
  const form = el(
    "form",
    {},
    el("h2", { text: "Connect an agent" }),
    el("label", { class: "field" }, "Name", name),
    el("p", { class: "muted", text: "It gets a URL of its own, and a line that connects it from wherever it runs." }),
    wrong,
    el("div", { class: "buttons" }, button("Cancel", () => dialog.close()), submit),
  );
  const dialog = opened("Connect an agent", form);
  let made = null;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    submit.disabled = true;
    wrong.textContent = "";
    try {
      made = await call("POST", "/workspaces", { name: name.value.trim(), runtime: "external", external: true });
      dialog.close();
    } catch (problem) {
      wrong.textContent = problem.line;
      submit.disabled = false;
    }
  });
  return closed(dialog).then(async () => {
    if (made) await showConnection(made);
    return made?.workspace_id ?? null;
  });
}

/** Shows how to connect what was made, until it is said that it was saved. */
export async function showConnection(made) {
  const relay = await call("GET", "/relay").catch(() => null);
  const place = el("div", { role: "tabpanel" });
  const texts = { connector, curl, python };
  const ways = tabs("Ways to connect", WAYS, (way) => {
    place.replaceChildren(way === "fields" ? given(fields(made, relay)) : snippet(texts[way](made, relay)));
  });
  const warning = "This is not shown again: the join string lets whoever has it connect as this agent. Save it now.";
  const body = el(
    "div",
    { class: "body" },
    el("h2", { text: made.name ? `Connect ${text(made.name, 255)}` : "Connect" }),
    el("p", { class: "warning", role: "note", text: warning }),
    el("div", {}, ways.row, place),
    el("div", { class: "buttons" }, button("I have saved it", () => dialog.close(), "primary")),
  );
  const dialog = kept("How to connect", body);
  ways.select("connector");
  place.querySelector("button").focus();
  await closed(dialog);
}

function snippet(content) {
  return el("div", { class: "snippet" }, el("pre", { text: content, tabindex: "0" }), copyButton(() => content));
}

function given(values) {
  const list = el("div", { class: "given" });
  for (const [name, value] of Object.entries(values)) {
    const shown = el("code", { text: value || "(missing)", class: value ? undefined : "faint", title: value });
    list.append(el("div", {}, el("span", { class: "muted", text: name }), shown, value ? copyButton(() => value, `Copy ${name}`) : ""));
  }
  return list;
}
