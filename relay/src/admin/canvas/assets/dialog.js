//! Dialogs: opened over the page, and gone when they are closed.

import { el } from "./dom.js";

/** Opens a dialog of this name. */
export function opened(name, content) {
  const dialog = el("dialog", { "aria-label": name }, content);
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/** The same, which only what is in it closes: Esc would lose what it shows for good. */
export function kept(name, content) {
  const dialog = opened(name, content);
  // A second Esc closes even where `cancel` is refused.
  dialog.addEventListener("keydown", (event) => event.key === "Escape" && event.preventDefault());
  dialog.addEventListener("cancel", (event) => event.preventDefault());
  return dialog;
}

/** Waits until it is closed. */
export function closed(dialog) {
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve();
    });
  });
}
