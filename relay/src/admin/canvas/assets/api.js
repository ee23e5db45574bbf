//! Calls the relay. Whatever goes wrong is a `Problem` with a code and a sentence.

/** A no of the relay, or of the agent behind it. */
export class Problem extends Error {
  constructor(status, code, detail, delivery) {
    super(detail);
    Object.assign(this, { status, code, delivery });
  }

  /** One line for people. */
  get line() {
    const told = this.delivery ? `, delivery: ${this.delivery}` : "";
    return this.code ? `${this.message} (${this.code}${told})` : this.message;
  }
}

/** Sends a request below `/api`; answers the response if it is a good one. */
export async function send(method, path, body, signal) {
  const headers = method === "GET" ? {} : { "Content-Type": "application/json" };
  let response;
  try {
    response = await fetch(`/api${path}`, {
      method,
      headers,
      signal,
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: "same-origin",
      redirect: "error",
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, "", "The relay does not answer.");
  }
  if (response.ok) return response;
  // An agent may answer 401 too, but cannot set this field.
  if (response.headers.get("X-Relay-Error") === "RELAY_UNAUTHENTICATED") location.reload();
  throw await problem(response);
}

/** Sends a request and reads the JSON of its answer. */
export async function call(method, path, body) {
  return (await send(method, path, body)).json();
}

/** The path of a workspace. */
export function of(id, rest = "") {
  return `/workspaces/${encodeURIComponent(id)}${rest}`;
}

async function problem(response) {
  const code = response.headers.get("X-Relay-Error") ?? "";
  const delivery = response.headers.get("X-Relay-Delivery") ?? "";
  let detail = `The answer is ${response.status} ${response.statusText}`.trim() + ".";
  let own = "";
  try {
    const json = await response.json();
    own = json.code ?? json.error?.data?.code ?? json.error?.code ?? "";
    const error = typeof json.error === "string" ? json.error : json.error?.message;
    detail = json.detail ?? error ?? detail;
  } catch {
    // No JSON: the status is all there is.
  }
  return new Problem(response.status, code || String(own), String(detail), delivery);
}
