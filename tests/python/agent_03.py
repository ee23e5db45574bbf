"""The agent of `agent.py` on the SDK of the 0.3 line, with the same words and the same arguments."""

import asyncio
import os
import socket
import sys

import grpc
import httpx
import uvicorn
from a2a.grpc import a2a_pb2_grpc
from a2a.server.agent_execution import AgentExecutor
from a2a.server.apps import A2ARESTFastAPIApplication, A2AStarletteApplication
from a2a.server.request_handlers import DefaultRequestHandler, GrpcHandler
from a2a.server.tasks import (
    BasePushNotificationSender,
    InMemoryPushNotificationConfigStore,
    InMemoryTaskStore,
)
from a2a.types import (
    AgentCapabilities,
    AgentCard,
    AgentInterface,
    AgentSkill,
    TaskArtifactUpdateEvent,
    TaskState,
    TaskStatus,
    TaskStatusUpdateEvent,
)
from a2a.utils import new_agent_text_message, new_task, new_text_artifact
from credential import Guard


class Echo(AgentExecutor):
    """Answers what was said; its first word may ask for more."""

    async def execute(self, context, event_queue):
        text = context.get_user_input()
        word, _, rest = text.partition(" ")
        if word == "slow":
            await asyncio.sleep(float(rest))
        if word not in ("stream", "hold", "silent"):
            await event_queue.enqueue_event(new_agent_text_message(f"echo: {text}"))
            return
        task = context.current_task or new_task(context.message)
        task.status.state = TaskState.working
        await event_queue.enqueue_event(task)
        if word == "hold":
            await asyncio.Event().wait()
        if word == "silent":
            await asyncio.sleep(float(rest))
        for piece in range(3):
            artifact = new_text_artifact(name="echo", text=f"piece {piece}")
            await event_queue.enqueue_event(
                TaskArtifactUpdateEvent(task_id=task.id, context_id=task.context_id, artifact=artifact)
            )
        await event_queue.enqueue_event(ended(task, TaskState.completed, "done"))

    async def cancel(self, context, event_queue):
        """Says so; the SDK ends `execute`."""
        await event_queue.enqueue_event(ended(context.current_task, TaskState.canceled, "given up"))


def ended(task, state, text):
    """The last event of a task."""
    message = new_agent_text_message(text, task.context_id, task.id)
    return TaskStatusUpdateEvent(
        task_id=task.id, context_id=task.context_id, final=True,
        status=TaskStatus(state=state, message=message),
    )


def card(origin, grpc_url, name):
    """A card whose interfaces are at this origin, and at this place for gRPC if there is one."""
    interfaces = [AgentInterface(url=origin, transport="HTTP+JSON")]
    if grpc_url:
        interfaces.append(AgentInterface(url=grpc_url, transport="GRPC"))
    return AgentCard(
        name=name, description="Echoes, für jeden: 回声.", version="1.0.0",
        default_input_modes=["text"], default_output_modes=["text"],
        capabilities=AgentCapabilities(streaming=True, push_notifications=True),
        skills=[AgentSkill(id="echo", name="Echo", description="Echoes.", tags=["echo"])],
        supports_authenticated_extended_card=True,
        url=f"{origin}/a2a", preferred_transport="JSONRPC",
        additional_interfaces=interfaces,
    )


async def main():
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", -1)])
    grpc_port = server.add_insecure_port("127.0.0.1:0")
    names = ("SDK agent", "SDK agent, extended")
    public_card, extended = (card(sys.argv[1], os.environ.get("GRPC_URL"), name) for name in names)
    configs = InMemoryPushNotificationConfigStore()
    handler = DefaultRequestHandler(
        agent_executor=Echo(), task_store=InMemoryTaskStore(), push_config_store=configs,
        push_sender=BasePushNotificationSender(httpx.AsyncClient(), configs),
    )
    a2a_pb2_grpc.add_A2AServiceServicer_to_server(GrpcHandler(public_card, handler), server)
    await server.start()
    parts = {"agent_card": public_card, "http_handler": handler, "extended_agent_card": extended}
    app = A2ARESTFastAPIApplication(**parts).build()
    A2AStarletteApplication(**parts).add_routes_to_app(app, rpc_url="/a2a")
    print(listener.getsockname()[1], grpc_port, flush=True)
    config = uvicorn.Config(Guard(app), log_level="warning")
    await uvicorn.Server(config).serve(sockets=[listener])


asyncio.run(main())
