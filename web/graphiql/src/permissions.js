/** Add to each field's description in a schema which groups may use it, and who owns it. */
import { isInputObjectType, isInterfaceType, isObjectType } from "graphql";

// A line, not a paragraph: lists of fields show the first paragraph alone.
const LINE_BREAK = "\\\n";
const DISJUNCTION = new Intl.ListFormat("en-GB", { type: "disjunction" });

/** Return the schema. `permissions` has, by `Type.field`, lists of groups (one of each is needed) and whom to ask. */
export function addPermissions(schema, permissions) {
  for (const type of Object.values(schema.getTypeMap())) {
    if (isObjectType(type) || isInterfaceType(type) || isInputObjectType(type)) {
      for (const field of Object.values(type.getFields())) {
        const permission = permissions[`${type.name}.${field.name}`];
        if (permission) field.description = describe(field.description, permission);
      }
    }
  }
  return schema;
}

/** Add access and owner to the first paragraph; of what has an owner of its own the server says so in another. */
function describe(description, { groups, owner, contact }) {
  const [first, ...rest] = (description ?? "").split("\n\n");
  const access = `**Access:** ${formatGroups(groups)}`;
  const whom = contact ? `${owner} (${contact})` : owner;
  const line = whom && !rest.length ? `${access} · **Owner:** ${whom}` : access;
  return [[first, line].filter(Boolean).join(LINE_BREAK), ...rest].join("\n\n");
}

/** Return "sales, support or finance"; for more than one list "(sales or finance) and (support)". */
export function formatGroups(groups) {
  const lists = groups.map((names) => DISJUNCTION.format(names) || "nobody");
  return lists.length > 1 ? lists.map((names) => `(${names})`).join(" and ") : (lists[0] ?? "nobody");
}
