/** Lead to the parts of the administration that the schema of the key's owner has, by the fragment of the address. */
import { getKey, loadRights, query, toSentence } from "../account/client.js";
import { announce, byId, element, link, paragraph, section, showRefusal } from "../account/elements.js";
import { openSession } from "../account/session.js";
import { drawSync, drawSyncs } from "./directory.js";
import { drawGrant, drawGrants } from "./grants.js";
import { drawGroup, drawGroups } from "./groups.js";
import { drawKeys } from "./keys.js";
import { drawUser } from "./user.js";
import { drawUsers } from "./users.js";

/** The parts of the navigation, each with the field that it needs; everybody sees grants, but few those of others. */
const PARTS = [
  ["grants", "Requests and grants", "Mutation.approveAccess"],
  ["users", "Users", "Query.userAccounts"],
  ["groups", "Groups", "Query.groupMemberships"],
  ["keys", "Keys", "Query.apiKeys"],
  ["directory", "Directory", "Query.directorySyncs"],
];

/** What draws each part, and each single thing: `#user/ID`. */
const VIEWS = {
  grants: { draw: drawGrants, part: "grants" },
  grant: { draw: drawGrant, part: "grants" },
  users: { draw: drawUsers, part: "users" },
  user: { draw: drawUser, part: "users" },
  groups: { draw: drawGroups, part: "groups" },
  group: { draw: drawGroup, part: "groups" },
  keys: { draw: drawKeys, part: "keys" },
  directory: { draw: drawSyncs, part: "directory" },
  sync: { draw: drawSync, part: "directory" },
};

const MUTATIONS = [
  "createUserAccount",
  "createServiceAccount",
  "importUserAccounts",
  "renameUserAccount",
  "changeUserAccountEmail",
  "setUserAccountAttributes",
  "deactivateUserAccount",
  "activateUserAccount",
  "joinGroups",
  "leaveGroups",
  "requestMembership",
  "createServiceKey",
  "rotateServiceKey",
  "extendApiKey",
  "revokeApiKey",
  "createKeyClaim",
  "adoptUserAccount",
  "approveAccess",
  "denyAccess",
  "forceReturnAccess",
  "approveDirectorySync",
  "dismissDirectorySync",
];

const REGISTER = "query Register { groups(first: 500) { nodes { name purpose sensitivity exclusive } } }";

let context = null;

async function open(me) {
  const [rights, { groups }] = await Promise.all([
    loadRights([...PARTS.map(([, , field]) => field), ...MUTATIONS.map((name) => `Mutation.${name}`)]),
    query(REGISTER),
  ]);
  const may = (name) => rights.get(`Mutation.${name}`)?.allowed ?? false;
  context = { me, rights, may, groups: groups.nodes ?? [], redraw: (text) => show(text) };
  if (!PARTS.some(isOpen)) return byId("main").replaceChildren(refuse(PARTS[1]));
  await show();
}

const isOpen = ([part, , field]) =>
  context.rights.get(field)?.allowed || (part === "grants" && context.me.groups.includes("audit"));

/** Say whom to ask for a part, or that there is none: a directory is in the schema once it is configured. */
function refuse([, title, field]) {
  const remedy = context.rights.get(field)?.remedy;
  return section(`${title}: not yours to see`, paragraph(remedy ? toSentence(remedy) : "There is none here."));
}

/** Show what the fragment names, and say what was done before. */
async function show(text = "") {
  const [name, id] = location.hash.slice(1).split("/");
  const view = VIEWS[name] ?? VIEWS[PARTS.find(isOpen)[0]];
  const part = PARTS.find(([name]) => name === view.part);
  announce(text);
  const place = element("div");
  byId("main").replaceChildren(navigation(view.part), place);
  if (!isOpen(part)) return place.append(refuse(part));
  try {
    place.append(...(await view.draw(context, decodeURIComponent(id ?? ""))));
  } catch (reason) {
    showRefusal(place, reason);
  }
  place.querySelector("h2")?.focus();
}

function navigation(current) {
  const links = PARTS.filter(isOpen).map(([part, title]) => {
    const shown = link(`#${part}`, title);
    if (part === current) shown.setAttribute("aria-current", "page");
    return shown;
  });
  return element("nav", { "aria-label": "Administration", class: "parts" }, links);
}

addEventListener("hashchange", () => {
  if (context && getKey()) {
    byId("issue").replaceChildren();
    show();
  }
});
await openSession("/admin", open);
