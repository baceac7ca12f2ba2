/** A question in, its answer out. All a page needs to speak with the door is fetch. */

export async function ask(key, query, variables = {}) {
  const reply = await fetch("/graphql", {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${key}` },
    body: JSON.stringify({ query, variables }),
  });
  const { data = null, errors = [] } = await reply.json();
  return { data, errors };
}

/** As ask, page after page: the one list that `query` asks for at its top, whole, with what went wrong on any page. */
export async function askAll(key, query, list) {
  const found = { data: { [list]: { nodes: [] } }, errors: [] };
  let after = null;
  do {
    const { data, errors } = await ask(key, query, { after });
    found.errors.push(...errors);
    if (!data?.[list]?.nodes) return { ...found, data: null };
    found.data[list].nodes.push(...data[list].nodes);
    after = data[list].pageInfo?.hasNextPage ? data[list].pageInfo.endCursor : null;
  } while (after);
  return found;
}

export const withheld = (errors) => errors.filter((each) => each.extensions?.code === "FORBIDDEN");
export const failed = (errors) => errors.filter((each) => each.extensions?.code !== "FORBIDDEN");

const EITHER = new Intl.ListFormat("en-GB", { type: "disjunction" });

/** "for finance or sales; ask finance systems" */
export function whom({ extensions }) {
  const groups = (extensions.groups ?? []).map((names) => EITHER.format(names)).join(", and for ");
  return `for ${groups || "nobody yet"}; ask ${extensions.owner ?? `someone in ${groups}`}`;
}
