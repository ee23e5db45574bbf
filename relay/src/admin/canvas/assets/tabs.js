//! Tabs: one row of buttons, of which one is chosen. The arrow keys move between them.

import { el } from "./dom.js";

/** A row of tabs by key and label; `choose` is told which one was chosen. */
export function tabs(name, labels, choose) {
  const row = el("div", { class: "tabs", role: "tablist", "aria-label": name });
  const buttons = new Map();
  const select = (key) => {
    for (const [other, button] of buttons) {
      button.setAttribute("aria-selected", String(other === key));
      button.tabIndex = other === key ? 0 : -1;
    }
    choose(key);
  };
  for (const [key, label] of Object.entries(labels)) {
    const button = el("button", { type: "button", role: "tab", text: label });
    button.addEventListener("click", () => select(key));
    buttons.set(key, button);
    row.append(button);
  }
  row.addEventListener("keydown", ({ key }) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[key];
    if (!step) return;
    const all = [...buttons.keys()];
    const at = all.findIndex((one) => buttons.get(one) === document.activeElement);
    const next = all[(at + step + all.length) % all.length];
    select(next);
    buttons.get(next).focus();
  });
  return { row, select };
}
