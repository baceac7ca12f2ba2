import { ApolloClient, ApolloLink, CombinedGraphQLErrors, HttpLink, InMemoryCache } from "@apollo/client";
import { GraphQLWsLink } from "@apollo/client/link/subscriptions";
import { relayStylePagination } from "@apollo/client/utilities";
import { OperationTypeNode } from "graphql";
import { createClient } from "graphql-ws";
import { tap } from "rxjs";
import { CustomersDocument, OrderChangesDocument, OrderFormDocument, SaveOrderDocument } from "./graphql.ts";
import type { OrderFormQuery } from "./graphql.ts";

type Order = NonNullable<OrderFormQuery["order"]>;

/** Owners by denied field, such as `customer.creditLimit`: the cache stores the null, but not its error. */
export const denied = new Map<string, unknown>();

const rememberDenied = new ApolloLink((operation, forward) =>
  forward(operation).pipe(
    tap(({ errors = [] }) => {
      for (const { path = [], extensions } of errors) {
        if (extensions?.code !== "FORBIDDEN") continue;
        denied.set(path.filter((step) => typeof step === "string").join("."), extensions.owner);
      }
    }),
  ),
);

export function connect(url: string, key: string) {
  const socket = createClient({
    url: url.replace("http", "ws"),
    connectionParams: { authorization: `Bearer ${key}` },
    shouldRetry: () => true,
    retryAttempts: Infinity,
  });
  const http = new HttpLink({ uri: url, headers: { authorization: `Bearer ${key}` } });
  const link = ApolloLink.split(
    ({ operationType }) => operationType === OperationTypeNode.SUBSCRIPTION,
    new GraphQLWsLink(socket),
    http,
  );
  const client = new ApolloClient({
    cache: new InMemoryCache({ typePolicies: { Query: { fields: { customers: relayStylePagination() } } } }),
    link: rememberDenied.concat(link),
    defaultOptions: { query: { errorPolicy: "all" }, watchQuery: { errorPolicy: "all" } },
  });
  return { client, close: () => socket.dispose() };
}

export async function readOrder(client: ApolloClient, id: string) {
  const { data } = await client.query({ query: OrderFormDocument, variables: { id }, fetchPolicy: "network-only" });
  return data?.order;
}

/** Saves what a form edited. The page shows `note` at once, and the old one again if the server refuses. */
export async function save(client: ApolloClient, order: Order, note: string) {
  const ifVersion = String(order.version);
  try {
    const { data } = await client.mutate({
      mutation: SaveOrderDocument,
      variables: { input: { id: order.id, note, ifVersion, idempotencyKey: crypto.randomUUID() } },
      optimisticResponse: {
        __typename: "Mutation",
        updateOrder: { __typename: "OrderChange", id: "pending", state: "DONE", order: { ...order, note } },
      },
    });
    return data?.updateOrder?.order;
  } catch (error) {
    const codes = CombinedGraphQLErrors.is(error) ? error.errors.map(({ extensions }) => extensions?.code) : [];
    if (!codes.includes("VERSION_CONFLICT")) throw error;
    return "conflict" as const;
  }
}

/** Calls `show` with each version of the order, and returns a function that ends the subscription. */
export function watch(client: ApolloClient, id: string, show: (order: Order) => void) {
  const changes = client.subscribe({ query: OrderChangesDocument, variables: { id } });
  const subscription = changes.subscribe(({ data }) => data?.orderChanged?.order && show(data.orderChanged.order));
  return () => subscription.unsubscribe();
}

/** Loads a list page by page, as a button "more" does, and calls `show` with all names that are there so far. */
export async function loadAll(client: ApolloClient, first: number, show: (names: string[]) => void) {
  const list = client.watchQuery({ query: CustomersDocument, variables: { first } });
  const subscription = list.subscribe(({ data, dataState }) => {
    if (dataState === "complete") show(data.customers?.edges?.map(({ node }) => node.name) ?? []);
  });
  let { data } = await client.query({ query: CustomersDocument, variables: { first } });
  while (data?.customers?.pageInfo.hasNextPage) {
    const after = data.customers.pageInfo.endCursor;
    ({ data } = await list.fetchMore({ variables: { after }, errorPolicy: "all" }));
  }
  return () => subscription.unsubscribe();
}
