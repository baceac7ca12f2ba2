/** A key and a question in, the door's reply out; a key in, who it belongs to and what they can ask out. */
import { buildClientSchema, getIntrospectionQuery, getOperationAST, parse } from "graphql";
import { described } from "./described.js";
import { heard } from "./heard.js";

const JSON_TYPE = "application/json";
const STREAM = "text/event-stream";
const ME = "query Me { me { firstName lastName groups } }";
const SENDABLE = /^[\x21-\x7e]+$/;
const REFUSED = "This key does not open the door: it may be mistyped, expired or revoked.";
const AWAY = "The door cannot be reached now.";

/** Nobody is in: no schema, so nothing to complete or to look up. */
export const SHUT = { me: null, schema: null, refusal: null };

export async function ask(key, question) {
  return (await sent("/graphql", key, { method: "POST", body: JSON.stringify(question) })).json();
}

/** The results of a subscription as they come, the result of anything else. */
export function told(key, question) {
  return subscribes(question) ? listened(key, question) : ask(key, question);
}

function subscribes({ query, operationName }) {
  try {
    return getOperationAST(parse(query), operationName)?.operation === "subscription";
  } catch {
    return false;
  }
}

/** Whoever stops listening leaves the door at once: a generator would first wait for the next result. */
function listened(key, question) {
  const leaving = new AbortController();
  const heardOf = results(key, question, leaving.signal);
  const over = { done: true, value: undefined };
  return {
    [Symbol.asyncIterator]() {
      return this;
    },
    next: () => heardOf.next().catch((error) => (leaving.signal.aborted ? over : Promise.reject(error))),
    return: async () => (leaving.abort(), over),
  };
}

async function* results(key, question, signal) {
  yield* heard(await sent("/graphql", key, { method: "POST", body: JSON.stringify(question), signal }, STREAM));
}

/** GraphiQL learns an operation's name late: just after a change of tabs it still gives the name of the tab before. */
export function current({ operationName, ...question }) {
  const named = new RegExp(`(query|mutation|subscription)\\s+${operationName}\\b`).test(question.query);
  return named ? { ...question, operationName } : question;
}

/** What the page needs once a key is in. Never throws: what went wrong is its `refusal`. */
export async function opened(key) {
  if (!SENDABLE.test(key)) return { ...SHUT, refusal: REFUSED };
  try {
    const { data, errors } = await ask(key, { query: ME });
    if (!data?.me) return { ...SHUT, refusal: refusal(errors) };
    const [schema, permissions] = await Promise.all([introspected(key), permitted(key)]);
    return { me: data.me, schema: described(schema, permissions), refusal: null };
  } catch {
    return { ...SHUT, refusal: AWAY };
  }
}

function refusal(errors) {
  const code = errors?.[0]?.extensions?.code;
  return code === "UNAUTHENTICATED" ? REFUSED : (errors?.[0]?.message ?? AWAY);
}

async function introspected(key) {
  return buildClientSchema((await ask(key, { query: getIntrospectionQuery() })).data);
}

async function permitted(key) {
  const reply = await sent("/graphiql/permissions.json", key);
  return reply.ok ? reply.json() : {};
}

function sent(address, key, more = {}, accept = JSON_TYPE) {
  const authorization = key ? { authorization: `Bearer ${key}` } : {};
  return fetch(address, { ...more, headers: { accept, "content-type": JSON_TYPE, ...authorization } });
}
