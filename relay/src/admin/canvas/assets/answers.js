//! Reads what an agent answers: JSON-RPC results of A2A, whole or as server-sent events.

/** The events of a `text/event-stream`, each one's data as text. */
export async function* events(stream) {
  let rest = "";
  let data = [];
  for await (const chunk of chunks(stream)) {
    const lines = (rest + chunk).split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop();
    for (const line of lines) {
      if (line.startsWith("data:")) data.push(line.slice(5).replace(/^ /, ""));
      else if (line === "" && data.length) {
        yield data.join("\n");
        data = [];
      }
    }
  }
  if (data.length) yield data.join("\n");
}

async function* chunks(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** What a result says: `{ id, text, state, final }`. Things with the same `id` go on in one place. */
export function read(result) {
  const of = result?.task ?? result?.message ?? result?.statusUpdate ?? result?.artifactUpdate ?? result;
  if (!of || typeof of !== "object") return [];
  const said = [];
  const state = word(of.status?.state);
  if (of.artifact) {
    said.push({ id: `a:${of.artifact.artifactId}`, text: parts(of.artifact.parts), append: of.append === true });
  }
  for (const artifact of Array.isArray(of.artifacts) ? of.artifacts : []) {
    said.push({ id: `a:${artifact?.artifactId}`, text: parts(artifact?.parts) });
  }
  const own = parts(of.parts) || parts(of.status?.message?.parts);
  if (own) said.push({ id: `m:${of.messageId ?? of.status?.message?.messageId ?? own}`, text: own });
  if (state) said.push({ state });
  return said.filter((one) => one.text || one.state);
}

/** Where the conversation goes on: the ids that the next message names. */
export function thread(result) {
  const of = result?.task ?? result?.message ?? result?.statusUpdate ?? result?.artifactUpdate ?? result;
  const state = word(of?.status?.state);
  const taskId = of?.taskId ?? (of?.kind === "task" || of?.artifacts || of?.status ? of.id : undefined);
  return { contextId: of?.contextId, taskId: state === "input-required" ? taskId : undefined };
}

/** The text of parts; others are named by their kind. */
function parts(list) {
  if (!Array.isArray(list)) return "";
  return list.map(part).filter(Boolean).join("\n");
}

function part(one) {
  if (typeof one?.text === "string") return one.text;
  const kind = one?.kind ?? one?.type ?? (one?.data !== undefined ? "data" : "file");
  if (kind === "data") return JSON.stringify(one.data, null, 2);
  return `[${kind}${one?.file?.name ? ` ${one.file.name}` : ""}]`;
}

function word(state) {
  return typeof state === "string" ? state.replace(/^TASK_STATE_/, "").toLowerCase().replaceAll("_", "-") : "";
}
