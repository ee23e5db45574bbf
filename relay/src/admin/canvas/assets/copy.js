//! A button that copies a text and says so.

import { el } from "./dom.js";

const SAID_FOR = 1500;

/** A button that copies what `read` answers. */
export function copyButton(read, what = "Copy") {
  const button = el("button", { type: "button", class: "copy small", text: "Copy", "aria-label": what });
  const word = async () => {
    try {
      await navigator.clipboard.writeText(read());
      return "Copied!";
    } catch {
      // Without a secure origin there is no clipboard; the text can be selected.
      return "Select it";
    }
  };
  let timer;
  button.addEventListener("click", async () => {
    button.textContent = await word();
    button.setAttribute("aria-label", button.textContent);
    clearTimeout(timer);
    timer = setTimeout(() => {
      button.textContent = "Copy";
      button.setAttribute("aria-label", what);
    }, SAID_FOR);
  });
  return button;
}
