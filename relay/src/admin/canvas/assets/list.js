//! A titled list that is read from the relay, and is not there where the relay has no such thing.

import { call } from "./api.js";
import { el, text } from "./dom.js";

/** A list of what is at `path` in the field `field`; `show` makes a line of each. */
export function list({ title, path, field, empty, show, extra }) {
  const rows = el("ul", { class: "rows" });
  const word = el("p", { class: "faint", text: "Loading…" });
  const head = el("div", { class: "head" }, el("h3", { text: title }));
  const element = el("section", { class: "part" }, head, rows, word);
  if (extra) element.append(extra);
  const read = async () => {
    if (element.hidden) return;
    try {
      const answer = await call("GET", path);
      const all = Array.isArray(answer[field]) ? answer[field] : [];
      update(rows, all, show);
      word.textContent = all.length ? "" : empty;
      word.hidden = all.length > 0;
    } catch (problem) {
      // A relay without it, of another version, says 404.
      if ([404, 405].includes(problem.status)) element.hidden = true;
      word.hidden = false;
      word.textContent = problem.line ?? "It cannot be read.";
    }
  };
  return { element, head, read };
}

/** Shows `all`. Lines that say the same as before stay in place: nobody's click or focus is lost. */
function update(rows, all, show) {
  const wanted = all.map((one) => JSON.stringify(one));
  for (const row of [...rows.children]) if (!wanted.includes(row.says)) row.remove();
  let next = rows.firstElementChild;
  wanted.forEach((says, at) => {
    if (next?.says === says) {
      next = next.nextElementSibling;
      return;
    }
    const row = show(all[at]);
    row.says = says;
    rows.insertBefore(row, next);
  });
  while (next) {
    const after = next.nextElementSibling;
    next.remove();
    next = after;
  }
}

/** A moment as people write it; what is no moment is empty. */
export function moment(value) {
  const date = new Date(value ?? NaN);
  if (Number.isNaN(date.getTime())) return "";
  const today = date.toDateString() === new Date().toDateString();
  return today ? date.toLocaleTimeString() : date.toLocaleString([], { dateStyle: "short", timeStyle: "short" });
}

/** One line: a main word, what is said of it, and when. */
export function line(main, sub, when, ...actions) {
  return el(
    "li",
    {},
    el("div", {}, text(main), el("div", { class: "sub", text: text(sub, 600) })),
    el("span", { class: "when", text: when }),
    ...actions,
  );
}
