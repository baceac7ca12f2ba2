// A client of subscriptions in, what it was told out, as JSON lines: graphql-ws or graphql-sse, as they are.

import { createClient as overSocket } from "graphql-ws";
import { createClient as overStream } from "graphql-sse";

const { ONEDOOR_URL: url, ONEDOOR_KEY: key } = process.env;
const [over, query, most] = process.argv.slice(2);

const socket = {
  url: url.replace("http", "ws"),
  connectionParams: { Authorization: `Bearer ${key}` },
  retryAttempts: 0,
  lazyCloseTimeout: 0,
};
const stream = { url, headers: { Authorization: `Bearer ${key}` }, retryAttempts: 0 };
const client = over === "socket" ? overSocket(socket) : overStream(stream);
if (over === "socket") client.on("closed", ({ code }) => console.log(JSON.stringify({ closed: code })));

let told = 0;
try {
  for await (const result of client.iterate({ query })) {
    console.log(JSON.stringify(result));
    told += 1;
    if (told === Number(most)) break;
  }
  console.log(JSON.stringify("complete"));
} catch (error) {
  const { code, message } = Array.isArray(error) ? error[0].extensions : error;
  console.log(JSON.stringify({ failed: code ?? message }));
}
client.dispose();
