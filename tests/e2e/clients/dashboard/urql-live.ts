import { Client, cacheExchange, fetchExchange, subscriptionExchange } from "@urql/core";
import { createClient } from "graphql-ws";
import { OrderChangesDocument, OrderFormDocument, SaveOrderDocument } from "./graphql.ts";
import type { OrderFormQuery } from "./graphql.ts";

type Order = NonNullable<OrderFormQuery["order"]>;

export function connect(url: string, key: string) {
  const socket = createClient({
    url: url.replace("http", "ws"),
    connectionParams: { authorization: `Bearer ${key}` },
    shouldRetry: () => true,
    retryAttempts: Infinity,
  });
  const overSocket = subscriptionExchange({
    forwardSubscription: ({ query = "", variables }) => ({
      subscribe: (sink) => ({ unsubscribe: socket.subscribe({ query, variables }, sink) }),
    }),
  });
  const client = new Client({
    url,
    exchanges: [cacheExchange, fetchExchange, overSocket],
    fetchOptions: { headers: { authorization: `Bearer ${key}` } },
  });
  return { client, close: () => socket.dispose() };
}

export async function readOrder(client: Client, id: string) {
  const { data } = await client.query(OrderFormDocument, { id }, { requestPolicy: "network-only" });
  return data?.order;
}

export async function save(client: Client, order: Order, note: string) {
  const input = { id: order.id, note, ifVersion: String(order.version), idempotencyKey: crypto.randomUUID() };
  const { data, error } = await client.mutation(SaveOrderDocument, { input });
  if (!error) return data?.updateOrder?.order;
  if (error.graphQLErrors.some(({ extensions }) => extensions.code === "VERSION_CONFLICT")) return "conflict" as const;
  throw error;
}

export function watch(client: Client, id: string, show: (order: Order) => void) {
  const changes = client.subscription(OrderChangesDocument, { id });
  const { unsubscribe } = changes.subscribe(({ data }) => data?.orderChanged?.order && show(data.orderChanged.order));
  return unsubscribe;
}
