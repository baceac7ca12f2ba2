/**
 * Read the results of an event stream as they come; a response of any other type is one result.
 *
 * A stream that ends without `complete` was interrupted, as when the server stops: its last result is an error.
 */
export async function* readResults(response) {
  if (!response.headers.get("content-type")?.startsWith("text/event-stream")) {
    yield await response.json();
    return;
  }
  let rest = "";
  for await (const text of readChunks(response.body.pipeThrough(new TextDecoderStream()))) {
    const events = (rest + text).split("\n\n");
    rest = events.pop();
    for (const { event, data } of events.map(parseEvent)) {
      if (event === "complete") return;
      if (event === "next") yield JSON.parse(data);
    }
  }
  yield { errors: [{ message: "The server ended the stream before it was complete: run the operation again." }] };
}

/** Not every browser iterates over a stream with `for await`. Cancelling the reader ends the request. */
async function* readChunks(stream) {
  const reader = stream.getReader();
  try {
    for (let chunk = await reader.read(); !chunk.done; chunk = await reader.read()) yield chunk.value;
  } finally {
    await reader.cancel();
  }
}

function parseEvent(lines) {
  return Object.fromEntries(lines.split("\n").map((line) => line.split(/: ?(.*)/s, 2)));
}
