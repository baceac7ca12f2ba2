/** Draw the register of groups, which is a file, and the members of one of them, which are not. */
import { query } from "../account/client.js";
import {
  contact,
  facts,
  hint,
  link,
  pagedTable,
  paragraph,
  section,
  table,
  time,
  disclosure,
} from "../account/elements.js";
import { mutationForm, REASON } from "../account/forms.js";
import { EVERYONE, nameUser } from "./users.js";

const GROUPS = `query Groups {
  groups(first: 500) { nodes { name purpose owner contact sensitivity exclusive } }
}`;

const GROUP = `query Group($name: ID!) {
  group(id: $name) {
    name purpose owner contact sensitivity staleAfterHours approvers exclusive grantMaxHours directoryGroups
  }
}`;

const MEMBERS = `query Members($name: String!, $after: String) {
  groupMemberships(where: {group: {eq: $name}}, orderBy: [{since: DESC}, {id: ASC}], first: 50, after: $after) {
    nodes { id source since confirmedAt account { id firstName lastName } }
    pageInfo { hasNextPage endCursor }
  }
}`;

const USER = { name: "user", label: "E-mail address, id, or name of a service", required: true };

const nameGroup = ({ name }) => link(`#group/${encodeURIComponent(name)}`, name);

const describeSensitivity = ({ sensitivity }) => (sensitivity === "SENSITIVE" ? "sensitive" : "normal");

export async function drawGroups() {
  const { groups } = await query(GROUPS);
  const columns = [
    ["Group", nameGroup],
    ["For", ({ purpose }) => purpose],
    ["Owner", ({ owner, contact: reached }) => [`${owner} `, contact(reached) ?? ""]],
    ["Kind", (group) => [describeSensitivity(group), group.exclusive ? ", one holder at a time" : ""].join("")],
  ];
  return [
    section(
      "Groups",
      hint("Groups are registered in groups.toml, which changes by review; who is in them changes here."),
      table("Groups", columns, groups.nodes ?? []),
    ),
  ];
}

export async function drawGroup(context, name) {
  const { group } = await query(GROUP, { name });
  if (!group) return [section("No group", paragraph("No group has this name."))];
  const load = async (after) => (await query(MEMBERS, { name, after })).groupMemberships ?? { nodes: [] };
  const columns = [
    ["Name", ({ account, id }) => nameUser(account, id)],
    ["Where from", ({ source }) => (source === "LOCAL" ? "an administrator" : `the directory (${source})`)],
    ["Since", ({ since }) => time(since)],
    ["Confirmed", ({ confirmedAt }) => time(confirmedAt)],
  ];
  return [
    section(
      group.name,
      facts([
        ["For", group.purpose],
        ["Owner", [`${group.owner} `, contact(group.contact) ?? ""]],
        ["Sensitivity", describeSensitivity(group)],
        ["Counts without word of the directory", group.staleAfterHours && `${group.staleAfterHours} h`],
        ["Fed by", group.directoryGroups?.join(", ")],
        [
          "Requests are decided by",
          group.approvers.length ? `access-review in ${group.approvers.join(", ")}` : "access-review",
        ],
        ["A grant lasts at most", `${group.grantMaxHours} h`],
        ["Holders of a grant", group.exclusive ? "one at a time" : null],
      ]),
    ),
    section("Members", await pagedTable("Members", columns, load, "Nobody is in it."), drawJoin(context, group)),
  ];
}

function drawJoin(context, { name, sensitivity, exclusive }) {
  if (name === EVERYONE) return null;
  if (sensitivity === "SENSITIVE") return exclusive ? null : drawRequest(context, name);
  if (!context.may("joinGroups")) return null;
  return disclosure(
    "Add a person",
    mutationForm({
      mutation: "joinGroups",
      button: `Add to ${name}`,
      input: { groups: [name] },
      select: "id firstName lastName",
      fields: [USER, { name: "until", label: "Until (for good, if empty)", kind: "datetime-local" }, REASON],
      done: ({ firstName, lastName }) => context.redraw(`${firstName} ${lastName} was added to ${name}.`),
    }),
  );
}

function drawRequest(context, name) {
  if (!context.may("requestMembership")) return null;
  return disclosure(
    "Ask to add a person",
    hint("The group is sensitive: its approvers decide."),
    mutationForm({
      mutation: "requestMembership",
      button: `Ask for ${name}`,
      input: { group: name },
      fields: [USER, REASON],
      done: () => context.redraw(`You have asked for ${name}: its approvers decide.`),
    }),
  );
}
