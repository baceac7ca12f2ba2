import { ApolloClient, CombinedGraphQLErrors, HttpLink, InMemoryCache } from "@apollo/client";
import { relayStylePagination } from "@apollo/client/utilities";
import { BoardDocument, CreditDocument, CustomersDocument } from "./graphql.ts";

export function connect(url: string, key: string) {
  return new ApolloClient({
    cache: new InMemoryCache({ typePolicies: { Query: { fields: { customers: relayStylePagination() } } } }),
    link: new HttpLink({ uri: url, headers: { authorization: `Bearer ${key}` } }),
  });
}

export async function board(client: ApolloClient, id: string) {
  const { data } = await client.query({ query: BoardDocument, variables: { id } });
  return data?.customer;
}

export async function names(client: ApolloClient, first: number) {
  let after: string | null | undefined;
  for (;;) {
    const variables = { first, after };
    const { data } = await client.query({ query: CustomersDocument, variables, fetchPolicy: "network-only" });
    const all = data?.customers;
    if (!all?.pageInfo.hasNextPage) return all?.edges?.map(({ node }) => node.name);
    after = all.pageInfo.endCursor;
  }
}

export async function credit(client: ApolloClient, id: string) {
  const { data, error } = await client.query({ query: CreditDocument, variables: { id }, errorPolicy: "all" });
  const denied = CombinedGraphQLErrors.is(error) ? error.errors : [];
  return {
    name: data?.customer?.name,
    limit: data?.customer?.creditLimit,
    denied: denied.map(({ extensions }) => ({ code: extensions?.code, owner: extensions?.owner })),
  };
}
