"""An agent on the official A2A SDK: it echoes, streams, holds a task until it is cancelled, and is silent.

Its card names the origin of its one argument, or else A2A_PUBLIC_URL, and, for gRPC, GRPC_URL. Prints
its port, and that of its gRPC server, then serves JSON-RPC at /a2a, HTTP+JSON at its root, and gRPC, for
A2A 1.0 and 0.3, and its card under the well-known name. Its extended card takes a credential, but by
gRPC. With a SIGNING_KEY its cards are signed.
"""

import asyncio
import os
import socket
import sys

import grpc
import httpx
import uvicorn
from a2a.compat.v0_3 import a2a_v0_3_pb2_grpc
from a2a.compat.v0_3.grpc_handler import CompatGrpcHandler
from a2a.helpers.proto_helpers import (
    get_message_text,
    new_task_from_user_message,
    new_text_artifact_update_event,
    new_text_message,
    new_text_status_update_event,
)
from a2a.server.agent_execution import AgentExecutor
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.request_handlers.grpc_handler import GrpcHandler
from a2a.server.routes.agent_card_routes import create_agent_card_routes
from a2a.server.routes.jsonrpc_routes import create_jsonrpc_routes
from a2a.server.routes.rest_routes import create_rest_routes
from a2a.server.tasks import (
    BasePushNotificationSender,
    InMemoryPushNotificationConfigStore,
    InMemoryTaskStore,
)
from a2a.types import a2a_pb2_grpc
from a2a.types.a2a_pb2 import AgentCapabilities, AgentCard, AgentInterface, AgentSkill, Role, TaskState
from a2a.utils.signing import create_agent_card_signer
from credential import Guard
from starlette.applications import Starlette


class Echo(AgentExecutor):
    """Answers what was said; its first word may ask for more."""

    async def execute(self, context, event_queue):
        text = get_message_text(context.message)
        word, _, rest = text.partition(" ")
        if word == "slow":
            await asyncio.sleep(float(rest))
        if word not in ("stream", "hold", "silent"):
            await event_queue.enqueue_event(new_text_message(f"echo: {text}", role=Role.ROLE_AGENT))
            return
        task = context.current_task or new_task_from_user_message(context.message)
        task.status.state = TaskState.TASK_STATE_WORKING
        await event_queue.enqueue_event(task)
        if word == "hold":
            await asyncio.Event().wait()
        if word == "silent":
            await asyncio.sleep(float(rest))
        for piece in range(3):
            await event_queue.enqueue_event(
                new_text_artifact_update_event(
                    task_id=task.id, context_id=task.context_id, name="echo", text=f"piece {piece}"
                )
            )
        await event_queue.enqueue_event(status(task, TaskState.TASK_STATE_COMPLETED, "done"))

    async def cancel(self, context, event_queue):
        """Says so; the SDK has ended `execute` by then."""
        canceled = status(context.current_task, TaskState.TASK_STATE_CANCELED, "given up")
        await event_queue.enqueue_event(canceled)


def status(task, state, text):
    """The event that a task is in this state."""
    return new_text_status_update_event(
        task_id=task.id, context_id=task.context_id, state=state, text=text
    )


def card(origin, grpc_url, name):
    """A card whose interfaces are at this origin, and at this place for gRPC if there is one."""
    places = [("JSONRPC", f"{origin}/a2a"), ("HTTP+JSON", origin)]
    if grpc_url:
        places.append(("GRPC", grpc_url))
    return AgentCard(
        name=name, description="Echoes, für jeden: 回声.", version="1.0.0",
        default_input_modes=["text"], default_output_modes=["text"],
        capabilities=AgentCapabilities(
            streaming=True, push_notifications=True, extended_agent_card=True
        ),
        skills=[AgentSkill(id="echo", name="Echo", description="Echoes.", tags=["echo"])],
        supported_interfaces=[
            AgentInterface(url=url, protocol_binding=binding, protocol_version=version)
            for version in ("1.0", "0.3")
            for binding, url in places
        ],
    )


async def main():
    # asyncio turns Nagle off only where the protocol is named.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", int(os.environ.get("PORT", "0"))))
    port = listener.getsockname()[1]
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", -1)])
    grpc_port = server.add_insecure_port("127.0.0.1:0")
    origin = sys.argv[1] if sys.argv[1:] else os.environ["A2A_PUBLIC_URL"].rstrip("/")
    grpc_url = os.environ.get("GRPC_URL")
    names = ("SDK agent", "SDK agent, extended")
    public_card, extended = (card(origin, grpc_url, name) for name in names)
    if key := os.environ.get("SIGNING_KEY"):
        sign = create_agent_card_signer(key, {"kid": "k-1", "alg": "HS256", "jku": None, "typ": "JOSE"})
        public_card, extended = sign(public_card), sign(extended)
    configs = InMemoryPushNotificationConfigStore()
    handler = DefaultRequestHandler(
        agent_executor=Echo(), task_store=InMemoryTaskStore(), agent_card=public_card,
        extended_agent_card=extended, push_config_store=configs,
        push_sender=BasePushNotificationSender(httpx.AsyncClient(), configs),
    )
    a2a_pb2_grpc.add_A2AServiceServicer_to_server(GrpcHandler(handler), server)
    a2a_v0_3_pb2_grpc.add_A2AServiceServicer_to_server(CompatGrpcHandler(handler), server)
    await server.start()
    routes = [
        *create_agent_card_routes(public_card),
        *create_jsonrpc_routes(handler, rpc_url="/a2a", enable_v0_3_compat=True),
        *create_rest_routes(handler, enable_v0_3_compat=True),
    ]
    app = Guard(Starlette(routes=routes))
    print(port, grpc_port, flush=True)
    await uvicorn.Server(uvicorn.Config(app, log_level="warning")).serve(sockets=[listener])


asyncio.run(main())
