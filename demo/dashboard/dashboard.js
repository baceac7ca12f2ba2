/** Show the panels that the holder of a key may see, and whom to ask about the rest. */
import { denied, describeAccess, execute, executeAll, failed } from "./client.js";
import { element } from "./draw.js";
import { PANELS } from "./panels.js";

const KEY = "onedoor.key";
const ME = "query Me { me { firstName lastName groups } }";
const byId = (id) => document.getElementById(id);

async function open(key) {
  const { data, errors } = await execute(key, ME).catch(() => ({ data: null, errors: [] }));
  const person = data?.me;
  byId("key-form").hidden = Boolean(person);
  byId("person").hidden = !person;
  byId("note").textContent = person ? "" : refusal(errors);
  byId("name").textContent = person ? `${person.firstName} ${person.lastName} · ${person.groups.join(", ")}` : "";
  byId("panels").replaceChildren(...(person ? PANELS.map((panel) => drawPanel(panel, key)) : []));
}

function refusal(errors) {
  if (errors[0]?.extensions?.code !== "UNAUTHENTICATED") return errors[0]?.message ?? "Onedoor cannot be reached now.";
  return "This key is not accepted: it may be mistyped, expired or revoked.";
}

/** Return the panel at once, and fill it when the answer comes. */
function drawPanel(panel, key) {
  const body = element("div", { className: "body", textContent: "Asking…" });
  const words = element("p", { className: "words" });
  const place = element("section", { id: panel.id, className: panel.wide ? "wide" : "" }, [
    element("h2", { textContent: panel.title }),
    words,
    body,
  ]);
  fill(panel, key, words, body).catch((reason) => {
    body.replaceChildren(note(`This panel cannot be shown now (${reason.message})`));
  });
  return place;
}

async function fill(panel, key, words, body) {
  const { question, everyPageOf } = panel;
  const { data, errors } = everyPageOf ? await executeAll(key, question, everyPageOf) : await execute(key, question);
  const rows = failed(errors).length || !data ? null : panel.rows(data);
  words.textContent = rows ? panel.words(rows) : "";
  const shown = [...(rows ? [panel.draw(rows)].flat() : []), ...notes(errors)];
  body.replaceChildren(...(shown.length ? shown : [note("There is nothing to show.")]));
}

/** Return a sentence for each denied field, and for each source that did not answer. */
function notes(errors) {
  const refusals = denied(errors).map((error) => `${nameField(error)}: ${describeAccess(error)}`);
  const failures = failed(errors).map((error) => `Not shown, for it would not be whole: ${error.message}`);
  return [...new Set([...refusals, ...failures])].map(note);
}

/** Return the name of a field such as `RevenueMonth.refunds` as "Refunds". */
function nameField({ extensions }) {
  const words = extensions.position.split(".").at(-1).replaceAll(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
  return words[0].toUpperCase() + words.slice(1);
}

function note(text) {
  return element("p", { className: "note", textContent: text });
}

function choose(key) {
  if (key) sessionStorage.setItem(KEY, key);
  else sessionStorage.removeItem(KEY);
  byId("key").value = "";
  if (key) return open(key);
  byId("key-form").hidden = false;
  byId("person").hidden = true;
  byId("panels").replaceChildren();
  byId("note").textContent = "Your key stays in this tab and is forgotten with it.";
}

byId("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  choose(byId("key").value.trim());
});
byId("forget").addEventListener("click", () => choose(""));
byId("again").addEventListener("click", () => choose(sessionStorage.getItem(KEY)));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => choose(sessionStorage.getItem(KEY)));
choose(sessionStorage.getItem(KEY));
