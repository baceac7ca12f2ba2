/** An event stream's reply in, its results out as they come; a reply that is no stream is one result. */
export async function* heard(reply) {
  if (!reply.headers.get("content-type")?.startsWith("text/event-stream")) {
    yield await reply.json();
    return;
  }
  let rest = "";
  for await (const text of texts(reply.body.pipeThrough(new TextDecoderStream()))) {
    const events = (rest + text).split("\n\n");
    rest = events.pop();
    for (const { event, data } of events.map(read)) {
      if (event === "complete") return;
      if (event === "next") yield JSON.parse(data);
    }
  }
}

/** Not every browser walks through a stream with `for await`. Who stops listening leaves the door. */
async function* texts(stream) {
  const reader = stream.getReader();
  try {
    for (let part = await reader.read(); !part.done; part = await reader.read()) yield part.value;
  } finally {
    await reader.cancel();
  }
}

function read(lines) {
  return Object.fromEntries(lines.split("\n").map((line) => line.split(/: ?(.*)/s, 2)));
}
