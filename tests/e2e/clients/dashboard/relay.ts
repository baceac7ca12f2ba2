import { Environment, Network, RecordSource, Store } from "relay-runtime";
import { createOperationDescriptor, fetchQuery, getRequest, graphql } from "relay-runtime";
import type { relayBoardQuery } from "./__generated__/relayBoardQuery.graphql.ts";
import type { relayCreditQuery } from "./__generated__/relayCreditQuery.graphql.ts";
import type { relayCustomersQuery } from "./__generated__/relayCustomersQuery.graphql.ts";

const Board = graphql`
  query relayBoardQuery($id: ID!) {
    customer(id: $id) {
      id
      name
      channel { id name }
      revenue(first: 3) { nodes { id month revenue } }
      files(first: 2) { nodes { id name size } }
    }
  }
`;

const Customers = graphql`
  query relayCustomersQuery($first: Int!, $after: String) {
    customers(first: $first, after: $after) @connection(key: "board_customers") {
      edges { node { name } }
      pageInfo { endCursor hasNextPage }
    }
  }
`;

const Credit = graphql`
  query relayCreditQuery($id: ID!) {
    customer(id: $id) { name creditLimit @catch }
  }
`;

export function connect(url: string, key: string) {
  const network = Network.create(async ({ text }, variables) => {
    const reply = await fetch(url, {
      method: "POST",
      headers: {
        accept: "application/graphql-response+json",
        authorization: `Bearer ${key}`,
        "content-type": "application/json",
      },
      body: JSON.stringify({ query: text, variables }),
    });
    return reply.json();
  });
  return new Environment({ network, store: new Store(new RecordSource()) });
}

export async function board(environment: Environment, id: string) {
  const data = await fetchQuery<relayBoardQuery>(environment, Board, { id }).toPromise();
  return data?.customer;
}

export async function names(environment: Environment, first: number) {
  const all = createOperationDescriptor(getRequest(Customers), { first });
  const retained = environment.retain(all);
  let after: string | null | undefined;
  do {
    const page = await fetchQuery<relayCustomersQuery>(environment, Customers, { first, after }).toPromise();
    after = page?.customers?.pageInfo.hasNextPage ? page.customers.pageInfo.endCursor : null;
  } while (after);
  const shown = environment.lookup(all.fragment).data as relayCustomersQuery["response"];
  retained.dispose();
  return shown.customers?.edges?.map(({ node }) => node.name);
}

export async function credit(environment: Environment, id: string) {
  const data = await fetchQuery<relayCreditQuery>(environment, Credit, { id }).toPromise();
  const limit = data?.customer?.creditLimit;
  const errors = (limit && !limit.ok ? limit.errors : []) as { extensions: { code: string; owner: string } }[];
  return {
    name: data?.customer?.name,
    limit: limit?.ok ? limit.value : null,
    denied: errors.map(({ extensions }) => ({ code: extensions.code, owner: extensions.owner })),
  };
}
