/** Ask for a group for a limited time, and show the requests and grants of the person. */
import { query } from "./client.js";
import { announce, chip, contact, element, section, table, time } from "./elements.js";
import { mutationForm, REASON } from "./forms.js";

const MINE = `query Grants($me: String!) {
  accessGrants(where: {personId: {eq: $me}}, orderBy: [{requestedAt: DESC}], first: 50) {
    nodes { id group state reason requestedAt hours decisionReason endsAt endedAt ending endReason }
  }
}`;

/** What becomes of a grant, in words; administrators read the same. */
export const STATES = {
  REQUESTED: "waits for a decision",
  WAITING: "approved, waits for its start or its turn",
  ACTIVE: "active",
  JOINED: "a membership for good",
  ENDED: "ended",
  DENIED: "denied",
  WITHDRAWN: "withdrawn",
  LAPSED: "lapsed",
};

export const ENDINGS = {
  EXPIRED: "by its time",
  RETURNED: "returned early",
  FORCED: "taken back by approvers",
  REVOKED: "lost with the account or the group",
};

const OPEN = ["REQUESTED", "WAITING", "ACTIVE"];

/** Draw both parts into a place, and again after each step. */
export async function drawGrants(place, me, register) {
  const { accessGrants } = await query(MINE, { me: me.id });
  const redraw = async (text) => {
    await drawGrants(place, me, register);
    announce(text);
    place.querySelector("h2").focus();
  };
  place.replaceChildren(
    section(
      "Requests and grants",
      table("Requests and grants", columns(redraw), accessGrants?.nodes ?? [], "You have asked for nothing yet."),
    ),
    drawRequest(me, register, redraw),
  );
}

function columns(redraw) {
  return [
    ["Group", ({ group }) => element("strong", {}, group)],
    ["State", describeState],
    ["Reason", ({ reason }) => reason],
    ["Asked", ({ requestedAt }) => time(requestedAt)],
    [
      "Until",
      ({ state, endsAt, endedAt, hours }) =>
        OPEN.includes(state) ? (time(endsAt) ?? (hours ? `${hours} h from its start` : "for good")) : time(endedAt),
    ],
    ["", (grant) => (OPEN.includes(grant.state) ? returnForm(grant, redraw) : null)],
  ];
}

function describeState({ state, ending, decisionReason, endReason }) {
  const words = [decisionReason, ending && ENDINGS[ending], endReason].filter(Boolean).join("; ");
  return [chip(STATES[state], state.toLowerCase()), words ? ` ${words}` : ""];
}

function returnForm({ id, group, state }, redraw) {
  const button = state === "ACTIVE" ? "Return" : "Withdraw";
  const form = mutationForm({
    mutation: "returnAccess",
    button,
    input: { grant: id },
    done: () =>
      redraw(state === "ACTIVE" ? `You have returned ${group}.` : `You have withdrawn the request for ${group}.`),
  });
  form.querySelector("button").setAttribute("aria-label", `${button} ${group}`);
  return form;
}

function drawRequest(me, register, redraw) {
  const others = register.filter(({ name }) => !me.groups.includes(name) && name !== "everyone");
  const form = mutationForm({
    mutation: "requestAccess",
    button: "Ask for access",
    select: "id group",
    fields: [
      {
        name: "group",
        label: "Group",
        kind: "select",
        required: true,
        options: others.map(({ name }) => [name, name]),
      },
      { name: "hours", label: "Hours", kind: "number", min: 0, step: "any", value: "1" },
      { name: "startsAt", label: "From (now, if empty)", kind: "datetime-local" },
      { ...REASON, about: "For those who decide, and for the record." },
    ],
    done: ({ group }) => redraw(`You have asked for ${group}.`),
  });
  form.classList.add("ask");
  const about = element("p", { class: "hint" });
  const describe = () => {
    const group = others.find(({ name }) => name === form.elements.group.value);
    const exclusive = group?.exclusive ? " One person at a time has it." : "";
    about.replaceChildren(
      ...(group
        ? [
            `${group.purpose} For ${group.grantMaxHours} h at most.${exclusive} It belongs to ${group.owner} (`,
            contact(group.contact) ?? "no contact",
            ").",
          ]
        : []),
    );
  };
  form.elements.group.addEventListener("change", describe);
  describe();
  return section("Ask for access", about, form);
}
