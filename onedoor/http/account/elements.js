/** Build the elements of a page. Text is only ever set as text. */

const DAY = 24 * 60 * 60 * 1000;
const TIME = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short" });
const DATE = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium" });
const EMAIL = /^[^\s@]+@[^\s@]+$/;
const LINK = /^https?:\/\//;

export const byId = (id) => document.getElementById(id);

/** Return an element with its attributes, those that begin with `on` being listeners; null and false are left out. */
export function element(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [attribute, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (attribute.startsWith("on")) node.addEventListener(attribute.slice(2), value);
    else node.setAttribute(attribute, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return node;
}

/** Return a part of a page below a heading, which takes the focus when the part is shown anew. */
export function section(title, ...children) {
  return element("section", {}, element("h2", { tabindex: -1 }, title), ...children);
}

export const paragraph = (...children) => element("p", {}, ...children);

export const hint = (...children) => element("p", { class: "hint" }, ...children);

export const link = (href, text) => element("a", { href }, text);

/** Return something to open that holds the form of an act: nothing is done by one stray click. */
export function disclosure(summary, ...children) {
  return element("details", {}, element("summary", {}, summary), ...children);
}

/** Return names and values as a list; an empty value is left out. */
export function facts(pairs) {
  const shown = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return element(
    "dl",
    {},
    shown.map(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]),
  );
}

/** Return a table that turns into cards where the window is narrow; a column is its head and what shows a row. */
export function table(label, columns, rows, empty = "None.") {
  if (!rows.length) return hint(empty);
  const heads = columns.map(([head]) => element("th", { scope: "col", role: "columnheader" }, head));
  return element(
    "table",
    { "aria-label": label, role: "table" },
    element("thead", { role: "rowgroup" }, element("tr", { role: "row" }, heads)),
    element(
      "tbody",
      { role: "rowgroup" },
      rows.map((row) => tableRow(columns, row)),
    ),
  );
}

function tableRow(columns, row) {
  return element(
    "tr",
    { role: "row" },
    columns.map(([head, show]) => tableCell(head, show(row))),
  );
}

function tableCell(head, content) {
  const shown = content === null || content === undefined || content === "" ? null : element("div", {}, content);
  return element("td", { role: "cell", "data-head": head }, shown);
}

/** Return a table and a button that adds the next page to it; `load` returns a connection after a cursor. */
export async function pagedTable(label, columns, load, empty) {
  const { nodes, pageInfo } = await load(null);
  const shown = table(label, columns, nodes ?? [], empty);
  if (!pageInfo?.hasNextPage) return [shown];
  const more = element("button", { type: "button" }, "Show more");
  let after = pageInfo.endCursor;
  more.addEventListener("click", async () => {
    const page = await load(after).catch((reason) => announce(reason.message));
    if (!page) return;
    shown.querySelector("tbody").append(...(page.nodes ?? []).map((row) => tableRow(columns, row)));
    after = page.pageInfo?.endCursor;
    more.hidden = !page.pageInfo?.hasNextPage;
  });
  return [shown, more];
}

export function time(text) {
  return text ? element("time", { datetime: text }, TIME.format(new Date(text))) : null;
}

/** Return a date with the days that are left until then. */
export function expiry(text) {
  const days = Math.floor((new Date(text) - Date.now()) / DAY);
  const left = days < 0 ? "expired" : days === 0 ? "within a day" : days === 1 ? "in a day" : `in ${days} days`;
  return [element("time", { datetime: text }, DATE.format(new Date(text))), ` (${left})`];
}

/** Return a name with its state for the eye; the text says it, too. */
export const chip = (text, kind = "") => element("span", { class: `chip ${kind}` }, text);

/** Return how a team is reached, as a link where it is an address. */
export function contact(text) {
  if (!text) return null;
  if (EMAIL.test(text)) return link(`mailto:${text}`, text);
  return LINK.test(text) ? link(text, text) : text;
}

/** Show in place of a part why it cannot be shown now; the others stay as they are. */
export function showRefusal(place, reason) {
  place.replaceChildren(section("This cannot be shown now", paragraph(reason.message)));
}

/** Say what was done, to the eye and to a screen reader. */
export function announce(text) {
  byId("status").textContent = text;
}
