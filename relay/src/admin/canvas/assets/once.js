//! Shows a new credential, once, until it is said that it was saved.

import { copyButton } from "./copy.js";
import { closed, kept } from "./dialog.js";
import { button, el } from "./dom.js";

/** Shows `secret` under a title, with a sentence on what it opens. */
export async function showOnce(title, sentence, secret) {
  const shown = el("pre", { class: "secret", text: secret, tabindex: "0", "aria-label": title });
  const copy = copyButton(() => secret);
  const body = el(
    "div",
    { class: "body" },
    el("h2", { text: title }),
    el("p", { class: "warning", role: "note", text: `This is not shown again: ${sentence} Save it now.` }),
    el("div", { class: "snippet" }, shown, copy),
    el("div", { class: "buttons" }, button("I have saved it", () => dialog.close(), "primary")),
  );
  const dialog = kept(title, body);
  copy.focus();
  await closed(dialog);
}
