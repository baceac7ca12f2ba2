// Lets node find the packages that a page imports in tests/vendor, and reads a `graphql` tag as Relay's plugin does.

import { registerHooks } from "node:module";

const BUNDLES = {
  "@apollo/client": "apollo-client",
  "@apollo/client/link/persisted-queries": "apollo-client",
  "@apollo/client/link/subscriptions": "apollo-client",
  "@apollo/client/utilities": "apollo-client",
  "@graphql-codegen/core": "graphql-codegen",
  "@urql/core": "urql",
  "@urql/exchange-persisted": "urql",
  graphql: "apollo-client",
  "graphql-http": "graphql-http",
  "graphql-sse": "graphql-sse",
  "graphql-ws": "graphql-ws",
  "relay-runtime": "relay-runtime",
  rxjs: "apollo-client",
};
const TAG = /\bgraphql`\s*(?:query|fragment)\s+(\w+)[^`]*`/g;

function resolve(specifier, context, next) {
  const name = BUNDLES[specifier];
  return next(name ? new URL(`../../vendor/${name}/${name}.mjs`, import.meta.url).href : specifier, context);
}

function load(url, context, next) {
  const loaded = next(url, context);
  if (!url.endsWith("/relay.ts")) return loaded;
  const text = String(loaded.source).replace(
    TAG,
    (_, name) => `(await import("./__generated__/${name}.graphql.ts")).default`,
  );
  return { ...loaded, source: text };
}

registerHooks({ resolve, load });
