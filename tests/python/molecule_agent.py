"""A stand-in for the platform's own SDK for remote agents, which no package registry has.

Written from what is known of that SDK in spring 2026, with its faults, so that a story says what an
unmodified agent on it would see:
- `register()` never sends `Authorization`, so it works once, and is 401 while a token of the workspace is
  live; without a token in its answer the one on disk is used, and without that it fails;
- `run_heartbeat_loop()` beats, then asks for its state; its errors are swallowed; it ends on `paused`, on
  `deleted`, or on any 404 from state;
- GETs are tried up to 3 times after a 429; POSTs never;
- `A2AServer` has one thread, keeps connections alive, takes `POST /a2a/inbound` alone, knows no chunked
  bodies, and answers what is no JSON-RPC.
"""

import http.server
import json
import os
import pathlib
import threading
import time

import requests


class RemoteAgentClient:
    def __init__(
        self,
        workspace_id,
        platform_url,
        agent_card=None,
        reported_url="",
        token_dir=None,
        heartbeat_interval=30.0,
        org_id=None,
        origin=None,
    ):
        self.workspace_id = workspace_id
        self.platform_url = platform_url.rstrip("/")
        self.agent_card = agent_card or {"name": workspace_id}
        self.reported_url = reported_url or "remote://no-inbound"
        home = pathlib.Path(token_dir) if token_dir else pathlib.Path.home() / ".molecule"
        self.token_file = home / workspace_id / ".auth_token"
        self.heartbeat_interval = heartbeat_interval
        self.headers = {"Origin": origin or self.platform_url}
        if org_id:
            self.headers["X-Molecule-Org-Id"] = org_id
        self.started = time.time()
        self.session = requests.Session()

    def load_token(self):
        return self.token_file.read_text().strip() if self.token_file.exists() else None

    def save_token(self, token):
        self.token_file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.token_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(token)

    def _auth(self):
        token = self.load_token()
        return {**self.headers, **({"Authorization": f"Bearer {token}"} if token else {})}

    def _get(self, path, **more):
        for attempt in range(4):
            answer = self.session.get(
                f"{self.platform_url}{path}", headers=self._auth(), timeout=10, **more
            )
            if answer.status_code != 429 or attempt == 3:
                return answer
            time.sleep(min(float(answer.headers.get("Retry-After", 1)), 30))

    def register(self):
        body = {
            "id": self.workspace_id,
            "url": self.reported_url,
            "agent_card": self.agent_card,
        }
        answer = self.session.post(
            f"{self.platform_url}/registry/register", json=body, headers=self.headers, timeout=10
        )
        answer.raise_for_status()
        token = answer.json().get("auth_token")
        if token:
            self.save_token(token)
        token = token or self.load_token()
        if not token:
            raise RuntimeError("the platform answered no token, and there is none on disk")
        return token

    def pull_secrets(self):
        answer = self._get(f"/workspaces/{self.workspace_id}/secrets/values")
        answer.raise_for_status()
        return answer.json()

    def poll_state(self):
        answer = self._get(f"/workspaces/{self.workspace_id}/state")
        if answer.status_code == 404:
            return {"paused": False, "deleted": True}
        answer.raise_for_status()
        return answer.json()

    def heartbeat(self, current_task="", active_tasks=0, error_rate=0.0, sample_error=""):
        body = {
            "workspace_id": self.workspace_id,
            "current_task": current_task,
            "active_tasks": active_tasks,
            "error_rate": error_rate,
            "sample_error": sample_error,
            "uptime_seconds": int(time.time() - self.started),
        }
        answer = self.session.post(
            f"{self.platform_url}/registry/heartbeat", json=body, headers=self._auth(), timeout=10
        )
        answer.raise_for_status()

    def run_heartbeat_loop(self, task_supplier=None):
        while True:
            try:
                self.heartbeat(**(task_supplier() if task_supplier else {}))
            except Exception:
                pass
            try:
                state = self.poll_state()
                if state.get("deleted"):
                    return "removed"
                if state.get("paused"):
                    return "paused"
            except Exception:
                pass
            time.sleep(self.heartbeat_interval)

    def get_peers(self):
        answer = self._get(f"/registry/{self.workspace_id}/peers")
        answer.raise_for_status()
        return answer.json()

    def discover_peer(self, target):
        answer = self._get(f"/registry/discover/{target}")
        return answer.json().get("url") if answer.ok else None

    def call_peer(self, target, text):
        message = {
            "role": "user",
            "messageId": os.urandom(8).hex(),
            "parts": [{"kind": "text", "text": text}],
        }
        body = {
            "jsonrpc": "2.0",
            "id": os.urandom(4).hex(),
            "method": "message/send",
            "params": {"message": message},
        }
        headers = {**self._auth(), "X-Workspace-ID": self.workspace_id}
        answer = self.session.post(
            f"{self.platform_url}/workspaces/{target}/a2a", json=body, headers=headers, timeout=30
        )
        answer.raise_for_status()
        return answer.json()


class A2AServer:
    def __init__(self, message_handler, host="127.0.0.1", port=0):
        handler = message_handler

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                if self.path != "/a2a/inbound":
                    return self.say(404, {"error": "not found"})
                length = int(self.headers.get("Content-Length") or 0)
                try:
                    request = json.loads(self.rfile.read(length))
                except ValueError:
                    return self.say(400, {"error": "invalid JSON"})
                try:
                    return self.say(200, {"status": "ok", "result": handler(request)})
                except Exception as error:
                    return self.say(500, {"error": str(error)})

            def say(self, status, answer):
                body = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.HTTPServer((host, port), Handler)
        self.port = self.server.server_address[1]

    def start_in_background(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
