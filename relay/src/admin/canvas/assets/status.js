//! How a row stands, in words: its status, whether anything is heard of it, and since when.

/** Every status, in the order of the legend. */
export const STATUSES = ["online", "provisioning", "degraded", "failed", "paused", "offline"];

const LABELS = {
  online: "Online",
  provisioning: "Starting",
  degraded: "Degraded",
  failed: "Failed",
  paused: "Paused",
  offline: "Offline",
};

/** Heartbeats that are missing for longer make a badge grey, seconds. */
const SILENT_AFTER = 90;

/** The status of a row; what is unknown is offline. */
export function statusOf(row) {
  return Object.hasOwn(LABELS, row.status) ? row.status : "offline";
}

/** The word for a status. */
export function label(status) {
  return LABELS[status];
}

/** Seconds since the last sign of life, counted on since the row came; `null` if there was none. */
export function silence(row) {
  if (typeof row.last_seen_seconds !== "number") return null;
  return row.connected ? 0 : row.last_seen_seconds + elapsed(row);
}

/** Whether a link or heartbeats show that the agent is there. */
export function isHeard(row) {
  const status = statusOf(row);
  if (row.connected || status === "online" || status === "degraded") return true;
  return status === "paused" && (silence(row) ?? Infinity) < SILENT_AFTER;
}

/** Why it is not simply online; its seconds are counted on. */
export function reason(row) {
  return typeof row.reason === "string" ? aged(row.reason, elapsed(row)) : "";
}

/** What is wrong with a degraded one. */
export function trouble(row) {
  if (statusOf(row) !== "degraded") return "";
  return row.sample_error === row.reason ? reason(row) : String(row.sample_error || reason(row));
}

/** When it was seen last. */
export function seen(row) {
  const since = silence(row);
  if (since === null) return "never seen";
  return since < 2 ? "seen now" : `seen ${span(since)} ago`;
}

/** A number of seconds, coarsely. */
export function span(seconds) {
  if (seconds < 60) return `${Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 48 * 3600) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86400)} days`;
}

function elapsed(row) {
  return Math.max(0, Math.floor((performance.now() - row.cameAt) / 1000));
}

function aged(sentence, by) {
  return sentence.replace(/\b(\d+) s\b/g, (_, seconds) => span(Number(seconds) + by));
}
