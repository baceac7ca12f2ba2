/** A schema and its permissions in, the same schema out, each field's description saying who may see it. */
import { isInputObjectType, isInterfaceType, isObjectType } from "graphql";

// A line, not a paragraph: lists of fields show the first paragraph alone.
const BREAK = "\\\n";
const EITHER = new Intl.ListFormat("en-GB", { type: "disjunction" });

/** `permissions` holds, by `Type.field`, the groups (any one of each list will do) and the owner to ask. */
export function described(schema, permissions) {
  for (const type of Object.values(schema.getTypeMap())) {
    if (isObjectType(type) || isInterfaceType(type) || isInputObjectType(type)) {
      for (const field of Object.values(type.getFields())) {
        const permission = permissions[`${type.name}.${field.name}`];
        if (permission) field.description = [field.description, told(permission)].filter(Boolean).join(BREAK);
      }
    }
  }
  return schema;
}

function told({ groups, owner }) {
  const seen = `**Who may see:** ${inWords(groups)}`;
  return owner ? `${seen} · **Ask:** ${owner}` : seen;
}

/** "sales, support or finance", and where more than one list must be met: "(sales or finance) and (support)". */
export function inWords(groups) {
  const each = groups.map((names) => EITHER.format(names) || "nobody");
  return each.length > 1 ? each.map((names) => `(${names})`).join(" and ") : (each[0] ?? "nobody");
}
