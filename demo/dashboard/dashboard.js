/** The page: a key in, the panels its holder may see out; where one may not, whom to ask. */
import { ask, askAll, failed, whom, withheld } from "./door.js";
import { element } from "./draw.js";
import { PANELS } from "./panels.js";

const KEY = "onedoor.key";
const ME = "query Me { me { firstName lastName groups } }";
const at = (id) => document.getElementById(id);

async function open(key) {
  const { data, errors } = await ask(key, ME).catch(() => ({ data: null, errors: [] }));
  const person = data?.me;
  at("key-form").hidden = Boolean(person);
  at("person").hidden = !person;
  at("note").textContent = person ? "" : refusal(errors);
  at("name").textContent = person ? `${person.firstName} ${person.lastName} · ${person.groups.join(", ")}` : "";
  at("panels").replaceChildren(...(person ? PANELS.map((panel) => drawn(panel, key)) : []));
}

function refusal(errors) {
  if (errors[0]?.extensions?.code !== "UNAUTHENTICATED") return errors[0]?.message ?? "The door cannot be reached now.";
  return "This key does not open the door: it may be mistyped, expired or revoked.";
}

/** The panel's place, at once; what is in it comes when the door has answered. */
function drawn(panel, key) {
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
  const { data, errors } = everyPageOf ? await askAll(key, question, everyPageOf) : await ask(key, question);
  const rows = failed(errors).length || !data ? null : panel.rows(data);
  words.textContent = rows ? panel.words(rows) : "";
  const shown = [...(rows ? [panel.draw(rows)].flat() : []), ...notes(errors)];
  body.replaceChildren(...(shown.length ? shown : [note("There is nothing to show.")]));
}

/** One sentence for each thing that was withheld, and for each source that did not answer. */
function notes(errors) {
  const kept = withheld(errors).map((each) => `${named(each)}: ${whom(each)}`);
  const broken = failed(errors).map((each) => `Not shown, for it would not be whole: ${each.message}`);
  return [...new Set([...kept, ...broken])].map(note);
}

/** `RevenueMonth.refunds` as "Refunds". */
function named({ extensions }) {
  const words = extensions.position.split(".").at(-1).replaceAll(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
  return words[0].toUpperCase() + words.slice(1);
}

function note(text) {
  return element("p", { className: "note", textContent: text });
}

function choose(key) {
  if (key) sessionStorage.setItem(KEY, key);
  else sessionStorage.removeItem(KEY);
  at("key").value = "";
  if (key) return open(key);
  at("key-form").hidden = false;
  at("person").hidden = true;
  at("panels").replaceChildren();
  at("note").textContent = "Your key stays in this tab and is forgotten with it.";
}

at("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  choose(at("key").value.trim());
});
at("forget").addEventListener("click", () => choose(""));
at("again").addEventListener("click", () => choose(sessionStorage.getItem(KEY)));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => choose(sessionStorage.getItem(KEY)));
choose(sessionStorage.getItem(KEY));
