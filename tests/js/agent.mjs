// An agent on the official A2A SDK for JavaScript, with the words and the arguments of `agent.py`, but for
// gRPC: it echoes, streams, holds a task until it is cancelled, and is silent.

import { createSecretKey, randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  AgentCard,
  Message,
  Task,
  TaskArtifactUpdateEvent,
  TaskStatusUpdateEvent,
  generateAgentCardSignature,
} from '@a2a-js/sdk';
import {
  AgentEvent,
  DefaultExecutionEventBusManager,
  DefaultPushNotificationSender,
  DefaultRequestHandler,
  InMemoryPushNotificationStore,
  InMemoryTaskStore,
} from '@a2a-js/sdk/server';
import { UserBuilder, agentCardHandler, jsonRpcHandler, restHandler } from '@a2a-js/sdk/server/express';
import express from 'express';

const said = (text, of) => ({ messageId: randomUUID(), role: 'ROLE_AGENT', parts: [{ text }], ...of });
const ended = (of, state, text) => AgentEvent.statusUpdate(TaskStatusUpdateEvent.fromJSON({
  ...of, status: { state, message: said(text, of) },
}));

/** Answers what was said; its first word may ask for more. */
class Echo {
  held = new Map();

  async execute({ userMessage, taskId, contextId }, bus) {
    const text = Message.toJSON(userMessage).parts[0].text;
    const [word, seconds] = text.split(' ');
    const of = { taskId, contextId };
    if (word === 'slow') await sleep(seconds * 1000);
    if (!['stream', 'hold', 'silent'].includes(word)) {
      bus.publish(AgentEvent.message(Message.fromJSON(said(`echo: ${text}`))));
      return;
    }
    bus.publish(AgentEvent.task(Task.fromJSON({
      id: taskId, contextId, status: { state: 'TASK_STATE_WORKING' }, history: [Message.toJSON(userMessage)],
    })));
    if (word === 'hold') {
      await new Promise((resolve) => this.held.set(taskId, resolve));
      bus.publish(ended(of, 'TASK_STATE_CANCELED', 'given up'));
      return;
    }
    if (word === 'silent') await sleep(seconds * 1000);
    for (const piece of [0, 1, 2]) {
      bus.publish(AgentEvent.artifactUpdate(TaskArtifactUpdateEvent.fromJSON({
        ...of, artifact: { artifactId: `echo-${piece}`, name: 'echo', parts: [{ text: `piece ${piece}` }] },
      })));
    }
    bus.publish(ended(of, 'TASK_STATE_COMPLETED', 'done'));
  }

  async cancelTask(taskId) {
    this.held.get(taskId)?.();
  }
}

/** A card whose interfaces are at this origin. */
function card(origin, name) {
  return AgentCard.fromJSON({
    name, description: 'Echoes, für jeden: 回声.', version: '1.0.0',
    defaultInputModes: ['text'], defaultOutputModes: ['text'],
    capabilities: { streaming: true, pushNotifications: true, extendedAgentCard: true },
    skills: [{ id: 'echo', name: 'Echo', description: 'Echoes.', tags: ['echo'] }],
    supportedInterfaces: [
      { url: `${origin}/a2a`, protocolBinding: 'JSONRPC', protocolVersion: '1.0' },
      { url: origin, protocolBinding: 'HTTP+JSON', protocolVersion: '1.0' },
    ],
  });
}

const origin = process.argv[2] ?? process.env.A2A_PUBLIC_URL.replace(/\/$/, '');
const key = process.env.SIGNING_KEY;
const sign = key
  ? generateAgentCardSignature(createSecretKey(Buffer.from(key)), { alg: 'HS256', kid: 'k-1', typ: 'JOSE' })
  : (unsigned) => unsigned;
const publicCard = await sign(card(origin, 'SDK agent'));
const extended = await sign(card(origin, 'SDK agent, extended'));
const forThoseWhoAreKnown = ({ user }) => {
  if (!user?.isAuthenticated) throw new Error('no credential');
  return extended;
};
const known = { isAuthenticated: true, userName: 'known' };
const userBuilder = async ({ headers }) =>
  (headers.authorization === 'Bearer let-me-in' ? known : UserBuilder.noAuthentication());
const configs = new InMemoryPushNotificationStore();
const requestHandler = new DefaultRequestHandler(
  publicCard, new InMemoryTaskStore(), new Echo(), new DefaultExecutionEventBusManager(), configs,
  new DefaultPushNotificationSender(configs), forThoseWhoAreKnown,
);
const parts = { requestHandler, userBuilder };
const app = express();
// The SDK's own parsers take 100 KiB.
app.use(express.json({ limit: '16mb', type: ['application/json', 'application/a2a+json'] }));
app.use('/.well-known/agent-card.json', agentCardHandler({ agentCardProvider: requestHandler }));
app.use('/a2a', jsonRpcHandler(parts));
app.use('/', restHandler(parts));
const server = app.listen(Number(process.env.PORT ?? 0), '127.0.0.1', () => {
  process.stdout.write(`${server.address().port} 0\n`);
});
