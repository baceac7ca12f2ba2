/** Show a person who they are, what they may see, their key and their grants. */
import { drawAccess } from "./access.js";
import { mutate, query, setKey } from "./client.js";
import {
  announce,
  byId,
  chip,
  disclosure,
  element,
  expiry,
  facts,
  hint,
  paragraph,
  section,
  showRefusal,
  table,
  time,
} from "./elements.js";
import { mutationForm, OPTIONAL_REASON, showIssuedKey } from "./forms.js";
import { drawGrants } from "./grants.js";
import { openSession } from "./session.js";

const ME = `query Account {
  me {
    id firstName lastName email groups isAdmin ownerGroup attributes
    memberships { nodes { group source since } }
    key { id createdAt expiresAt secret usedAt }
  }
  groups(first: 500) { nodes { name purpose owner contact grantMaxHours exclusive } }
}`;

const SOURCES = {
  LOCAL: "given by an administrator",
  SCIM: "from the company's directory (SCIM)",
  LDAP: "from the company's directory (LDAP)",
  OIDC: "confirmed when you signed in",
};

const USED = "This link has been used, or its time is over. Ask whoever sent it for another.";

/** The code of a one-time link, which stands in the fragment: no server and no log sees it. */
const CLAIM = /^#code=(oc_\w+)$/;

async function drawAccount() {
  const { me, groups } = await query(ME);
  const register = groups.nodes ?? [];
  const grants = element("div");
  const access = element("div");
  byId("main").replaceChildren(drawPerson(me, register), drawKey(me.key), grants, access);
  const askFor = (group) => {
    const form = grants.querySelector("form.ask");
    form.elements.group.value = group;
    form.elements.group.dispatchEvent(new Event("change"));
    form.elements.reason.focus();
  };
  const parts = [
    [grants, drawGrants(grants, me, register)],
    [access, drawAccess(access, askFor)],
  ];
  await Promise.all(parts.map(([place, part]) => part.catch((reason) => showRefusal(place, reason))));
}

function drawPerson(me, register) {
  const attributes = Object.entries(me.attributes ?? {}).map(([name, values]) => `${name}: ${values.join(", ")}`);
  return section(
    "You",
    facts([
      ["Name", `${me.firstName} ${me.lastName}`],
      ["E-mail", me.email],
      ["Id in records", element("code", {}, me.id)],
      ["Attributes", attributes.join("; ")],
      ["Answered for by", me.ownerGroup],
    ]),
    me.isAdmin ? hint("You administer users and keys. That opens no data.") : null,
    element("h3", {}, "Your groups"),
    table(
      "Your groups",
      groupColumns(me, register),
      me.groups.map((name) => ({ name })),
    ),
  );
}

function groupColumns(me, register) {
  const purposes = new Map(register.map(({ name, purpose }) => [name, purpose]));
  const memberships = Map.groupBy(me.memberships?.nodes ?? [], ({ group }) => group);
  return [
    ["Group", ({ name }) => element("strong", {}, name)],
    ["For", ({ name }) => purposes.get(name)],
    ["Where from", ({ name }) => describeOrigins(name, memberships.get(name) ?? [])],
  ];
}

function describeOrigins(name, memberships) {
  if (name === "everyone") return "everybody is in it";
  if (!memberships.length) return "a grant, see below";
  return memberships
    .map(({ source, since }, index) => [index ? "; " : "", SOURCES[source], " since ", time(since)])
    .flat();
}

function drawKey(key) {
  return section(
    "Your key",
    facts([
      ["Key", [element("code", {}, key.id), " ", key.secret > 1 ? chip(`secret ${key.secret}`) : null]],
      ["Created", time(key.createdAt)],
      ["Expires", expiry(key.expiresAt)],
      ["Last used before", time(key.usedAt)],
    ]),
    disclosure(
      "Rotate my key",
      paragraph(
        "You get a new key, shown once, and this tab uses it from then on. The one of today stays valid for the " +
          "hours that you choose, so that what runs with it can be changed over. The date of expiry stays.",
      ),
      mutationForm({
        mutation: "rotateMyKey",
        button: "Rotate my key",
        select: "id key secret expiresAt",
        fields: [
          {
            name: "graceHours",
            label: "Hours that the key of today stays valid",
            kind: "number",
            min: 0,
            step: "any",
            value: "1",
          },
          OPTIONAL_REASON,
        ],
        done: takeKey,
      }),
    ),
  );
}

/** Use a key that was just issued, and show it. */
async function takeKey(issued) {
  setKey(issued.key);
  await openSession("/account", drawAccount);
  announce("You have a new key.");
  showIssuedKey(issued, "your account", "This tab uses it already. Put it wherever you keep your key now.");
}

/** Offer the key that a one-time link leads to; the code is gone from the address before anything else happens. */
function drawClaim(code) {
  const refusal = element("p", { role: "alert", class: "refusal" });
  const claim = element("button", { type: "button", class: "primary" }, "Get my key");
  claim.addEventListener("click", async () => {
    try {
      await takeKey(await mutate("claimKey", {}, "id key secret expiresAt", code));
    } catch (reason) {
      refusal.textContent = reason.code === "UNAUTHENTICATED" ? USED : reason.message;
    }
  });
  byId("issue").replaceChildren(
    section(
      "Your key is waiting",
      hint("The link that you followed gives it once. Have a safe place for it ready."),
      claim,
      refusal,
    ),
  );
}

function takeCode() {
  const code = CLAIM.exec(location.hash)?.[1];
  if (code) history.replaceState(null, "", location.pathname);
  return code;
}

const code = takeCode();
await openSession("/account", drawAccount);
if (code) drawClaim(code);
