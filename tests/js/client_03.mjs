// The caller of `client.mjs` on the SDK of the 0.3 line, which has no call for lists of tasks.

import {
  ClientFactory,
  ClientFactoryOptions,
  JsonRpcTransportFactory,
  RestTransportFactory,
} from 'a2a-js-sdk-03/client';
import { GrpcTransportFactory } from 'a2a-js-sdk-03/client/grpc';
import { resolve } from './names.mjs';
import { UNKNOWN, asked, attempt, collect, seen, shown, texts, told } from './tour.mjs';

function request(text, blocking = true) {
  const parts = [{ kind: 'text', text }];
  return { message: { kind: 'message', role: 'user', messageId: 'm-1', parts }, configuration: { blocking } };
}

resolve();
const client = await new ClientFactory(
  ClientFactoryOptions.createFrom(ClientFactoryOptions.default, {
    transports: [new JsonRpcTransportFactory(), new RestTransportFactory(), new GrpcTransportFactory()],
    preferredTransports: [asked.binding],
  }),
).createFromUrl(asked.base);

async function tour() {
  for (const [name, text] of texts) seen[name] = told(await client.sendMessage(request(text)));
  seen.stream = await collect(client.sendMessageStream(request('stream')));
  seen.get = await attempt(client.getTask({ id: seen.stream[0].id, historyLength: 1 }));

  const later = await client.sendMessage(request('silent 4', false));
  seen['not waiting'] = told(later);
  for (const id of ['p-1', 'p-2']) {
    seen[`push set ${id}`] = await attempt(client.setTaskPushNotificationConfig({
      taskId: later.id, pushNotificationConfig: { id, url: asked.webhook, token: 't-1' },
    }));
  }
  const one = (pushNotificationConfigId) => ({ id: later.id, pushNotificationConfigId });
  seen['push get'] = await attempt(client.getTaskPushNotificationConfig(one('p-1')));
  seen['push delete'] = await attempt(client.deleteTaskPushNotificationConfig(one('p-2')));
  seen['push list'] = await attempt(client.listTaskPushNotificationConfig({ id: later.id }));
  // The task is silent until then.
  seen.subscribe = await attempt(collect(client.resubscribeTask({ id: later.id })));
  const held = await client.sendMessage(request('hold', false));
  seen.cancel = await attempt(client.cancelTask({ id: held.id }));

  seen.unknown = await attempt(client.getTask({ id: UNKNOWN }));
  seen['not cancelable'] = await attempt(client.cancelTask({ id: held.id }));
  seen['extended, refused'] = await attempt(client.getAgentCard());
  seen.extended = await client.getAgentCard(shown);
  seen.after = told(await client.sendMessage(request('by the extended card')));
}

async function first() {
  seen.send = told(await client.sendMessage(request('hello')));
  seen.stream = await collect(client.sendMessageStream(request('stream')));
}

async function silence() {
  seen.stream = await collect(client.sendMessageStream(request(`silent ${asked.seconds}`)));
  seen.send = told(await client.sendMessage(request(`slow ${asked.seconds}`)));
}

await { all: tour, first, silence }[asked.tour]();
process.stdout.write(JSON.stringify(seen));
