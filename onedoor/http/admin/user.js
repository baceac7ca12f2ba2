/** Draw one user: groups, key, acts, and what was changed. */
import { query } from "../account/client.js";
import {
  chip,
  disclosure,
  element,
  expiry,
  facts,
  hint,
  paragraph,
  section,
  table,
  time,
} from "../account/elements.js";
import { mutationForm, REASON, showIssuedKey } from "../account/forms.js";
import { chooseGroups, EVERYONE, listSensitiveGroups } from "./users.js";

const USER = `query User($id: ID!) {
  userAccount(id: $id) {
    id firstName lastName email ownerGroup attributes createdAt deactivatedAt
    memberships(first: 200) { nodes { id group source since confirmedAt } }
    keys(first: 50, orderBy: [{createdAt: DESC}]) {
      nodes { id secret createdAt expiresAt revokedAt rotatedAt usedAt formerSecretUntil }
    }
    changes(first: 50, orderBy: [{at: DESC}]) { nodes { id subjectType subject verb at actor reason } }
  }
}`;

const GRACE = {
  name: "graceHours",
  label: "Hours that the key before stays valid after the first use of the new one",
  kind: "number",
  min: 0,
  step: "any",
  value: "1",
};

const FIRST_KEY = "They get their key by signing in or by a link, or it is made at the server: no page shows it to others.";

const DAYS = { name: "days", label: "Days that it lasts", kind: "number", min: 1, value: "90" };

export async function drawUser(context, id) {
  const { userAccount: user } = await query(USER, { id });
  if (!user) return [section("Nobody", paragraph("No user has this id."))];
  const name = `${user.firstName} ${user.lastName}`.trim();
  const acts = new Acts({ context, user, name });
  return [
    section(
      name,
      facts([
        [
          "State",
          user.deactivatedAt
            ? [chip("deactivated", "denied"), " ", time(user.deactivatedAt)]
            : chip("active", "active"),
        ],
        ["E-mail", user.ownerGroup ? null : user.email],
        ["Service of", user.ownerGroup],
        ["Id in records", element("code", {}, user.id)],
        ["Attributes", describeAttributes(user.attributes)],
        ["Created", time(user.createdAt)],
      ]),
      acts.account(),
    ),
    section("Groups", drawMemberships(acts, user), acts.join(), acts.requestMembership()),
    section("Keys", drawKeys(acts, user.keys?.nodes ?? [])),
    section("Changes", drawChanges(user.changes?.nodes ?? [])),
  ];
}

const describeAttributes = (attributes) =>
  Object.entries(attributes ?? {})
    .map(([name, values]) => `${name}: ${values.join(", ")}`)
    .join("; ");

function drawMemberships(acts, { memberships }) {
  const columns = [
    ["Group", ({ group }) => element("strong", {}, group)],
    ["Where from", ({ source }) => (source === "LOCAL" ? "an administrator" : `the directory (${source})`)],
    ["Since", ({ since }) => time(since)],
    ["Confirmed", ({ confirmedAt }) => time(confirmedAt)],
    ["", ({ group }) => (group === EVERYONE ? null : acts.leave(group))],
  ];
  return table("Groups", columns, memberships?.nodes ?? []);
}

function drawKeys(acts, keys) {
  const valid = keys.find((key) => !key.revokedAt && new Date(key.expiresAt) > new Date());
  const columns = [
    ["Key", ({ id, secret }) => [element("code", {}, id), ` secret ${secret}`]],
    ["State", ({ revokedAt, expiresAt }) => (revokedAt ? ["revoked ", time(revokedAt)] : expiry(expiresAt))],
    ["Created", ({ createdAt }) => time(createdAt)],
    ["Rotated", ({ rotatedAt }) => time(rotatedAt)],
    ["Last used", ({ usedAt }) => time(usedAt) ?? "never"],
  ];
  return [table("Keys", columns, keys, "There was never a key."), ...acts.key(valid)];
}

/** Say what was done to what; of a membership, `subject` is the user and the group. */
function describeChange({ subjectType, verb, subject }) {
  const group = subjectType === "Membership" ? ` of ${subject.split("/").at(-1)}` : "";
  return `${verb} ${subjectType.toLowerCase()}${group}`;
}

function drawChanges(changes) {
  const columns = [
    ["When", ({ at }) => time(at)],
    ["What", describeChange],
    ["By", ({ actor }) => (actor ? element("code", {}, actor) : null)],
    ["Why", ({ reason }) => reason],
  ];
  return table("Changes", columns, changes);
}

/** The forms of one user, each of which is there if the mutation is allowed. */
class Acts {
  constructor({ context, user, name }) {
    Object.assign(this, { context, user, name });
  }

  form(mutation, summary, options) {
    if (!this.context.may(mutation)) return null;
    const form = mutationForm({ mutation, button: summary, input: { user: this.user.id }, ...options });
    return disclosure(summary, options.about ? hint(options.about) : null, form);
  }

  done(text) {
    return () => this.context.redraw(text);
  }

  /** Show the key that was issued beside the user as they are now. */
  issued() {
    return async (row) => {
      await this.context.redraw(`${this.name} has a new key.`);
      showIssuedKey(row, this.name, "Hand it over on a way that nobody else reads.");
    };
  }

  account() {
    const { user, name } = this;
    const service = user.ownerGroup !== null;
    if (user.deactivatedAt) {
      return this.form("activateUserAccount", "Activate again", {
        about: "In the groups of before, without a key.",
        fields: [REASON],
        done: this.done(`${name} is active again.`),
      });
    }
    return [
      service ? null : this.rename(),
      service ? null : this.changeEmail(),
      this.setAttribute(),
      service ? null : this.adopt(),
      this.form("deactivateUserAccount", "Deactivate", {
        about: "The key is revoked and what runs with it ends, within a second.",
        fields: [REASON],
        danger: true,
        done: this.done(`${name} was deactivated.`),
      }),
    ];
  }

  rename() {
    return this.form("renameUserAccount", "Rename", {
      fields: [
        { name: "firstName", label: "Given name", required: true, value: this.user.firstName },
        { name: "lastName", label: "Family name", required: true, value: this.user.lastName },
        REASON,
      ],
      done: this.done("The name was changed."),
    });
  }

  changeEmail() {
    return this.form("changeUserAccountEmail", "Change the address", {
      fields: [{ name: "email", label: "New e-mail address", kind: "email", required: true }, REASON],
      done: this.done("The address was changed."),
    });
  }

  setAttribute() {
    return this.form("setUserAccountAttributes", "Set an attribute", {
      about: "Row rules compare columns with it. No values remove it.",
      fields: [
        {
          name: "attributes",
          label: "Name and values, such as: region north south",
          kind: "attribute",
          required: true,
        },
        REASON,
      ],
      done: this.done("The attribute was set."),
    });
  }

  adopt() {
    const source = {
      name: "source",
      label: "Directory",
      kind: "select",
      required: true,
      options: [
        ["SCIM", "SCIM"],
        ["LDAP", "LDAP"],
      ],
    };
    return this.form("adoptUserAccount", "Hand over to the directory", {
      about: "The directory then updates and deactivates them.",
      fields: [source, REASON],
      done: this.done(`${this.name} belongs to the directory now.`),
    });
  }

  join() {
    if (this.user.deactivatedAt) return null;
    return this.form("joinGroups", "Add to groups", {
      fields: [
        chooseGroups(this.context),
        { name: "until", label: "Until (for good, if empty)", kind: "datetime-local" },
        REASON,
      ],
      done: this.done(`${this.name} was added.`),
    });
  }

  requestMembership() {
    if (this.user.deactivatedAt) return null;
    const options = listSensitiveGroups(this.context);
    return this.form("requestMembership", "Ask for a sensitive group", {
      about: "Its approvers decide. Your request stands among the requests.",
      fields: [{ name: "group", label: "Group", kind: "select", required: true, options }, REASON],
      done: ({ group }) => this.context.redraw(`You have asked for ${group} for ${this.name}: its approvers decide.`),
      select: "id group",
    });
  }

  leave(group) {
    return this.form("leaveGroups", `Remove from ${group}`, {
      input: { user: this.user.id, groups: [group] },
      fields: [REASON],
      danger: true,
      done: this.done(`${this.name} is not in ${group} any more.`),
    });
  }

  key(valid) {
    if (this.user.deactivatedAt) return [];
    const service = this.user.ownerGroup === null ? [] : this.serviceKey(valid);
    if (!valid) return this.user.ownerGroup === null ? [hint(FIRST_KEY), this.claim()] : service;
    return [
      ...service,
      this.form("extendApiKey", "Extend the key", {
        fields: [{ ...DAYS, label: "Days that it lasts from now", required: true }, REASON],
        done: this.done("The key lasts longer."),
      }),
      this.form("revokeApiKey", "Revoke the key", {
        about: "For good; what runs with it ends within a second.",
        input: { key: valid.id },
        fields: [REASON],
        danger: true,
        done: this.done("The key was revoked."),
      }),
    ];
  }

  /** Members of the group that answers for a service are shown its key, and nobody else. */
  serviceKey(valid) {
    const { user, context } = this;
    if (!context.me.groups.includes(user.ownerGroup)) return [hint(`Members of ${user.ownerGroup} are shown its key.`)];
    const shared = { input: { service: user.id }, select: "id key secret expiresAt", done: this.issued() };
    return [
      valid
        ? this.form("rotateServiceKey", "Rotate the key", { ...shared, fields: [GRACE, REASON] })
        : this.form("createServiceKey", "Create a key", { ...shared, fields: [DAYS, REASON] }),
    ];
  }

  claim() {
    return this.form("createKeyClaim", "Send a link for the first key", {
      about: "It goes to their address and is shown to nobody here. Who has made the account does not send it.",
      fields: [REASON],
      done: this.done(`${this.name} is sent a link.`),
    });
  }
}
