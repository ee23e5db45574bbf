//! The ways to connect an agent, as texts to be copied.

/** A text for a POSIX shell. */
const quoted = (value) => `'${String(value).replaceAll("'", "'\\''")}'`;

/** Where the relay takes registrations. */
const platformOf = (made, relay) => made.connection?.platform_url || relay?.public_url || "";

/** The line that brings up the tunnel. */
export function connector(made) {
  return `agent-connector http 8000 --join ${made.join}`;
}

/** Registers by hand, with the tutorial's calls. */
export function curl(made, relay) {
  if (made.connection?.curl_register_template) return made.connection.curl_register_template;
  const platform = platformOf(made, relay);
  const body = JSON.stringify({
    id: made.workspace_id,
    url: made.public_url,
    agent_card: { name: made.name, runtime: "external", version: "1.0.0" },
  });
  return [
    "# The answer's auth_token is shown once. ADMIN_TOKEN is this relay's.",
    `curl -X POST ${platform}/registry/register \\`,
    `  -H ${made.auth_token ? quoted(`Authorization: Bearer ${made.auth_token}`) : '"Authorization: Bearer $ADMIN_TOKEN"'} \\`,
    "  -H 'Content-Type: application/json' \\",
    `  -d ${quoted(body)}`,
    "",
    "# Call the agent, once it is connected.",
    `curl -X POST ${made.public_url} \\`,
    "  -H 'Content-Type: application/json' \\",
    `  -d '{"jsonrpc":"2.0","id":1,"method":"message/send","params":{"message":{"role":"user","messageId":"m-1","parts":[{"kind":"text","text":"hello"}]}}}'`,
  ].join("\n");
}

/** Registers and sends heartbeats. */
export function python(made, relay) {
  if (made.connection?.python_snippet) return made.connection.python_snippet;
  const text = JSON.stringify;
  return [
    "import os, time, requests",
    "",
    `PLATFORM_URL = ${text(platformOf(made, relay))}`,
    `WORKSPACE_ID = ${text(made.workspace_id)}`,
    `AGENT_URL = ${text(made.public_url)}`,
    'admin = {"Authorization": f"Bearer {os.environ[\'ADMIN_TOKEN\']}"}',
    "",
    'card = {"name": ' + text(made.name ?? "") + ', "runtime": "external", "version": "1.0.0"}',
    'body = {"id": WORKSPACE_ID, "url": AGENT_URL, "agent_card": card}',
    'made = requests.post(f"{PLATFORM_URL}/registry/register", json=body, headers=admin, timeout=30)',
    "made.raise_for_status()",
    'agent = {"Authorization": f"Bearer {made.json()[\'auth_token\']}"}',
    "",
    "while True:",
    '    beat = requests.post(f"{PLATFORM_URL}/registry/heartbeat",',
    '                         json={"workspace_id": WORKSPACE_ID}, headers=agent, timeout=30)',
    "    beat.raise_for_status()",
    "    time.sleep(30)",
  ].join("\n");
}

/** What all of them are made of, by name. */
export function fields(made, relay) {
  const platform = platformOf(made, relay);
  return {
    workspace_id: made.workspace_id,
    platform_url: platform,
    auth_token: made.auth_token ?? made.connection?.auth_token,
    registry_endpoint: platform && `${platform}/registry/register`,
    heartbeat_endpoint: platform && `${platform}/registry/heartbeat`,
    public_url: made.public_url,
    join: made.join,
    tunnel: relay?.tunnel?.[0],
    relay_ca: relay?.relay_ca,
  };
}
