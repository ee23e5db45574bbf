// A caller on the official A2A SDK for JavaScript, given nothing but an agent's base URL.
// Its argument and its steps are those of `client.py` beside the agents.

import { createSecretKey } from 'node:crypto';
import { AgentCard, Role, verifyAgentCardSignature } from '@a2a-js/sdk';
import {
  ClientFactory,
  ClientFactoryOptions,
  DefaultAgentCardResolver,
  JsonRpcTransportFactory,
  RestTransportFactory,
} from '@a2a-js/sdk/client';
import { GrpcTransportFactory } from '@a2a-js/sdk/client/grpc';
import { resolve } from './names.mjs';
import { UNKNOWN, asked, attempt, collect, seen, shown, texts, told } from './tour.mjs';

function request(text, returnImmediately = false) {
  return {
    tenant: '',
    message: {
      messageId: 'm-1',
      contextId: '',
      taskId: '',
      role: Role.ROLE_USER,
      parts: [{ content: { $case: 'text', value: text }, metadata: undefined, filename: '', mediaType: '' }],
      metadata: undefined,
      extensions: [],
      referenceTaskIds: [],
    },
    configuration: { acceptedOutputModes: [], taskPushNotificationConfig: undefined, returnImmediately },
    metadata: undefined,
  };
}

resolve();
const legacyCompat = { enabled: asked.older };
// A card alone may have no place to call.
const client = asked.tour !== 'card' && await new ClientFactory(
  ClientFactoryOptions.createFrom(ClientFactoryOptions.default, {
    transports: [JsonRpcTransportFactory, RestTransportFactory, GrpcTransportFactory].map(
      (Factory) => new Factory({ legacyCompat }),
    ),
    cardResolver: new DefaultAgentCardResolver({ legacyCompat }),
    preferredTransports: [asked.binding],
  }),
).createFromUrl(asked.base);

async function tour() {
  for (const [name, text] of texts) seen[name] = told(await client.sendMessage(request(text)));
  seen.stream = await collect(client.sendMessageStream(request('stream')));
  const { id, contextId } = seen.stream[0].payload.value;
  seen.get = await attempt(client.getTask({ tenant: '', id, historyLength: 1 }));
  seen.list = await attempt(client.listTasks({
    tenant: '', contextId, status: 0, pageSize: 5, pageToken: '', statusTimestampAfter: undefined,
  }));

  // Subscriptions of 0.3 do not begin with how the task stands: one that is held would tell nothing.
  const held = await client.sendMessage(request(asked.older ? 'silent 4' : 'hold', true));
  seen['not waiting'] = told(held);
  let taskId = held.id;
  for (const config of ['p-1', 'p-2']) {
    seen[`push set ${config}`] = await attempt(client.createTaskPushNotificationConfig({
      tenant: '', id: config, taskId, url: asked.webhook, token: 't-1', authentication: undefined,
    }));
  }
  seen['push get'] = await attempt(client.getTaskPushNotificationConfig({ tenant: '', taskId, id: 'p-1' }));
  seen['push delete'] = await attempt(client.deleteTaskPushNotificationConfig({ tenant: '', taskId, id: 'p-2' }));
  seen['push list'] = await attempt(client.listTaskPushNotificationConfig({
    tenant: '', taskId, pageSize: 5, pageToken: '',
  }));
  seen.subscribe = [];
  for await (const event of client.resubscribeTask({ tenant: '', id: taskId })) {
    seen.subscribe.push(told(event));
    if (!asked.older && seen.subscribe.length === 1) {
      seen.cancel = await attempt(client.cancelTask({ tenant: '', id: taskId, metadata: undefined }));
    }
  }
  if (asked.older) {
    taskId = (await client.sendMessage(request('hold', true))).id;
    seen.cancel = await attempt(client.cancelTask({ tenant: '', id: taskId, metadata: undefined }));
  }

  seen.unknown = await attempt(client.getTask({ tenant: '', id: UNKNOWN }));
  seen['not cancelable'] = await attempt(client.cancelTask({ tenant: '', id: taskId, metadata: undefined }));
  seen['extended, refused'] = await attempt(client.getAgentCard());
  const extended = await client.getAgentCard(shown);
  seen.extended = AgentCard.toJSON(extended);
  seen.after = told(await client.sendMessage(request('by the extended card')));
}

/** What the SDK's verifier makes of the card's signatures. */
async function card() {
  const verify = verifyAgentCardSignature(async () => createSecretKey(Buffer.from(asked.key)));
  const served = await new DefaultAgentCardResolver().resolve(asked.base);
  seen.card = await attempt(verify(served).then(() => AgentCard.toJSON(served)));
}

async function first() {
  seen.send = told(await client.sendMessage(request('hello')));
  seen.stream = await collect(client.sendMessageStream(request('stream')));
}

async function silence() {
  seen.stream = await collect(client.sendMessageStream(request(`silent ${asked.seconds}`)));
  seen.send = told(await client.sendMessage(request(`slow ${asked.seconds}`)));
}

await { all: tour, card, first, silence }[asked.tour]();
process.stdout.write(JSON.stringify(seen));
