// Watches one subscription with each client until stdin ends, and prints what each sees, as JSON lines.

import { ApolloClient, InMemoryCache, gql } from "@apollo/client";
import { GraphQLWsLink } from "@apollo/client/link/subscriptions";
import { createClient as overStream } from "graphql-sse";
import { createClient as overSocket } from "graphql-ws";

const { ONEDOOR_URL: url, ONEDOOR_KEY: key } = process.env;
const [query, ...clients] = process.argv.slice(2);
const RETRIES = 10_000; // at once: a server that restarts in a test is back before a person would notice

const print = (client) => (what) => console.log(JSON.stringify([client, what]));
const sink = (print) => ({
  next: ({ data, errors }) => print(errors ? `error ${errors[0].extensions.code}` : `event ${data.customerChanged.id}`),
  error: (error) => print(`failed ${error.code ?? error.message ?? error[0].extensions.code}`),
  complete: () => print("complete"),
});

function socket(print) {
  const options = {
    url: url.replace("http", "ws"),
    connectionParams: { Authorization: `Bearer ${key}` },
    keepAlive: 20,
    retryAttempts: RETRIES,
    retryWait: () => new Promise((wake) => setTimeout(wake, 20)),
    shouldRetry: () => true,
  };
  const client = overSocket(options);
  client.on("connected", () => print("connected"));
  client.on("closed", ({ code }) => print(`closed ${code}`));
  return client;
}

const WATCH = {
  "graphql-ws": (print) => socket(print).subscribe({ query }, sink(print)),
  "Apollo Client": (print) => {
    const client = new ApolloClient({ cache: new InMemoryCache(), link: new GraphQLWsLink(socket(print)) });
    client.subscribe({ query: gql(query) }).subscribe(sink(print));
  },
  "graphql-sse": (print) => {
    const client = overStream({
      url,
      headers: { Authorization: `Bearer ${key}` },
      retryAttempts: RETRIES,
      retry: () => new Promise((wake) => setTimeout(wake, 20)),
      on: { connected: () => print("connected") },
    });
    client.subscribe({ query }, sink(print));
  },
};

for (const client of clients) WATCH[client](print(client));
for await (const _ of process.stdin);
process.exit(0);
