//! Asks before something is done, and says why when it could not be done.

import { button, el } from "./dom.js";

/** Asks; then does it, and closes when it is done. Answers whether it was done. */
export function confirm({ title, sentence, verb, danger = false }, act) {
  const wrong = el("p", { class: "wrong", role: "alert" });
  const yes = el("button", { type: "submit", class: danger ? "primary danger" : "primary", text: verb });
  const no = button("Cancel", () => dialog.close());
  no.autofocus = true;
  const form = el(
    "form",
    {},
    el("h2", { text: title }),
    el("p", { class: "muted", text: sentence }),
    wrong,
    el("div", { class: "buttons" }, no, yes),
  );
  const dialog = el("dialog", { "aria-label": title }, form);
  let done = false;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    yes.disabled = true;
    wrong.textContent = "";
    try {
      await act();
      done = true;
      dialog.close();
    } catch (problem) {
      wrong.textContent = problem.line ?? problem.message;
      yes.disabled = false;
    }
  });
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(done);
    });
  });
}
