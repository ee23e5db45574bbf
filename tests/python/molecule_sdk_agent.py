"""An agent on the platform's SDK: serves at a port of its own, registers, pulls its secrets, beats.

Prints one JSON line when it serves, one when it has registered, and one when its loop has ended. Without a
workspace it only serves.
"""

import json
import os
import threading

from molecule_agent import A2AServer, RemoteAgentClient

runs = {}


def answer(request):
    message = request["params"]["message"]
    runs[message["messageId"]] = runs.get(message["messageId"], 0) + 1
    text = message["parts"][0]["text"]
    return {"text": f"you said: {text}", "runs": runs[message["messageId"]]}


def tell(**what):
    print(json.dumps(what), flush=True)


server = A2AServer(answer, port=int(os.environ.get("PORT", "0")))
server.start_in_background()
tell(port=server.port)
if "WORKSPACE_ID" not in os.environ:
    # It knows no platform, and only serves.
    threading.Event().wait()

client = RemoteAgentClient(
    workspace_id=os.environ["WORKSPACE_ID"],
    platform_url=os.environ["PLATFORM_URL"],
    agent_card={"name": "On the SDK", "skills": []},
    reported_url=os.environ.get("REPORTED_URL", ""),
    token_dir=os.environ["TOKEN_DIR"],
    heartbeat_interval=0.2,
)
if os.environ.get("AUTH_TOKEN"):
    client.save_token(os.environ["AUTH_TOKEN"])
else:
    client.register()
told = {"secrets": client.pull_secrets(), "peers": [peer["name"] for peer in client.get_peers()]}
peer = os.environ.get("PEER")
if peer:
    told["peer"] = client.call_peer(peer, "hello, peer")
tell(**told)
task = {"current_task": os.environ.get("TASK", "waiting"), "active_tasks": 1}
tell(ended=client.run_heartbeat_loop(lambda: task))
