/** Draw the list of users, and the forms that add to it. */
import { query } from "../account/client.js";
import { chip, disclosure, element, hint, link, pagedTable, section, table, time } from "../account/elements.js";
import { mutationForm, REASON } from "../account/forms.js";

const USERS = `query Users($where: UserAccountWhere, $after: String) {
  userAccounts(where: $where, orderBy: [{lastName: ASC}, {id: ASC}], first: 50, after: $after) {
    nodes {
      id firstName lastName email ownerGroup createdAt deactivatedAt
      memberships(first: 20) { nodes { id group } }
    }
    pageInfo { hasNextPage endCursor }
  }
}`;

export const EVERYONE = "everyone";

/** Return the name of a user as a link to all that is known of them. */
export function nameUser(account, id = account?.id) {
  if (!account) return element("code", {}, id);
  return link(`#user/${encodeURIComponent(account.id)}`, `${account.firstName} ${account.lastName}`.trim());
}

const isSensitive = ({ sensitivity }) => sensitivity === "SENSITIVE";

/** Return the groups that an administrator gives alone as choices, `everyone` going without saying. */
export const chooseGroups = ({ groups }, label = "Groups") => ({
  name: "groups",
  label,
  kind: "choices",
  options: groups.filter((group) => group.name !== EVERYONE && !isSensitive(group)).map(({ name }) => [name, name]),
});

/** Return the sensitive groups, whose approvers decide who is in them, as options. */
export const listSensitiveGroups = ({ groups }) =>
  groups.filter((group) => isSensitive(group) && !group.exclusive).map(({ name }) => [name, name]);

export async function drawUsers(context) {
  const list = element("div");
  const input = element("input", {
    id: "user-search",
    type: "search",
    autocomplete: "off",
    placeholder: "a name or an address",
  });
  const search = element(
    "form",
    { class: "row", role: "search" },
    element("label", { for: "user-search" }, "Find a user"),
    input,
    element("button", { type: "submit" }, "Find"),
  );
  const draw = async () => list.replaceChildren(...(await drawList(input.value.trim())));
  search.addEventListener("submit", (event) => {
    event.preventDefault();
    draw();
  });
  await draw();
  return [section("Users", search, list), ...(context.may("createUserAccount") ? [drawAdding(context)] : [])];
}

function drawList(text) {
  const words = text.split(/\s+/).filter(Boolean);
  const contains = (word) => ["firstName", "lastName", "email"].map((column) => ({ [column]: { iContains: word } }));
  const where = words.length ? { and: words.map((word) => ({ or: contains(word) })) } : null;
  const load = async (after) => (await query(USERS, { where, after })).userAccounts ?? { nodes: [] };
  const columns = [
    ["Name", nameUser],
    ["E-mail", ({ email, ownerGroup }) => (ownerGroup ? `service of ${ownerGroup}` : email)],
    ["Groups", ({ memberships }) => nameGroups(memberships?.nodes ?? [])],
    ["Since", ({ createdAt }) => time(createdAt)],
    ["State", ({ deactivatedAt }) => (deactivatedAt ? chip("deactivated", "denied") : chip("active", "active"))],
  ];
  return pagedTable("Users", columns, load, "Nobody of that name.");
}

const nameGroups = (memberships) => [...new Set(memberships.map(({ group }) => group))].join(", ");

function drawAdding(context) {
  const created = ({ id, firstName, lastName }) => {
    history.pushState(null, "", `#user/${encodeURIComponent(id)}`);
    context.redraw(`${firstName} ${lastName} was created, without a key.`);
  };
  const select = "id firstName lastName";
  const groups = chooseGroups(context);
  return section(
    "Add",
    disclosure(
      "Add a person",
      mutationForm({
        mutation: "createUserAccount",
        button: "Add the person",
        select,
        fields: [
          { name: "firstName", label: "Given name", required: true },
          { name: "lastName", label: "Family name", required: true },
          { name: "email", label: "E-mail address", kind: "email", required: true },
          groups,
          REASON,
        ],
        done: created,
      }),
    ),
    disclosure(
      "Add a service",
      mutationForm({
        mutation: "createServiceAccount",
        button: "Add the service",
        select,
        fields: [
          { name: "name", label: "Name", required: true, about: "Small letters, digits and -." },
          {
            name: "ownerGroup",
            label: "The group that answers for it",
            kind: "select",
            required: true,
            options: context.groups.filter(({ name }) => name !== EVERYONE).map(({ name }) => [name, name]),
          },
          groups,
          REASON,
        ],
        done: created,
      }),
    ),
    disclosure("Import people from a CSV file", ...drawImport(context)),
  );
}

function drawImport(context) {
  const report = element("div", { role: "status" });
  const form = mutationForm({
    mutation: "importUserAccounts",
    button: "Import",
    select:
      "id applied created updated unchanged refused lines(first: 1000) { nodes { id line email outcome message } }",
    fields: [
      { name: "csv", label: "CSV file", kind: "file", accept: ".csv,text/csv", required: true },
      { name: "dryRun", label: "Report only, change nothing", kind: "checkbox", checked: true },
      REASON,
    ],
    done: (result) => report.replaceChildren(...describeImport(result)),
  });
  return [
    hint(
      "Its first line names the columns: email, first_name, last_name, and if you like groups and attribute:NAME, " +
        "whose values are divided by blanks. All lines are applied or none.",
    ),
    form,
    report,
  ];
}

function describeImport({ applied, created, updated, unchanged, refused, lines }) {
  const counts = `${created} new, ${updated} brought up to date, ${unchanged} unchanged, ${refused} refused`;
  const columns = [
    ["Line", ({ line }) => String(line)],
    ["E-mail", ({ email }) => email],
    ["Outcome", ({ outcome }) => outcome.toLowerCase()],
    ["Why", ({ message }) => message],
  ];
  return [
    element("p", {}, `${applied ? "Applied" : "Nothing was changed"}: ${counts}.`),
    table("Lines", columns, lines?.nodes ?? []),
  ];
}
