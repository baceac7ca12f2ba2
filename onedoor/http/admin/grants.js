/** Draw the requests that wait for a decision, the grants that are held, and what was done under one of them. */
import { query } from "../account/client.js";
import {
  chip,
  disclosure,
  element,
  facts,
  hint,
  link,
  pagedTable,
  paragraph,
  section,
  table,
  time,
} from "../account/elements.js";
import { mutationForm, OPTIONAL_REASON, REASON } from "../account/forms.js";
import { ENDINGS, STATES } from "../account/grants.js";
import { nameUser } from "./users.js";

const GRANTS = `query Grants($states: [AccessGrantState!], $after: String) {
  accessGrants(where: {state: {in: $states}}, orderBy: [{requestedAt: DESC}, {id: ASC}], first: 50, after: $after) {
    nodes {
      id group personId state reason requestedAt requestedBy hours startsAt endsAt endedAt ending
      account { id firstName lastName }
    }
    pageInfo { hasNextPage endCursor }
  }
}`;

const GRANT = `query Grant($id: ID!) {
  accessGrant(id: $id) {
    id group personId state reason requestedAt decidedAt decidedBy decisionReason activeSince endsAt endedAt endReason
    ending fencingToken account { id firstName lastName }
    report {
      requestCount changeCount rows
      requests(first: 50) { nodes { id record time surface outcome operation rows } }
      fields(first: 200) { nodes { id coordinate requestCount } }
      changes(first: 50) { nodes { id record changeType verb state } }
    }
  }
}`;

const PERSON = ["Person", ({ account, personId }) => nameUser(account, personId)];
const GROUP = ["Group", ({ group }) => element("strong", {}, group)];
const REASONS = ["Reason", ({ reason }) => reason];

export async function drawGrants(context) {
  const parts = await Promise.all([
    drawPart("Waiting for a decision", ["REQUESTED"], requestColumns(context), "Nobody waits."),
    drawPart("Held now, or approved", ["ACTIVE", "WAITING"], heldColumns(context), "Nobody holds a grant."),
    drawPart("Over", ["ENDED", "JOINED", "DENIED", "WITHDRAWN", "LAPSED"], OVER, "None is over."),
  ]);
  return parts;
}

async function drawPart(title, states, columns, empty) {
  const load = async (after) => (await query(GRANTS, { states, after })).accessGrants ?? { nodes: [] };
  return section(title, await pagedTable(title, columns, load, empty));
}

const requestColumns = (context) => [
  PERSON,
  GROUP,
  REASONS,
  ["Asked", ({ requestedAt }) => time(requestedAt)],
  [
    "For",
    ({ hours, startsAt, requestedAt }) => [hours ? `${hours} h` : "good", ...(startsAt > requestedAt ? [" from ", time(startsAt)] : [])],
  ],
  ["", (grant) => decisionForms(context, grant)],
];

function decisionForms(context, grant) {
  if ([grant.personId, grant.requestedBy].includes(context.me.id)) return hint("Yours: others decide.");
  const shared = { input: { grant: grant.id }, select: "id" };
  const what = `${grant.group} for ${nameOf(grant)}`;
  return [
    context.may("approveAccess")
      ? act(`Approve ${what}`, {
          ...shared,
          mutation: "approveAccess",
          button: "Approve",
          fields: [OPTIONAL_REASON],
          done: () => context.redraw(`You have approved ${what}.`),
        })
      : null,
    context.may("denyAccess")
      ? act(`Deny ${what}`, {
          ...shared,
          mutation: "denyAccess",
          button: "Deny",
          danger: true,
          fields: [REASON],
          done: () => context.redraw(`You have denied ${what}.`),
        })
      : null,
  ];
}

const act = (summary, options) => disclosure(summary, mutationForm(options));

const nameOf = ({ account, personId }) => (account ? `${account.firstName} ${account.lastName}` : personId);

const heldColumns = (context) => [
  PERSON,
  GROUP,
  ["State", ({ state }) => chip(STATES[state], state.toLowerCase())],
  REASONS,
  ["Until", ({ endsAt, hours }) => time(endsAt) ?? `${hours} h from its start`],
  ["", (grant) => [reportLink(grant), ...(grant.state === "ACTIVE" ? [forceForm(context, grant)] : [])]],
];

function forceForm(context, grant) {
  if (!context.may("forceReturnAccess") || grant.personId === context.me.id) return null;
  const what = `${grant.group} from ${nameOf(grant)}`;
  return act(`Take ${what}`, {
    mutation: "forceReturnAccess",
    button: "Take it back",
    input: { grant: grant.id },
    select: "id state",
    fields: [REASON],
    danger: true,
    done: ({ state }) =>
      context.redraw(
        state === "ACTIVE" ? "Noted: it ends once another approver does so, too." : `You have taken ${what}.`,
      ),
  });
}

const OVER = [
  PERSON,
  GROUP,
  ["State", ({ state, ending }) => [chip(STATES[state], state.toLowerCase()), ending ? ` ${ENDINGS[ending]}` : ""]],
  REASONS,
  ["Over since", ({ endedAt }) => time(endedAt)],
  ["", (grant) => (grant.state === "ENDED" ? reportLink(grant) : null)],
];

const reportLink = ({ id, group, ...grant }) => {
  const shown = link(`#grant/${encodeURIComponent(id)}`, "Report");
  shown.setAttribute("aria-label", `Report of ${group} for ${nameOf(grant)}`);
  return shown;
};

export async function drawGrant(context, id) {
  const { accessGrant: grant } = await query(GRANT, { id });
  if (!grant) return [section("No grant", paragraph("No grant has this id."))];
  return [
    section(
      `${grant.group} for ${nameOf(grant)}`,
      facts([
        [
          "State",
          [chip(STATES[grant.state], grant.state.toLowerCase()), grant.ending ? ` ${ENDINGS[grant.ending]}` : ""],
        ],
        ["Reason", grant.reason],
        ["Asked", time(grant.requestedAt)],
        ["Decided", time(grant.decidedAt)],
        ["Decided by", grant.decidedBy && element("code", {}, grant.decidedBy)],
        ["Because", grant.decisionReason],
        ["Active since", time(grant.activeSince)],
        ["Until", time(grant.endedAt ?? grant.endsAt)],
        ["Ended because", grant.endReason],
        ["Id in records", element("code", {}, grant.id)],
        ["Fencing token", grant.fencingToken && String(grant.fencingToken)],
      ]),
    ),
    section("What was done under it", ...drawReport(grant.report)),
  ];
}

function drawReport(report) {
  if (!report) return [hint("The report cannot be made now.")];
  const counts = `${report.requestCount} requests, ${report.rows} rows read, ${report.changeCount} changes.`;
  const record = ["Record", (row) => element("code", {}, row.record)];
  const requests = [
    ["When", (row) => time(row.time)],
    ["Operation", ({ operation, surface }) => operation ?? surface],
    ["Outcome", ({ outcome }) => outcome.toLowerCase()],
    ["Rows", ({ rows }) => String(rows)],
    record,
  ];
  const fields = [
    ["Field", ({ coordinate }) => element("code", {}, coordinate)],
    ["Requests", ({ requestCount }) => String(requestCount)],
  ];
  const changes = [
    ["Type", ({ changeType }) => changeType],
    ["What", ({ verb }) => verb],
    ["State", ({ state }) => state],
    record,
  ];
  return [
    paragraph(counts),
    element("h3", {}, "Requests"),
    table("Requests", requests, report.requests?.nodes ?? []),
    element("h3", {}, "Fields"),
    table("Fields", fields, report.fields?.nodes ?? []),
    element("h3", {}, "Changes"),
    table("Changes", changes, report.changes?.nodes ?? []),
  ];
}
