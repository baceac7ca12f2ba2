/** Show what the person may see, type by type, and whom to ask for the rest. */
import { query } from "./client.js";
import { chip, contact, disclosure, element, hint, section } from "./elements.js";

/** All that rows are read by: what is generated for filters and pages, and inputs of mutations, have the same rules. */
const ACCESS = `query Access($after: String) {
  myAccess(
    where: {generated: {eq: false}, argumentName: {isNull: true}, not: {typeName: {endsWith: "Input"}}}
    first: 1000
    after: $after
  ) {
    nodes { typeName fieldName allowed masked missing owner contact }
    pageInfo { hasNextPage endCursor }
  }
}`;

const TITLE = "What you may see";

const EXTENTS = [
  ["all", "All of it", "active"],
  ["part", "In part", "partly"],
  ["none", "Not yours", "denied"],
];

/** Draw the part of the page into a place; `askFor` leads to the request for a group. */
export async function drawAccess(place, askFor) {
  place.replaceChildren(section(TITLE, hint("Loading…")));
  const types = Map.groupBy(await loadAccess(), ({ typeName }) => typeName);
  const drawn = [...types].map(([name, entries]) =>
    drawType(
      name,
      entries.filter(({ fieldName }) => fieldName),
      askFor,
    ),
  );
  const extents = EXTENTS.map((extent) => drawExtent(extent, drawn));
  const search = element("input", {
    id: "search",
    type: "search",
    placeholder: "Customer, salary, …",
    autocomplete: "off",
  });
  search.addEventListener("input", () => {
    const wanted = search.value.trim().toLowerCase();
    for (const { node, words } of drawn) node.hidden = !words.includes(wanted);
    for (const extent of extents) extent.count(wanted !== "");
  });
  place.replaceChildren(
    section(
      TITLE,
      hint("What is not yours is null in your answers, with the reason; no source is read for it."),
      element("div", { class: "field" }, element("label", { for: "search" }, "Find a type or a field"), search),
      extents.map(({ node }) => node),
    ),
  );
}

async function loadAccess() {
  const entries = [];
  let page = { hasNextPage: true, endCursor: null };
  while (page.hasNextPage) {
    const { myAccess } = await query(ACCESS, { after: page.endCursor });
    entries.push(...(myAccess?.nodes ?? []));
    page = myAccess?.pageInfo ?? { hasNextPage: false };
  }
  return entries.sort((a, b) => a.typeName.localeCompare(b.typeName));
}

/** Return the types of one extent below a line that counts those that are shown, and opens while one is searched. */
function drawExtent([extent, title, kind], drawn) {
  const types = drawn.filter((type) => type.extent === extent).map((type) => type.node);
  const number = chip("", kind);
  const node = disclosure([title, " ", number], types);
  const count = (open) => {
    const shown = types.filter((type) => !type.hidden).length;
    number.textContent = shown === 1 ? "1 type" : `${shown} types`;
    node.open = open && shown > 0;
  };
  count(false);
  return { node, count };
}

function drawType(name, fields, askFor) {
  const denied = fields.filter(({ allowed }) => !allowed).length;
  const extent = denied === 0 ? "all" : denied === fields.length ? "none" : "part";
  const note =
    extent === "part" ? element("span", { class: "hint" }, ` all but ${denied} of ${fields.length} fields`) : null;
  const node = element("details", { class: "type" }, element("summary", {}, element("strong", {}, name), note));
  node.addEventListener("toggle", () => node.append(...drawFields(fields, askFor)), { once: true });
  return { extent, node, words: [name, ...fields.map(({ fieldName }) => fieldName)].join(" ").toLowerCase() };
}

function drawFields(fields, askFor) {
  const names = fields
    .filter(({ allowed }) => allowed)
    .map(({ fieldName, masked }) => (masked ? `${fieldName} (a part of each value)` : fieldName));
  const denied = Map.groupBy(
    fields.filter(({ allowed }) => !allowed),
    ({ missing }) => JSON.stringify(missing),
  );
  return [
    ...(names.length ? [element("p", {}, "You may use ", element("code", {}, names.join(", ")), ".")] : []),
    ...[...denied.values()].map((group) => drawDenied(group, askFor)),
  ];
}

/** Return the fields that the same groups would open, whom they belong to, and the way to the request. */
function drawDenied(fields, askFor) {
  const [{ missing, owner, contact: reached }] = fields;
  const groups = missing.length === 1 ? missing[0].split(/, | or /) : [];
  return element(
    "p",
    { class: "denied" },
    element("code", {}, fields.map(({ fieldName }) => fieldName).join(", ")),
    missing.length ? ` for ${missing.join(" and ")}. ` : " for nobody yet. ",
    owner ? ["It belongs to ", owner, reached ? [" (", contact(reached), ")"] : "", ". "] : null,
    groups.map((group) => element("button", { type: "button", onclick: () => askFor(group) }, `Ask for ${group}`)),
  );
}
