/** Send operations to /graphql with the API key of this tab: all that the pages know and do goes this way. */

const STORED_KEY = "onedoor.key";
const NOT_ACCEPTED = "This API key is not accepted: it may be mistyped, expired or revoked.";
const UNREACHABLE = "The server cannot be reached now. Look whether it was done before you try again.";

/** What the server refused, in its own words; `code` as in docs/errors.md. */
export class Refusal extends Error {
  constructor(message, code) {
    super(message);
    this.code = code;
  }
}

export const getKey = () => sessionStorage.getItem(STORED_KEY) ?? "";

/** Keep a key for this tab alone, as GraphiQL does; an empty one is forgotten. */
export function setKey(apiKey) {
  if (apiKey) sessionStorage.setItem(STORED_KEY, apiKey);
  else sessionStorage.removeItem(STORED_KEY);
}

/** Return the data of a query, whose parts are null where they are denied. Throws Refusal for any other error. */
export async function query(document, variables = {}) {
  const { data, errors } = await send(document, variables, getKey());
  const failed = errors.filter(({ extensions }) => extensions?.code !== "FORBIDDEN");
  if (!data || failed.length) throw toRefusal(failed.length ? failed : errors);
  return data;
}

/** Carry out a mutation, each of which has one input, and return its row. Throws Refusal. */
export async function mutate(name, input, selection, apiKey = getKey()) {
  const type = `${name[0].toUpperCase()}${name.slice(1)}Input`;
  const document = `mutation Page($input: ${type}!) { ${name}(input: $input) { ${selection} } }`;
  const { data, errors } = await send(document, { input }, apiKey);
  if (!data?.[name]) throw toRefusal(errors);
  return data[name];
}

/** Return by coordinate what the owner of the key may use; what the schema does not have is missing. */
export async function loadRights(coordinates) {
  const { myAccess } = await query(
    `query Rights($coordinates: [String!]) {
      myAccess(where: {coordinate: {in: $coordinates}}, first: 100) { nodes { coordinate allowed remedy } }
    }`,
    { coordinates },
  );
  return new Map((myAccess?.nodes ?? []).map((access) => [access.coordinate, access]));
}

async function send(document, variables, apiKey) {
  if (!/^[\x21-\x7e]+$/.test(apiKey)) throw new Refusal(NOT_ACCEPTED, "UNAUTHENTICATED");
  try {
    const response = await fetch("/graphql", {
      method: "POST",
      headers: { "content-type": "application/json", authorization: `Bearer ${apiKey}` },
      body: JSON.stringify({ query: document, variables }),
    });
    const { data = null, errors = [] } = await response.json();
    return { data, errors };
  } catch {
    throw new Refusal(UNREACHABLE, "UNREACHABLE");
  }
}

function toRefusal(errors) {
  const code = errors[0]?.extensions?.code;
  if (code === "UNAUTHENTICATED") return new Refusal(NOT_ACCEPTED, code);
  const messages = [...new Set(errors.map(({ message }) => toSentence(message)))];
  return new Refusal(messages.join(" ") || UNREACHABLE, code);
}

/** Return what the server says as a sentence, which leads to the form instead of to the mutation. */
export function toSentence(message) {
  const text = message.replaceAll("send `requestAccess`", "ask for access on the account page").replaceAll("`", "");
  return `${text[0].toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}`;
}
