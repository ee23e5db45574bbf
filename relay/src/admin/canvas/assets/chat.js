//! My chat: messages to the agent, and its answers as they come.

import { events, read, thread } from "./answers.js";
import { Problem, of, send } from "./api.js";
import { el, say } from "./dom.js";

/** What is kept on the page. */
const SAID_MAX = 200;

/** The page “Chat” of one agent. */
export class Chat {
  #id;
  #log = el("div", { class: "log", role: "log", "aria-live": "polite", "aria-label": "Conversation", tabindex: "0" });
  #hint = el("p", { class: "faint" });
  #input = el("textarea", { rows: "2", "aria-label": "Message", placeholder: "Message to the agent" });
  #stream = el("input", { type: "checkbox" });
  #button = el("button", { type: "submit", class: "primary", text: "Send" });
  #going = null;
  #thread = {};
  #chosen = false;

  constructor(id) {
    this.#id = id;
    this.#hint.textContent = "What you send goes to the agent as an A2A message, with you as its caller.";
    this.#log.append(this.#hint);
    const way = el("label", { class: "way" }, this.#stream, "Stream the answer (message/stream)");
    const form = el("form", {}, this.#input, this.#button, way);
    this.element = el("div", { class: "page chat" }, this.#log, form);
    this.#stream.addEventListener("change", () => (this.#chosen = true));
    this.#input.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      // While an answer comes, only its button stops it.
      if (!this.#going) form.requestSubmit();
    });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.#going) this.#going.abort();
      else if (this.#input.value.trim()) this.#ask(this.#input.value.trim());
    });
  }

  /** Streams where the agent's card says that it can. */
  show(row) {
    if (!this.#chosen) this.#stream.checked = row.card.capabilities?.streaming === true;
  }

  /** Is ready for typing. */
  turned() {
    this.#input.focus({ preventScroll: true });
  }

  /** Nobody reads on. */
  leave() {
    this.#going?.abort();
  }

  async #ask(words) {
    this.#input.value = "";
    this.#say(words, "mine");
    this.#going = new AbortController();
    say(this.#button, "Stop");
    try {
      await this.#exchange(words, new Map());
    } catch (problem) {
      if (problem.name === "AbortError") this.#say("Stopped.", "wrong");
      else this.#say(problem.line ?? `The answer broke off: ${problem.message}`, "wrong");
    }
    this.#going = null;
    say(this.#button, "Send");
  }

  async #exchange(words, places) {
    const message = {
      kind: "message",
      role: "user",
      messageId: crypto.randomUUID?.() ?? `m-${Date.now()}-${Math.random()}`,
      parts: [{ kind: "text", text: words }],
      ...this.#thread,
    };
    const method = this.#stream.checked ? "message/stream" : "message/send";
    const request = { jsonrpc: "2.0", id: message.messageId, method, params: { message } };
    const answer = await send("POST", of(this.#id, "/chat"), request, this.#going.signal);
    const streams = answer.headers.get("Content-Type")?.startsWith("text/event-stream");
    if (streams) {
      for await (const data of events(answer.body)) this.#take(JSON.parse(data), places);
    } else {
      this.#take(await answer.json(), places);
    }
    if (!places.size) this.#say("The agent answered without a word.", "wrong");
  }

  #take(answer, places) {
    if (answer.error) {
      const { code, message, data } = answer.error;
      throw new Problem(200, data?.code ?? String(code ?? ""), String(message ?? "The agent answered with an error."));
    }
    const next = thread(answer.result);
    this.#thread = { contextId: next.contextId ?? this.#thread.contextId, taskId: next.taskId };
    for (const one of read(answer.result)) {
      if (one.state) {
        const place = places.get("state") ?? this.#say("", "state", true);
        places.set("state", place);
        say(place.firstChild, `Task: ${one.state}`);
        continue;
      }
      const place = places.get(one.id) ?? this.#say("", "");
      places.set(one.id, place);
      say(place, one.append ? place.textContent + one.text : one.text);
    }
    const state = places.get("state");
    if (state) this.#log.append(state);
    this.#log.scrollTop = this.#log.scrollHeight;
  }

  #say(words, kind, small = false) {
    this.#hint.remove();
    const place = small
      ? el("p", { class: "faint" }, el("span"))
      : el("p", { class: `said ${kind}`, text: words });
    this.#log.append(place);
    while (this.#log.childElementCount > SAID_MAX) this.#log.firstElementChild.remove();
    this.#log.scrollTop = this.#log.scrollHeight;
    return place;
  }
}
