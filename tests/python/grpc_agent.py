"""An agent on the official A2A SDK that speaks gRPC too, in the versions 1.0 and 0.3: it echoes,
streams, and holds a task until it is cancelled.

Prints its port and that of its gRPC server, then serves JSON-RPC at /a2a and its card under the
well-known name.
"""

import asyncio
import socket

import grpc
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
from a2a.server.tasks import InMemoryTaskStore
from a2a.types import a2a_pb2_grpc
from a2a.types.a2a_pb2 import AgentCapabilities, AgentCard, AgentInterface, AgentSkill, Role, TaskState
from starlette.applications import Starlette


class Echo(AgentExecutor):
    """Answers what was said; "stream" and "work" at its beginning make it a task."""

    async def execute(self, context, event_queue):
        text = get_message_text(context.message)
        if not text.startswith(("stream", "work")):
            await event_queue.enqueue_event(new_text_message(f"echo: {text}", role=Role.ROLE_AGENT))
            return
        task = context.current_task or new_task_from_user_message(context.message)
        await event_queue.enqueue_event(task)
        if text.startswith("work"):
            await event_queue.enqueue_event(status(task, TaskState.TASK_STATE_WORKING, "at it"))
            await asyncio.Event().wait()
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


async def main():
    # asyncio turns Nagle off only where the protocol is named.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    url = f"http://localhost:{listener.getsockname()[1]}/a2a"
    server = grpc.aio.server()
    grpc_port = server.add_insecure_port("127.0.0.1:0")
    card = AgentCard(
        name="SDK agent", description="Echoes.", version="1.0.0",
        default_input_modes=["text"], default_output_modes=["text"],
        capabilities=AgentCapabilities(streaming=True, extended_agent_card=True),
        skills=[AgentSkill(id="echo", name="Echo", description="Echoes.", tags=["echo"])],
        supported_interfaces=[
            AgentInterface(url=url, protocol_binding="JSONRPC", protocol_version=version)
            for version in ("1.0", "0.3")
        ] + [
            AgentInterface(
                url=f"localhost:{grpc_port}", protocol_binding="GRPC", protocol_version=version
            )
            for version in ("1.0", "0.3")
        ],
    )
    handler = DefaultRequestHandler(
        agent_executor=Echo(), task_store=InMemoryTaskStore(), agent_card=card,
        extended_agent_card=card,
    )
    a2a_pb2_grpc.add_A2AServiceServicer_to_server(GrpcHandler(handler), server)
    a2a_v0_3_pb2_grpc.add_A2AServiceServicer_to_server(CompatGrpcHandler(handler), server)
    await server.start()
    routes = [
        *create_agent_card_routes(card),
        *create_jsonrpc_routes(handler, rpc_url="/a2a", enable_v0_3_compat=True),
    ]
    app = Starlette(routes=routes)
    print(listener.getsockname()[1], grpc_port, flush=True)
    await uvicorn.Server(uvicorn.Config(app, log_level="warning")).serve(sockets=[listener])


asyncio.run(main())
