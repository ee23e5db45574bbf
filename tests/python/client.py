"""A caller on the official A2A SDK, given nothing but an agent's base URL.

Its argument is a JSON object: `base`, `binding`, `tour` (`all`, `first`, `silence` or `card`), `http2`,
`mention` (a URL to be said), `webhook`, `seconds`, `key`, `ca` (the one root to trust), `older` (whether
the agent is of the 0.3 line). Prints what it saw, one JSON
object, each step by its name.
"""

import asyncio
import json
import sys

import httpx
import names
from a2a.client import A2ACardResolver, ClientConfig, ClientFactory
from a2a.client.client import ClientCallContext
from a2a.types import a2a_pb2 as a2a
from a2a.utils.signing import create_signature_verifier
from google.protobuf.json_format import MessageToDict

LARGE = 5 * 1024 * 1024


def request(text, **configuration):
    message = a2a.Message(role=a2a.ROLE_USER, message_id="m-1", parts=[a2a.Part(text=text)])
    configuration = a2a.SendMessageConfiguration(**configuration) if configuration else None
    return a2a.SendMessageRequest(message=message, configuration=configuration)


def told(event):
    """An event or an answer, in words short enough to compare."""
    seen = MessageToDict(event)
    for text in [part for message in [seen.get("message", {})] for part in message.get("parts", [])]:
        text["text"] = text["text"][:60] + f" ({len(text['text'])})"
    return seen


async def collect(stream):
    return [told(event) async for event in stream]


async def attempt(awaitable):
    """What came, or what was wrong."""
    try:
        return told(await awaitable)
    except Exception as error:  # noqa: BLE001: whatever the SDK makes of it is what is compared
        return f"{type(error).__name__}: {error}"


async def tour(blocking, streaming, asked, seen):
    for name, text in (
        ("send", "hello, für dich: 漢字 🦀"),
        ("mention", f"see {asked['mention']}/a2a and {asked['mention']}/.well-known/agent-card.json"),
        ("large", "é" * (LARGE // 2)),
    ):
        seen[name] = await collect(blocking.send_message(request(text)))
    seen["stream"] = await collect(streaming.send_message(request("stream")))
    task_id = seen["stream"][0]["task"]["id"]
    context_id = seen["stream"][0]["task"]["contextId"]
    seen["get"] = await attempt(streaming.get_task(a2a.GetTaskRequest(id=task_id, history_length=1)))
    listed = a2a.ListTasksRequest(context_id=context_id, page_size=5)
    seen["list"] = await attempt(streaming.list_tasks(listed))

    # Subscriptions of 0.3 do not begin with how the task stands: one that is held would tell nothing.
    text = "silent 4" if asked["older"] else "hold"
    held = await collect(blocking.send_message(request(text, return_immediately=True)))
    seen["not waiting"] = held
    task_id = held[0]["task"]["id"]
    for config in ("p-1", "p-2"):
        seen[f"push set {config}"] = await attempt(
            streaming.create_task_push_notification_config(
                a2a.TaskPushNotificationConfig(
                    id=config, task_id=task_id, url=asked["webhook"], token="t-1"
                )
            )
        )
    one = a2a.GetTaskPushNotificationConfigRequest(task_id=task_id, id="p-1")
    seen["push get"] = await attempt(streaming.get_task_push_notification_config(one))
    other = a2a.DeleteTaskPushNotificationConfigRequest(task_id=task_id, id="p-2")
    try:
        await streaming.delete_task_push_notification_config(other)
    except Exception as error:  # noqa: BLE001
        seen["push delete"] = f"{type(error).__name__}: {error}"
    configs = a2a.ListTaskPushNotificationConfigsRequest(task_id=task_id)
    seen["push list"] = await attempt(streaming.list_task_push_notification_configs(configs))
    seen["subscribe"] = []
    async for event in streaming.subscribe(a2a.SubscribeToTaskRequest(id=task_id)):
        seen["subscribe"].append(told(event))
        if not asked["older"] and len(seen["subscribe"]) == 1:
            seen["cancel"] = await attempt(streaming.cancel_task(a2a.CancelTaskRequest(id=task_id)))
    if asked["older"]:
        held = await collect(blocking.send_message(request("hold", return_immediately=True)))
        task_id = held[0]["task"]["id"]
        seen["cancel"] = await attempt(streaming.cancel_task(a2a.CancelTaskRequest(id=task_id)))

    unknown = "00000000-0000-0000-0000-000000000000"
    seen["unknown"] = await attempt(streaming.get_task(a2a.GetTaskRequest(id=unknown)))
    seen["not cancelable"] = await attempt(streaming.cancel_task(a2a.CancelTaskRequest(id=task_id)))
    extended = a2a.GetExtendedAgentCardRequest()
    seen["extended, refused"] = await attempt(streaming.get_extended_agent_card(extended))
    shown = ClientCallContext(service_parameters={"Authorization": "Bearer let-me-in"})
    seen["extended"] = await attempt(streaming.get_extended_agent_card(extended, context=shown))
    seen["after"] = await collect(blocking.send_message(request("by the extended card")))


async def first(blocking, streaming, asked, seen):
    """Whether there is an agent at all."""
    seen["send"] = await collect(blocking.send_message(request("hello")))
    seen["stream"] = await collect(streaming.send_message(request("stream")))


async def silence(blocking, streaming, asked, seen):
    """Streams have the SDK's own patience; only a call that waits for its whole answer needs more."""
    seconds = asked["seconds"]
    seen["stream"] = await collect(streaming.send_message(request(f"silent {seconds}")))
    seen["send"] = await collect(blocking.send_message(request(f"slow {seconds}")))


async def verified(http, asked):
    """What the SDK's verifier makes of the signatures of the card, and of the extended one by gRPC."""
    verifier = create_signature_verifier(lambda kid, jku: asked["key"], ["HS256"])
    resolver = A2ACardResolver(http, asked["base"])
    seen = {"card": await attempt(resolver.get_agent_card(signature_verifier=verifier))}
    if asked["binding"] == "GRPC":
        config = ClientConfig(
            supported_protocol_bindings=["GRPC"], grpc_channel_factory=names.dial(asked["ca"])
        )
        client = ClientFactory(config).create(await resolver.get_agent_card())
        extended = a2a.GetExtendedAgentCardRequest()
        seen["extended"] = await attempt(
            client.get_extended_agent_card(extended, signature_verifier=verifier)
        )
        await client.close()
    return seen


async def main(asked):
    seen = {}
    names.resolve()
    versions = {"http1": not asked["http2"], "http2": asked["http2"], "verify": names.verify(asked["ca"])}
    patient = httpx.AsyncClient(timeout=asked["seconds"] + 30, **versions)
    async with patient, httpx.AsyncClient(**versions) as plain:
        if asked["tour"] == "card":
            print(json.dumps(await verified(plain, asked)))
            return
        card = await A2ACardResolver(plain, asked["base"]).get_agent_card()
        seen["card"] = MessageToDict(card)
        blocking, streaming = (
            ClientFactory(
                ClientConfig(
                    streaming=streaming, httpx_client=http, use_client_preference=True,
                    supported_protocol_bindings=[asked["binding"]],
                    grpc_channel_factory=names.dial(asked["ca"]),
                )
            ).create(card)
            for streaming, http in ((False, patient), (True, plain))
        )
        await {"all": tour, "first": first, "silence": silence}[asked["tour"]](blocking, streaming, asked, seen)
    print(json.dumps(seen))


asyncio.run(main(json.loads(sys.argv[1])))
