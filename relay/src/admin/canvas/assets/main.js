//! Puts the page together: the store, the feed that fills it, and what shows it.

import { call } from "./api.js";
import { connectAgent } from "./connect.js";
import { say } from "./dom.js";
import { follow } from "./feed.js";
import "./grid.js";
import "./panel.js";
import "./relay.js";
import { span, label, statusOf } from "./status.js";
import { Store } from "./store.js";
import "./toolbar.js";

const store = new Store();
const toolbar = document.querySelector("agent-toolbar");
const grid = document.querySelector("agent-grid");
const panel = document.querySelector("agent-panel");
const relay = document.querySelector("relay-panel");
panel.store = store;

function show() {
  if (!store.loaded) return;
  toolbar.count(store.counts(), store.size);
  grid.show(store.find(toolbar.words, toolbar.status), store.size);
  panel.refresh();
}
store.addEventListener("change", show);
toolbar.addEventListener("filter", () => {
  scrollTo(0, 0);
  show();
});
toolbar.addEventListener("order", ({ detail }) => (store.order = detail));

// The agent whose details are open stands in the URL, so that a reload keeps it.
const open = (id) => {
  history.replaceState(null, "", id ? `#${id}` : location.pathname);
  grid.current = id;
  if (id) relay.hidden = true;
  panel.open(id);
};
grid.addEventListener("open", ({ detail }) => open(detail));
panel.addEventListener("close", ({ detail }) => {
  open(null);
  grid.focusOn(detail);
});
store.addEventListener("change", () => location.hash && open(location.hash.slice(1)), { once: true });

// One panel at a time.
const keys = document.getElementById("relay");
keys.addEventListener("click", () => {
  open(null);
  relay.open();
});
relay.addEventListener("close", () => keys.focus());

const connect = async () => {
  const id = await connectAgent();
  if (id) open(id);
};
document.getElementById("connect").addEventListener("click", connect);
grid.addEventListener("connect", connect);
document.getElementById("logout").addEventListener("click", async () => {
  await fetch("/logout", { method: "POST", redirect: "manual" }).catch(() => {});
  location.replace("/");
});

// Who cannot see the cards hears of changes, but not of each when there are many.
let unsaid = [];
const told = document.getElementById("told");
setInterval(() => {
  if (unsaid.length) say(told, unsaid.length > 2 ? `${unsaid.length} agents changed` : unsaid.join(", "));
  unsaid = [];
}, 2000);
function changed(event, before) {
  const now = store.get(event.workspace_id);
  if (!now) unsaid.push(`${before?.title ?? "An agent"} was removed`);
  else if (!before) unsaid.push(`${now.title} is new`);
  else if (statusOf(before) !== statusOf(now)) unsaid.push(`${now.title}: ${label(statusOf(now))}`);
}

const link = document.getElementById("link");
const away = document.getElementById("away");
let since = null;
function linked(state) {
  since = state === "away" ? (since ?? performance.now()) : null;
  link.dataset.status = state === "live" ? "online" : "degraded";
  say(link.querySelector(".word"), state === "live" ? "Live" : "Reconnecting");
  remind();
}
function remind() {
  const silent = since === null ? 0 : (performance.now() - since) / 1000;
  away.hidden = silent < 3;
  if (!away.hidden) say(away, `The relay has not answered for ${span(silent)}. What you see is what it told last.`);
}
setInterval(remind, 1000);

follow(store, changed, linked);
call("GET", "/relay").then(
  ({ public_url: url, version, org_id: org }) => {
    const name = url.replace(/^https?:\/\//, "");
    say(document.getElementById("where"), name);
    document.title = `Relay · ${name}`;
    document.getElementById("where").title = `Version ${version}, organisation ${org}`;
  },
  () => {},
);
