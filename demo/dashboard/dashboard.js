/** Show the panels that the owner of an API key may see, and whom to ask for the rest. */
import { denied, describeAccess, execute, executeAll, failed } from "./client.js";
import { element } from "./draw.js";
import { PANELS } from "./panels.js";

const STORED_KEY = "onedoor.key";
const ME = "query Me { me { firstName lastName groups } }";
const byId = (id) => document.getElementById(id);

async function connect(apiKey) {
  const { data, errors } = await execute(apiKey, ME).catch(() => ({ data: null, errors: [] }));
  const person = data?.me;
  byId("key-form").hidden = Boolean(person);
  byId("person").hidden = !person;
  byId("note").textContent = person ? "" : describeRefusal(errors);
  byId("name").textContent = person ? describePerson(person) : "";
  byId("panels").replaceChildren(...(person ? PANELS.map((panel) => drawPanel(panel, apiKey)) : []));
}

function describePerson({ firstName, lastName, groups }) {
  return `${firstName} ${lastName} · ${groups.join(", ")}`;
}

function describeRefusal(errors) {
  if (errors[0]?.extensions?.code !== "UNAUTHENTICATED") return errors[0]?.message ?? "The server cannot be reached now.";
  return "This API key is not accepted: it may be mistyped, expired or revoked.";
}

/** Return the panel at once, and fill it when the response arrives. */
function drawPanel(panel, apiKey) {
  const body = element("div", { className: "body", textContent: "Loading…" });
  const caption = element("p", { className: "caption" });
  const section = element("section", { id: panel.id, className: panel.wide ? "wide" : "" }, [
    element("h2", { textContent: panel.title }),
    caption,
    body,
  ]);
  fill(panel, apiKey, caption, body).catch((reason) => {
    body.replaceChildren(note(`This panel cannot be shown now (${reason.message})`));
  });
  return section;
}

async function fill(panel, apiKey, caption, body) {
  const { query, allPagesOf } = panel;
  const { data, errors } = allPagesOf ? await executeAll(apiKey, query, allPagesOf) : await execute(apiKey, query);
  const rows = failed(errors).length || !data ? null : panel.rows(data);
  caption.textContent = rows ? panel.caption(rows) : "";
  const content = [...(rows ? [panel.draw(rows)].flat() : []), ...notes(errors)];
  body.replaceChildren(...(content.length ? content : [note("There is nothing to show.")]));
}

/** Return a sentence for each denied field, and for each source that did not answer. */
function notes(errors) {
  const denials = denied(errors).map(describeDenial);
  const failures = failed(errors).map((error) => `Not shown, because it would be incomplete: ${error.message}`);
  return [...new Set([...denials, ...failures])].map(note);
}

/** Return who sees what is denied: the panel itself, whose title says what it is, or a field in it. */
function describeDenial(error) {
  const access = describeAccess(error);
  return error.path?.length > 1 ? `${nameField(error)}: ${access}` : `${access[0].toUpperCase()}${access.slice(1)}`;
}

/** Return the name of a field such as `RevenueMonth.refunds` as "Refunds". */
function nameField({ extensions }) {
  const words = extensions.position.split(".").at(-1).replaceAll(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
  return words[0].toUpperCase() + words.slice(1);
}

function note(text) {
  return element("p", { className: "note", textContent: text });
}

function setKey(apiKey) {
  if (apiKey) sessionStorage.setItem(STORED_KEY, apiKey);
  else sessionStorage.removeItem(STORED_KEY);
  byId("key").value = "";
  if (apiKey) return connect(apiKey);
  byId("key-form").hidden = false;
  byId("person").hidden = true;
  byId("panels").replaceChildren();
  byId("note").textContent = "Your key stays in this tab and is forgotten when the tab is closed.";
}

byId("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  setKey(byId("key").value.trim());
});
byId("forget").addEventListener("click", () => setKey(""));
byId("refresh").addEventListener("click", () => setKey(sessionStorage.getItem(STORED_KEY)));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => setKey(sessionStorage.getItem(STORED_KEY)));
setKey(sessionStorage.getItem(STORED_KEY));
