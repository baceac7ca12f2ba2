/** Draw the syncs with the company's directory, those that were halted first, and what each of them did. */
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
import { mutationForm, REASON } from "../account/forms.js";
import { nameUser } from "./users.js";

const SYNCS = `query Syncs($where: DirectorySyncWhere, $after: String) {
  directorySyncs(where: $where, orderBy: [{startedAt: DESC}, {id: ASC}], first: 50, after: $after) {
    nodes { id source startedAt endedAt state failure decidedReason }
    pageInfo { hasNextPage endCursor }
  }
}`;

const SYNC = `query Sync($id: ID!) {
  directorySync(id: $id) { id source startedAt endedAt state failure decidedBy decidedReason decidedAt }
}`;

const CHANGES = `query Changes($id: ID!, $after: String) {
  directorySync(id: $id) {
    changes(orderBy: [{at: ASC}, {id: ASC}], first: 100, after: $after) {
      nodes { id at kind subject group detail account { id firstName lastName } }
      pageInfo { hasNextPage endCursor }
    }
  }
}`;

const STATES = {
  DONE: ["done", "active"],
  FAILED: ["failed", "denied"],
  HALTED: ["halted: removals wait", "denied"],
  APPROVED: ["approved", "active"],
  DISMISSED: ["dismissed", ""],
};

const showState = ({ state }) => chip(...STATES[state]);

export async function drawSyncs(context) {
  const { directorySyncs: halted } = await query(SYNCS, { where: { state: { eq: "HALTED" } } });
  const load = async (after) => (await query(SYNCS, { after })).directorySyncs ?? { nodes: [] };
  const columns = [
    ["Began", ({ id, startedAt }) => element("a", { href: `#sync/${encodeURIComponent(id)}` }, time(startedAt))],
    ["Directory", ({ source }) => source],
    ["Last came", ({ endedAt }) => time(endedAt)],
    ["State", showState],
    ["Why", ({ failure, decidedReason }) => failure ?? decidedReason],
  ];
  const waiting = halted?.nodes ?? [];
  return [
    section(
      "Halted syncs",
      hint("A directory that removes many people at once waits for your decision; everything else goes on."),
      table(
        "Halted syncs",
        [...columns.slice(0, 3), ["", (sync) => decisionForms(context, sync)]],
        waiting,
        "None is halted.",
      ),
    ),
    section("Syncs", await pagedTable("Syncs", columns, load, "The directory has not come yet.")),
  ];
}

function decisionForms(context, { id }) {
  const shared = { input: { sync: id }, fields: [REASON] };
  return [
    link(`#sync/${encodeURIComponent(id)}`, "Who waits"),
    context.may("approveDirectorySync")
      ? disclosure(
          "Let them be removed",
          hint("They are removed when the directory asks again, within three days."),
          mutationForm({
            ...shared,
            mutation: "approveDirectorySync",
            button: "Approve the removals",
            danger: true,
            done: () => context.redraw("Approved: they are removed when the directory asks again."),
          }),
        )
      : null,
    context.may("dismissDirectorySync")
      ? disclosure(
          "Keep them",
          mutationForm({
            ...shared,
            mutation: "dismissDirectorySync",
            button: "Keep the people",
            done: () => context.redraw("Dismissed: the people stay."),
          }),
        )
      : null,
  ];
}

export async function drawSync(context, id) {
  const { directorySync: sync } = await query(SYNC, { id });
  if (!sync) return [section("No sync", paragraph("No sync has this id."))];
  const load = async (after) => (await query(CHANGES, { id, after })).directorySync?.changes ?? { nodes: [] };
  const columns = [
    ["When", ({ at }) => time(at)],
    ["What", ({ kind, group }) => [kind.toLowerCase(), group ? ` ${group}` : ""].join("")],
    ["Who", ({ account, subject }) => (account ? nameUser(account) : subject)],
    ["Why", ({ detail }) => detail],
  ];
  return [
    section(
      `Sync with ${sync.source}`,
      facts([
        ["State", showState(sync)],
        ["Began", time(sync.startedAt)],
        ["Last came", time(sync.endedAt)],
        ["Failure", sync.failure],
        ["Decided", time(sync.decidedAt)],
        ["Because", sync.decidedReason],
      ]),
      sync.state === "HALTED" ? decisionForms(context, sync).slice(1) : null,
    ),
    section("What it did", await pagedTable("What it did", columns, load)),
  ];
}
