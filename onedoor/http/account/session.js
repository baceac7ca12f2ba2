/** Ask for the API key of this tab, show whose it is, and lead from page to page. */
import { getKey, query, setKey } from "./client.js";
import { byId, element, link, showRefusal } from "./elements.js";

const ME = "query Session { me { id firstName lastName groups } }";
/** Where people sign in with the company's account, if that is configured: the server writes it into the page. */
const SIGN_IN = document.documentElement.dataset.signIn;
const PRIVACY = "Your key stays in this tab and is forgotten when the tab is closed.";
const ADMINISTRATION = ["user-administration", "access-review", "audit"];

/** Whether a person has anything to do or to see at /admin. */
export const administers = ({ groups }) => groups.some((group) => ADMINISTRATION.includes(group));

/** Show the page of the key's owner by `draw`, now and for each other key; without a key, show where to enter one. */
export function openSession(page, draw) {
  const enter = async (apiKey) => {
    setKey(apiKey);
    byId("issue").replaceChildren();
    byId("status").textContent = apiKey ? "Connecting…" : PRIVACY;
    const { me, note } = apiKey ? await loadPerson() : { me: null, note: PRIVACY };
    byId("status").textContent = note;
    byId("session").replaceChildren(me ? showPerson(page, me, enter) : keyForm(enter));
    byId("main").replaceChildren();
    if (me) await draw(me).catch((reason) => showRefusal(byId("main"), reason));
  };
  return enter(getKey());
}

async function loadPerson() {
  try {
    return { me: (await query(ME)).me, note: "" };
  } catch (reason) {
    return { me: null, note: reason.message };
  }
}

function keyForm(enter) {
  const input = element("input", { id: "key", type: "password", placeholder: "od_…", autocomplete: "off" });
  const form = element(
    "form",
    { class: "row" },
    element("label", { for: "key" }, "API key"),
    input,
    element("button", { type: "submit", class: "primary" }, "Connect"),
    SIGN_IN ? link(SIGN_IN, "Sign in for a key") : null,
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    enter(input.value.trim());
  });
  return form;
}

function showPerson(page, me, enter) {
  const pages = [
    ["/account", "Account"],
    ...(administers(me) ? [["/admin", "Administration"]] : []),
    ["/graphiql", "GraphiQL"],
  ];
  const links = pages.map(([href, text]) => {
    const shown = link(href, text);
    if (href === page) shown.setAttribute("aria-current", "page");
    return shown;
  });
  return element(
    "div",
    { class: "row" },
    element("nav", { "aria-label": "Pages", class: "row" }, links),
    element("strong", {}, `${me.firstName} ${me.lastName}`),
    element("button", { type: "button", onclick: () => enter("") }, "Forget key"),
  );
}
