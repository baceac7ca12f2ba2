/** Send queries to Onedoor; a page needs nothing but fetch for this. */

export async function execute(apiKey, query, variables = {}) {
  const response = await fetch("/graphql", {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${apiKey}` },
    body: JSON.stringify({ query, variables }),
  });
  const { data = null, errors = [] } = await response.json();
  return { data, errors };
}

/** Execute a query page by page: return all nodes of its top-level list, with the errors of all pages. */
export async function executeAll(apiKey, query, list) {
  const result = { data: { [list]: { nodes: [] } }, errors: [] };
  let after = null;
  do {
    const { data, errors } = await execute(apiKey, query, { after });
    result.errors.push(...errors);
    if (!data?.[list]?.nodes) return { ...result, data: null };
    result.data[list].nodes.push(...data[list].nodes);
    after = data[list].pageInfo.hasNextPage ? data[list].pageInfo.endCursor : null;
  } while (after);
  return result;
}

export const denied = (errors) => errors.filter((error) => error.extensions?.code === "FORBIDDEN");
export const failed = (errors) => errors.filter((error) => error.extensions?.code !== "FORBIDDEN");

const DISJUNCTION = new Intl.ListFormat("en-GB", { type: "disjunction" });

/** Return who may see a field and whom to ask: "only for finance; ask finance (finance@acme.example) for access". */
export function describeAccess({ extensions }) {
  const lists = (extensions.groups ?? []).map((names) => DISJUNCTION.format(names));
  const groups = lists.length > 1 ? lists.map((names) => `(${names})`).join(" and ") : lists[0];
  const access = groups ? `only for ${groups}` : "not open to any group yet";
  const owners = new Set((extensions.groupOwners ?? []).map(({ owner, contact }) => `${owner} (${contact})`));
  const contact = DISJUNCTION.format(owners) || extensions.owner || (groups && `someone in ${groups}`);
  return contact ? `${access}; ask ${contact} for access` : access;
}
