//! Makes elements. Text goes in as text: nothing that an agent says is ever read as markup.

/** A new element with properties, listeners (`on`), attributes and children; strings become text. */
export function el(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (name === "on") {
      for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    } else if (name === "text") {
      element.textContent = value;
    } else if (typeof value === "boolean") {
      element.toggleAttribute(name, value);
    } else if (value !== undefined && value !== null) {
      element.setAttribute(name, value);
    }
  }
  element.append(...children);
  return element;
}

/** Changes a text where it differs, so that nothing is laid out again in vain. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Changes an attribute where it differs. */
export function mark(element, name, value) {
  if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
}

/** The text in a value that an agent sent, no longer than this; anything else is no text. */
export function text(value, max = 400) {
  if (typeof value !== "string") return "";
  return value.length > max ? `${value.slice(0, max)}…` : value;
}

/** A button. */
export function button(label, click, kind = "") {
  return el("button", { type: "button", class: kind || undefined, text: label, on: { click } });
}
