"""An agent as the tutorial has it: it registers, pulls its secrets, and beats in the background.

Its calls and their order are the tutorial's. Beyond it, it stays, saves its token in a file, and
answers POST /a2a; with `once` it only makes its calls. Prints one JSON line: what it was answered.
"""

import http.server
import json
import os
import sys
import threading
import time

import requests

PLATFORM_URL = os.environ["PLATFORM_URL"]
ADMIN_TOKEN = os.environ["ADMIN_TOKEN"]
AGENT_URL = os.environ.get("AGENT_URL", "https://your-agent.example.com")


def ask(method, path, token, **more):
    answer = requests.request(
        method, f"{PLATFORM_URL}{path}", headers={"Authorization": f"Bearer {token}"}, **more
    )
    answer.raise_for_status()
    return answer.json()


workspace = ask(
    "POST",
    "/workspaces",
    ADMIN_TOKEN,
    json={"name": "CI Agent", "runtime": "external", "external": True, "url": AGENT_URL},
)
workspace_id = workspace["id"]
registration = ask(
    "POST",
    "/registry/register",
    ADMIN_TOKEN,
    json={
        "id": workspace_id,
        "url": AGENT_URL,
        "agent_card": {"name": "CI Agent", "runtime": "external"},
    },
)
auth_token = registration["auth_token"]
secrets = ask("GET", f"/workspaces/{workspace_id}/secrets", auth_token)


def beat():
    return ask("POST", "/registry/heartbeat", auth_token, json={"workspace_id": workspace_id})


def beat_for_ever():
    while True:
        time.sleep(30)
        beat()


class Agent(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        parts = [{"kind": "text", "text": "from " + self.headers.get("X-Relay-Caller", "nobody")}]
        result = {"kind": "message", "role": "agent", "messageId": "m", "parts": parts}
        body = json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": result}).encode()
        self.send_response(200 if self.path == "/a2a" else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


heartbeat = beat()
port = int(os.environ.get("AGENT_PORT", "0"))
server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Agent)
if token_file := os.environ.get("TOKEN_FILE"):
    with os.fdopen(os.open(token_file, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
        file.write(auth_token)
answers = {
    "workspace": workspace,
    "registration": registration,
    "secrets": secrets,
    "heartbeat": heartbeat,
    "port": server.server_port,
}
print(json.dumps(answers), flush=True)
if sys.argv[1:] != ["once"]:
    threading.Thread(target=beat_for_ever, daemon=True).start()
    server.serve_forever()
