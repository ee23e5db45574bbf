// Leads every name below `.test` to loopback, as an operator's DNS leads the names of agents to the relay.

import dns from 'node:dns';

const ours = (name) => (name.endsWith('.test') ? '127.0.0.1' : name);
const { lookup } = dns;
const promised = dns.promises.lookup;

/** Has this process look such names up so. */
export function resolve() {
  dns.lookup = (name, ...rest) => lookup(ours(name), ...rest);
  dns.promises.lookup = (name, ...rest) => promised(ours(name), ...rest);
}
