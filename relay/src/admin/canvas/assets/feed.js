//! Keeps the store up to date: reads the list, then every change as it happens, and starts over
//! whenever something may have been missed.

import { call } from "./api.js";

/** Until a closed feed is opened again, ms. */
const AGAIN = 2000;

/** Follows the relay for as long as the page is open. `changed` is told each event and the row
 *  before it, `link` whether the relay answers. */
export function follow(store, changed, link) {
  let source;
  let waiting = null;

  const open = () => {
    source = new EventSource("/api/feed");
    source.addEventListener("open", () => link("live"));
    source.addEventListener("ready", read);
    source.addEventListener("reset", read);
    source.addEventListener("message", ({ data }) => take(JSON.parse(data)));
    source.addEventListener("error", lost);
  };

  const take = (event) => {
    if (waiting) waiting.push(event);
    else changed(event, store.take(event));
  };

  // What happens while the list is on its way comes after it.
  const read = async () => {
    const mine = (waiting = []);
    try {
      const rows = await call("GET", "/workspaces");
      if (waiting !== mine) return;
      store.replace(rows);
      waiting = null;
      for (const event of mine) take(event);
    } catch {
      if (waiting !== mine) return;
      source.close();
      lost();
    }
  };

  const lost = async () => {
    link("away");
    // The browser tries again by itself unless the relay said no.
    if (source.readyState !== EventSource.CLOSED) return;
    setTimeout(async () => {
      // A session that has ended leads to the login page from here. A relay that has no place for
      // another follower is asked again and again.
      try {
        store.replace(await call("GET", "/workspaces"));
        link("crowded");
      } catch {
        // It is away.
      }
      open();
    }, AGAIN);
  };

  open();
}
