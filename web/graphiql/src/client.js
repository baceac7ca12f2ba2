/** Send operations to the server with an API key, and open the session that the page shows for a key. */
import { buildClientSchema, getIntrospectionQuery, getOperationAST, parse } from "graphql";
import { addPermissions } from "./permissions.js";
import { readResults } from "./sse.js";

const JSON_TYPE = "application/json";
const EVENT_STREAM = "text/event-stream";
const ME = "query Me { me { firstName lastName groups } }";
const VALID_KEY = /^[\x21-\x7e]+$/;
const NOT_ACCEPTED = "This API key is not accepted: it may be mistyped, expired or revoked.";
export const UNREACHABLE = "The server cannot be reached now.";

/** The session without an accepted key: no schema, so nothing to complete or to look up. */
export const CLOSED = { me: null, schema: null, refusal: null };

export async function execute(apiKey, request) {
  return (await send("/graphql", apiKey, { method: "POST", body: JSON.stringify(request) })).json();
}

/** Return the results of a subscription as they come, the one result of any other operation. */
export function executeOrSubscribe(apiKey, request) {
  return isSubscription(request) ? subscribe(apiKey, request) : execute(apiKey, request);
}

function isSubscription({ query, operationName }) {
  try {
    return getOperationAST(parse(query), operationName)?.operation === "subscription";
  } catch {
    return false;
  }
}

/** Return an iterator that aborts its request as soon as it is stopped: a generator would wait for the next result. */
function subscribe(apiKey, request) {
  const controller = new AbortController();
  const results = streamResults(apiKey, request, controller.signal);
  const end = { done: true, value: undefined };
  return {
    [Symbol.asyncIterator]() {
      return this;
    },
    next: () => results.next().catch((error) => (controller.signal.aborted ? end : Promise.reject(error))),
    return: async () => (controller.abort(), end),
  };
}

async function* streamResults(apiKey, request, signal) {
  const options = { method: "POST", body: JSON.stringify(request), signal };
  yield* readResults(await send("/graphql", apiKey, options, EVENT_STREAM));
}

/** Drop a name that the query does not define: after a change of tabs GraphiQL first gives the previous tab's name. */
export function dropStaleOperationName({ operationName, ...request }) {
  const defined = new RegExp(`(query|mutation|subscription)\\s+${operationName}\\b`).test(request.query);
  return defined ? { ...request, operationName } : request;
}

/** Return the session of an API key. Never throws: what went wrong is its `refusal`. */
export async function openSession(apiKey) {
  if (!VALID_KEY.test(apiKey)) return { ...CLOSED, refusal: NOT_ACCEPTED };
  try {
    const { data, errors } = await execute(apiKey, { query: ME });
    if (!data?.me) return { ...CLOSED, refusal: describeRefusal(errors) };
    const [schema, permissions] = await Promise.all([fetchSchema(apiKey), fetchPermissions(apiKey)]);
    return { me: data.me, schema: addPermissions(schema, permissions), refusal: null };
  } catch {
    return { ...CLOSED, refusal: UNREACHABLE };
  }
}

function describeRefusal(errors) {
  const code = errors?.[0]?.extensions?.code;
  return code === "UNAUTHENTICATED" ? NOT_ACCEPTED : (errors?.[0]?.message ?? UNREACHABLE);
}

async function fetchSchema(apiKey) {
  return buildClientSchema((await execute(apiKey, { query: getIntrospectionQuery() })).data);
}

async function fetchPermissions(apiKey) {
  const response = await send("/graphiql/permissions.json", apiKey);
  return response.ok ? response.json() : {};
}

function send(url, apiKey, options = {}, accept = JSON_TYPE) {
  const authorization = apiKey ? { authorization: `Bearer ${apiKey}` } : {};
  return fetch(url, { ...options, headers: { accept, "content-type": JSON_TYPE, ...authorization } });
}
