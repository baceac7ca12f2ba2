import { Client, cacheExchange, fetchExchange } from "@urql/core";
import { BoardDocument, CreditDocument, CustomersDocument } from "./graphql.ts";

export function connect(url: string, key: string) {
  return new Client({
    url,
    exchanges: [cacheExchange, fetchExchange],
    fetchOptions: { headers: { authorization: `Bearer ${key}` } },
  });
}

export async function board(client: Client, id: string) {
  const { data } = await client.query(BoardDocument, { id });
  return data?.customer;
}

export async function names(client: Client, first: number) {
  const all: string[] = [];
  let after: string | null | undefined;
  do {
    const { data } = await client.query(CustomersDocument, { first, after });
    all.push(...(data?.customers?.edges ?? []).map(({ node }) => node.name));
    after = data?.customers?.pageInfo.hasNextPage ? data.customers.pageInfo.endCursor : null;
  } while (after);
  return all;
}

export async function credit(client: Client, id: string) {
  const { data, error } = await client.query(CreditDocument, { id });
  const denied = error?.graphQLErrors ?? [];
  return {
    name: data?.customer?.name,
    limit: data?.customer?.creditLimit,
    denied: denied.map(({ extensions }) => ({ code: extensions.code, owner: extensions.owner })),
  };
}
