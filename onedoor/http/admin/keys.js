/** Draw the keys that are valid, those that expire first at the top. */
import { query } from "../account/client.js";
import { disclosure, element, expiry, hint, pagedTable, section, time } from "../account/elements.js";
import { mutationForm, REASON } from "../account/forms.js";
import { nameUser } from "./users.js";

const KEYS = `query Keys($now: DateTime!, $after: String) {
  apiKeys(
    where: {revokedAt: {isNull: true}, expiresAt: {gt: $now}}
    orderBy: [{expiresAt: ASC}, {id: ASC}]
    first: 50
    after: $after
  ) {
    nodes { id secret expiresAt rotatedAt usedAt account { id firstName lastName } }
    pageInfo { hasNextPage endCursor }
  }
}`;

export async function drawKeys(context) {
  const now = new Date().toISOString();
  const load = async (after) => (await query(KEYS, { now, after })).apiKeys ?? { nodes: [] };
  const columns = [
    ["User", ({ account, id }) => nameUser(account, id)],
    ["Key", ({ id, secret }) => [element("code", {}, id), ` secret ${secret}`]],
    ["Expires", ({ expiresAt }) => expiry(expiresAt)],
    ["Rotated", ({ rotatedAt }) => time(rotatedAt)],
    ["Last used", ({ usedAt }) => time(usedAt) ?? "never"],
    ["", (key) => (context.may("revokeApiKey") ? revokeForm(context, key) : null)],
  ];
  return [
    section(
      "Valid keys",
      hint("Those that expire first stand first. Open a user to extend a key."),
      await pagedTable("Valid keys", columns, load, "There is no valid key."),
    ),
  ];
}

function revokeForm(context, { id, account }) {
  const whose = account ? `${account.firstName} ${account.lastName}`.trim() : id;
  return disclosure(
    `Revoke the key of ${whose}`,
    mutationForm({
      mutation: "revokeApiKey",
      button: "Revoke for good",
      input: { key: id },
      fields: [REASON],
      danger: true,
      done: () => context.redraw(`The key of ${whose} was revoked.`),
    }),
  );
}
