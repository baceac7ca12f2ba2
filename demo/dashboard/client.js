/** Send queries to Onedoor; a page needs nothing for this but fetch. */

export async function execute(key, query, variables = {}) {
  const reply = await fetch("/graphql", {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${key}` },
    body: JSON.stringify({ query, variables }),
  });
  const { data = null, errors = [] } = await reply.json();
  return { data, errors };
}

/** Execute a query page by page: return its one top-level list whole, with the errors of all pages. */
export async function executeAll(key, query, list) {
  const result = { data: { [list]: { nodes: [] } }, errors: [] };
  let after = null;
  do {
    const { data, errors } = await execute(key, query, { after });
    result.errors.push(...errors);
    if (!data?.[list]?.nodes) return { ...result, data: null };
    result.data[list].nodes.push(...data[list].nodes);
    after = data[list].pageInfo?.hasNextPage ? data[list].pageInfo.endCursor : null;
  } while (after);
  return result;
}

export const denied = (errors) => errors.filter((error) => error.extensions?.code === "FORBIDDEN");
export const failed = (errors) => errors.filter((error) => error.extensions?.code !== "FORBIDDEN");

const EITHER = new Intl.ListFormat("en-GB", { type: "disjunction" });

/** Return who may see a field and whom to ask: "for finance or sales; ask finance systems". */
export function describeAccess({ extensions }) {
  const groups = (extensions.groups ?? []).map((names) => EITHER.format(names)).join(", and for ");
  return `for ${groups || "nobody yet"}; ask ${extensions.owner ?? `someone in ${groups}`}`;
}
