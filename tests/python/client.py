"""A caller on the official A2A SDK, given nothing but an agent's public base URL.

Finds the card, sends a message, streams a task, gets that task, and cancels another one whose stream
is open. Prints what it saw as one JSON object.
"""

import asyncio
import json
import sys

import httpx
from a2a.client import A2ACardResolver, ClientConfig, create_client
from a2a.helpers.proto_helpers import get_message_text, new_text_message
from a2a.types.a2a_pb2 import (
    CancelTaskRequest,
    GetTaskRequest,
    Role,
    SendMessageRequest,
    TaskState,
)


async def main(base):
    seen = {"pieces": [], "states": []}
    async with httpx.AsyncClient(timeout=30) as http:
        card = await A2ACardResolver(http, base).get_agent_card()
        seen["urls"] = [interface.url for interface in card.supported_interfaces]
        client = await create_client(card, client_config=ClientConfig(httpx_client=http))

        hello = SendMessageRequest(message=new_text_message("hello", role=Role.ROLE_USER))
        async for event in client.send_message(hello):
            if event.HasField("message"):
                seen["answer"] = get_message_text(event.message)

        stream = SendMessageRequest(message=new_text_message("stream", role=Role.ROLE_USER))
        async for event in client.send_message(stream):
            if event.HasField("task"):
                task_id = event.task.id
            if event.HasField("artifact_update"):
                seen["pieces"] += [part.text for part in event.artifact_update.artifact.parts]

        task = await client.get_task(GetTaskRequest(id=task_id))
        seen["state"] = TaskState.Name(task.status.state)

        work = SendMessageRequest(message=new_text_message("work", role=Role.ROLE_USER))
        async for event in client.send_message(work):
            if not event.HasField("status_update"):
                continue
            update = event.status_update
            seen["states"].append(TaskState.Name(update.status.state))
            if update.status.state == TaskState.TASK_STATE_WORKING:
                task = await client.cancel_task(CancelTaskRequest(id=update.task_id))
                seen["canceled"] = TaskState.Name(task.status.state)
    print(json.dumps(seen))


asyncio.run(main(sys.argv[1]))
