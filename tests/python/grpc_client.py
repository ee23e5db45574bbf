"""A caller by gRPC on the official A2A SDK, given the relay's address and an agent's host name.

Reads the agent's card by host, sends a message, streams a task, gets it, and cancels another one whose
stream is open; then the same first steps by A2A 0.3. Prints what it saw as one JSON object.
"""

import asyncio
import json
import sys

import grpc
import httpx
from a2a.client import ClientConfig, create_client
from a2a.compat.v0_3 import a2a_v0_3_pb2, a2a_v0_3_pb2_grpc
from a2a.helpers.proto_helpers import get_message_text, new_text_message
from a2a.types.a2a_pb2 import (
    AgentCard,
    CancelTaskRequest,
    GetExtendedAgentCardRequest,
    GetTaskRequest,
    Role,
    SendMessageRequest,
    TaskState,
)
from google.protobuf.json_format import ParseDict


def says(text):
    """A request that says this."""
    return SendMessageRequest(message=new_text_message(text, role=Role.ROLE_USER))


async def main(address, host):
    seen = {"pieces": [], "states": []}
    options = [("grpc.default_authority", host)]
    channel = grpc.aio.insecure_channel(f"ipv4:{address}", options=options)
    async with httpx.AsyncClient(timeout=30) as http:
        url = f"http://{address}/.well-known/agent-card.json"
        found = (await http.get(url, headers={"host": host})).json()
    card = ParseDict(found, AgentCard(), ignore_unknown_fields=True)
    seen["urls"] = [one.url for one in card.supported_interfaces if one.protocol_binding == "GRPC"]
    config = ClientConfig(
        supported_protocol_bindings=["GRPC"], grpc_channel_factory=lambda url: channel
    )
    client = await create_client(card, client_config=config)

    async for event in client.send_message(says("hello")):
        if event.HasField("message"):
            seen["answer"] = get_message_text(event.message)
    async for event in client.send_message(says("stream")):
        if event.HasField("task"):
            task_id = event.task.id
        if event.HasField("artifact_update"):
            seen["pieces"] += [part.text for part in event.artifact_update.artifact.parts]
    task = await client.get_task(GetTaskRequest(id=task_id))
    seen["state"] = TaskState.Name(task.status.state)
    async for event in client.send_message(says("work")):
        if not event.HasField("status_update"):
            continue
        update = event.status_update
        seen["states"].append(TaskState.Name(update.status.state))
        if update.status.state == TaskState.TASK_STATE_WORKING:
            task = await client.cancel_task(CancelTaskRequest(id=update.task_id))
            seen["canceled"] = TaskState.Name(task.status.state)
    extended = await client.get_extended_agent_card(GetExtendedAgentCardRequest())
    seen["extended"] = [one.url for one in extended.supported_interfaces]

    old = a2a_v0_3_pb2_grpc.A2AServiceStub(channel)
    message = a2a_v0_3_pb2.Message(
        message_id="m-1", role=a2a_v0_3_pb2.ROLE_USER, content=[a2a_v0_3_pb2.Part(text="hello")]
    )
    answer = await old.SendMessage(a2a_v0_3_pb2.SendMessageRequest(request=message))
    seen["old_answer"] = answer.msg.content[0].text
    old_card = await old.GetAgentCard(a2a_v0_3_pb2.GetAgentCardRequest())
    seen["old_card"] = [old_card.url] + [one.url for one in old_card.additional_interfaces]
    try:
        await old.GetTask(a2a_v0_3_pb2.GetTaskRequest(name="tasks/none"))
    except grpc.aio.AioRpcError as error:
        seen["no_task"] = error.code().name
    await channel.close()
    print(json.dumps(seen))


asyncio.run(main(sys.argv[1], sys.argv[2]))
