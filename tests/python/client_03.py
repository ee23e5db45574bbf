"""The caller of `client.py` on the SDK of the 0.3 line, with the same argument and steps.

It has no call for lists of tasks, nor for the list or the end of push configurations; by gRPC its stub
is asked for the latter.
"""

import asyncio
import json
import sys

import grpc
import httpx
import names
from a2a.client import A2ACardResolver, ClientConfig, ClientFactory
from a2a.client.middleware import ClientCallContext
from a2a.grpc import a2a_pb2, a2a_pb2_grpc
from a2a.types import (
    GetTaskPushNotificationConfigParams,
    Message,
    MessageSendConfiguration,
    Part,
    PushNotificationConfig,
    Role,
    TaskIdParams,
    TaskPushNotificationConfig,
    TaskQueryParams,
    TextPart,
)

LARGE = 5 * 1024 * 1024


def message(text):
    return Message(role=Role.user, message_id="m-1", parts=[Part(TextPart(text=text))])


def told(event):
    """An event or an answer, in words short enough to compare."""
    if isinstance(event, tuple):
        return [part and told(part) for part in event]
    seen = event.model_dump(mode="json", by_alias=True, exclude_none=True)
    for part in seen.get("parts", []):
        part["text"] = part["text"][:60] + f" ({len(part['text'])})"
    return seen


async def collect(stream):
    return [told(event) async for event in stream]


async def attempt(awaitable):
    """What came, or what was wrong."""
    try:
        return told(await awaitable)
    except grpc.aio.AioRpcError as error:
        return f"{error.code().name}: {error.details()}"
    except Exception as error:  # noqa: BLE001: whatever the SDK makes of it is what is compared
        return f"{type(error).__name__}: {error}"


async def tour(blocking, streaming, asked, seen):
    for name, text in (
        ("send", "hello, für dich: 漢字 🦀"),
        ("mention", f"see {asked['mention']}/a2a and {asked['mention']}/.well-known/agent-card.json"),
        ("large", "é" * (LARGE // 2)),
    ):
        seen[name] = await collect(blocking.send_message(message(text)))
    seen["stream"] = await collect(streaming.send_message(message("stream")))
    task_id = seen["stream"][0][0]["id"]
    seen["get"] = await attempt(streaming.get_task(TaskQueryParams(id=task_id, history_length=1)))

    at_once = MessageSendConfiguration(blocking=False)
    later = await collect(blocking.send_message(message("silent 4"), configuration=at_once))
    seen["not waiting"] = later
    task_id = later[0][0]["id"]
    config = PushNotificationConfig(id="p-1", url=asked["webhook"], token="t-1")
    config = TaskPushNotificationConfig(task_id=task_id, push_notification_config=config)
    seen["push set"] = await attempt(streaming.set_task_callback(config))
    one = GetTaskPushNotificationConfigParams(id=task_id, push_notification_config_id="p-1")
    seen["push get"] = await attempt(streaming.get_task_callback(one))
    if asked["binding"] == "GRPC":
        await by_stub(task_id, asked, seen)
    # The task is silent until then.
    seen["subscribe"] = await collect(streaming.resubscribe(TaskIdParams(id=task_id)))
    held = await collect(blocking.send_message(message("hold"), configuration=at_once))
    task_id = held[0][0]["id"]
    seen["cancel"] = await attempt(streaming.cancel_task(TaskIdParams(id=task_id)))

    unknown = "00000000-0000-0000-0000-000000000000"
    seen["unknown"] = await attempt(streaming.get_task(TaskQueryParams(id=unknown)))
    seen["not cancelable"] = await attempt(streaming.cancel_task(TaskIdParams(id=task_id)))
    seen["extended, refused"] = await attempt(streaming.get_card())
    shown = ClientCallContext(state={"http_kwargs": {"headers": {"Authorization": "Bearer let-me-in"}}})
    seen["extended"] = await attempt(streaming.get_card(context=shown))
    seen["after"] = await collect(blocking.send_message(message("by the extended card")))


async def by_stub(task_id, asked, seen):
    """What the client has no call for."""
    other = f"tasks/{task_id}/pushNotificationConfigs/p-2"
    config = a2a_pb2.PushNotificationConfig(id="p-2", url=asked["webhook"], token="t-2")
    made = a2a_pb2.CreateTaskPushNotificationConfigRequest(
        parent=f"tasks/{task_id}", config_id="p-2",
        config=a2a_pb2.TaskPushNotificationConfig(name=other, push_notification_config=config),
    )
    listed = a2a_pb2.ListTaskPushNotificationConfigRequest(parent=f"tasks/{task_id}")
    deleted = a2a_pb2.DeleteTaskPushNotificationConfigRequest(name=other)
    async with names.dial(asked["ca"])(seen["grpc"]) as channel:
        stub = a2a_pb2_grpc.A2AServiceStub(channel)
        for step, method, request in (
            ("push set p-2", stub.CreateTaskPushNotificationConfig, made),
            ("push list", stub.ListTaskPushNotificationConfig, listed),
            ("push delete", stub.DeleteTaskPushNotificationConfig, deleted),
        ):
            try:
                seen[step] = str(await method(request))
            except grpc.aio.AioRpcError as error:
                seen[step] = f"{error.code().name}: {error.details()}"


async def first(blocking, streaming, asked, seen):
    """Whether there is an agent at all."""
    seen["send"] = await collect(blocking.send_message(message("hello")))
    seen["stream"] = await collect(streaming.send_message(message("stream")))


async def silence(blocking, streaming, asked, seen):
    """Streams have the SDK's own patience; only a call that waits for its whole answer needs more."""
    seconds = asked["seconds"]
    seen["stream"] = await collect(streaming.send_message(message(f"silent {seconds}")))
    seen["send"] = await collect(blocking.send_message(message(f"slow {seconds}")))


async def main(asked):
    seen = {}
    names.resolve()
    versions = {"http1": not asked["http2"], "http2": asked["http2"], "verify": names.verify(asked["ca"])}
    patient = httpx.AsyncClient(timeout=asked["seconds"] + 30, **versions)
    async with patient, httpx.AsyncClient(**versions) as plain:
        card = await A2ACardResolver(plain, asked["base"]).get_agent_card()
        seen["card"] = card.model_dump(mode="json", by_alias=True, exclude_none=True)
        interfaces = card.additional_interfaces or []
        seen["grpc"] = next((one.url for one in interfaces if one.transport == "GRPC"), None)
        blocking, streaming = (
            ClientFactory(
                ClientConfig(
                    streaming=streaming, httpx_client=http, use_client_preference=True,
                    supported_transports=[asked["binding"]],
                    grpc_channel_factory=names.dial(asked["ca"]),
                )
            ).create(card)
            for streaming, http in ((False, patient), (True, plain))
        )
        await {"all": tour, "first": first, "silence": silence}[asked["tour"]](blocking, streaming, asked, seen)
    print(json.dumps(seen))


asyncio.run(main(json.loads(sys.argv[1])))
