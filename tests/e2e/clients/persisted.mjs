// A client's name in, what it sent and what it was told out, as JSON: it sends digests and, only when asked, the text.

import { createHash } from "node:crypto";
import { ApolloClient, gql as parsed, HttpLink, InMemoryCache } from "@apollo/client";
import { PersistedQueryLink } from "@apollo/client/link/persisted-queries";
import { Client, fetchExchange, gql } from "@urql/core";
import { persistedExchange } from "@urql/exchange-persisted";

const { ONEDOOR_URL: url, ONEDOOR_KEY: key } = process.env;
const [client, method] = process.argv.slice(2);
const headers = { authorization: `Bearer ${key}` };
const sent = [];

async function noted(address, options) {
  const body = options.body ? JSON.parse(options.body) : Object.fromEntries(new URL(address).searchParams);
  sent.push([options.method, "query" in body && Boolean(body.query), "extensions" in body]);
  return await fetch(address, options);
}

async function apollo(text) {
  const useGETForHashedQueries = method === "GET";
  const sha256 = async (printed) => createHash("sha256").update(printed).digest("hex");
  const link = new PersistedQueryLink({ sha256, useGETForHashedQueries }).concat(
    new HttpLink({ uri: url, headers, fetch: noted }),
  );
  const asking = new ApolloClient({ cache: new InMemoryCache(), link });
  const options = { query: parsed(text), fetchPolicy: "no-cache" };
  return [await asking.query(options), await asking.query(options)].map(({ data }) => data);
}

async function urql(text) {
  const preferGetForPersistedQueries = method === "GET" ? "force" : false;
  const exchanges = [persistedExchange({ preferGetForPersistedQueries }), fetchExchange];
  const asking = new Client({ url, fetch: noted, fetchOptions: { headers }, exchanges, preferGetMethod: false });
  const told = [await asking.query(gql(text), {}), await asking.query(gql(text), {})];
  return told.map(({ data, error }) => data ?? String(error));
}

const told = await { apollo, urql }[client](`query Persisted${client}${method} { me { firstName } }`);
console.log(JSON.stringify({ told, sent }));
