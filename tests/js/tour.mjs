// What the callers on both lines of the SDK share: how steps are written down.

export const asked = JSON.parse(process.argv[2]);
// The SDK gives its channels no options, and so they take 4 MiB.
export const LARGE = (asked.binding === 'GRPC' ? 3 : 5) * 1024 * 1024;
export const seen = {};

/** An event or an answer, in words short enough to compare. */
export function told(value) {
  const shorten = (_, field) =>
    typeof field === 'string' && field.length > 60 ? `${field.slice(0, 60)} (${field.length})` : field;
  return JSON.parse(JSON.stringify(value ?? null, shorten));
}

export async function collect(stream) {
  const events = [];
  for await (const event of stream) events.push(told(event));
  return events;
}

/** What came, or what was wrong. */
export async function attempt(promise) {
  try {
    return told(await promise);
  } catch (error) {
    return `${error.name}: ${error.message}`;
  }
}

export const texts = [
  ['send', 'hello, für dich: 漢字 🦀'],
  ['mention', `see ${asked.mention}/a2a and ${asked.mention}/.well-known/agent-card.json`],
  ['large', 'é'.repeat(LARGE / 2)],
];

export const UNKNOWN = '00000000-0000-0000-0000-000000000000';
export const shown = { serviceParameters: { Authorization: 'Bearer let-me-in' } };
