/**
 * Define the panels: the query of each, the rows of the response that it draws, and how.
 *
 * `rows` returns null if the subject of the panel is denied. Sums are computed here, in whole cents, over all rows,
 * page by page; a panel that shows only some of the rows says so in its caption.
 */
import { bars, list, sideways, stacked, table } from "./draw.js";

const REVENUE = `query RevenueByMonth($after: String) {
  customers(where: {segment: {eq: ENTERPRISE}}, first: 250, after: $after) {
    nodes { revenue(first: 12, orderBy: [{month: DESC}]) { nodes { month revenue refunds } } }
    pageInfo { hasNextPage endCursor }
  }
}`;

const TOP = `query TopCustomers {
  revenueMonths(orderBy: [{month: DESC}, {revenue: DESC}], first: 10) {
    nodes { month revenue customer { name } }
  }
}`;

const ACTIVE = `query MostActive {
  usageDays(orderBy: [{day: DESC}, {activeUsers: DESC}], first: 8) {
    nodes { day activeUsers apiCalls customer { name country } }
  }
}`;

const THREADS = `query OpenThreads {
  channels(where: {name: {eq: "incidents"}}, first: 1) {
    nodes {
      messages(orderBy: [{sentAt: DESC}], first: 50) {
        nodes { text sentAt author { realName } replies(first: 20) { nodes { text } } }
      }
    }
  }
}`;

const DEPLOYMENTS = `query Deployments {
  latest: deployments(orderBy: [{startedAt: DESC}], first: 100) { nodes { service status } }
  errors: deployments(where: {status: {ne: SUCCEEDED}}, orderBy: [{startedAt: DESC}], first: 5) {
    nodes {
      service version environment status startedAt
      author { fullName }
      announcements(first: 1) { nodes { text replies(first: 1) { nodes { text } } } }
    }
  }
}`;

const CLOSES = /^(done|fixed|closing)/i;
const STATUSES = { SUCCEEDED: "succeeded", FAILED: "failed", ROLLED_BACK: "rolled back" };

const cents = (money) => Math.round(Number(money) * 100);
const month = (day) => new Date(day).toLocaleDateString("en", { month: "short", year: "numeric", timeZone: "UTC" });
const date = (time) => new Date(time).toLocaleDateString("en", { day: "numeric", month: "short", timeZone: "UTC" });

export const PANELS = [
  {
    id: "revenue",
    title: "Revenue by month",
    query: REVENUE,
    allPagesOf: "customers",
    rows: ({ customers }) => sumByMonth(customers.nodes.flatMap((row) => row.revenue?.nodes ?? [])),
    caption: (rows) => `All enterprise customers, ${rows[0].month} to ${rows.at(-1).month}, in euros`,
    draw: (rows) =>
      bars(
        rows.map((row) => row.month),
        {
          Invoiced: rows.map((row) => row.revenue / 100),
          ...(rows.every((row) => row.refundsSeen) && { "Refunded": rows.map((row) => row.refunds / 100) }),
        },
      ),
  },
  {
    id: "top",
    title: "Top customers",
    query: TOP,
    rows: ({ revenueMonths }) => latest(revenueMonths?.nodes, "month"),
    caption: (rows) => `Customers with the highest revenue in ${month(rows[0].month)}, in euros`,
    draw: (rows) =>
      sideways(
        rows.map((row) => row.customer?.name ?? "name denied"),
        rows.map((row) => Number(row.revenue)),
      ),
  },
  {
    id: "active",
    title: "Most active customers",
    query: ACTIVE,
    rows: ({ usageDays }) => latest(usageDays?.nodes, "day"),
    caption: (rows) => `By users who signed in on ${date(rows[0].day)}`,
    draw: (rows) =>
      table(
        ["Customer", "Country", "Users", "API calls"],
        rows.map((row) => [
          row.customer?.name ?? "–",
          row.customer?.country ?? "–",
          row.activeUsers.toLocaleString("en"),
          row.apiCalls.toLocaleString("en"),
        ]),
      ),
  },
  {
    id: "threads",
    title: "Open threads",
    query: THREADS,
    rows: ({ channels }) =>
      channels?.nodes && findOpenThreads(channels.nodes.flatMap((row) => row.messages?.nodes ?? [])),
    caption: ({ open, seen }) =>
      `${open.length} of the ${seen} newest messages in #incidents: answered, but not yet with “done”, “fixed” or “closing”`,
    draw: ({ open }) =>
      list(
        open.map((row) => ({
          text: row.text,
          about: `${row.author?.realName ?? "someone"}, ${date(row.sentAt)} · ${countReplies(row.replies.nodes.length)}`,
        })),
      ),
  },
  {
    id: "deployments",
    title: "Deployments and failures",
    query: DEPLOYMENTS,
    wide: true,
    rows: ({ latest, errors }) => latest?.nodes && { latest: latest.nodes, errors: errors?.nodes ?? [] },
    caption: ({ latest, errors }) =>
      `The ${latest.length} latest by service, and the ${errors.length} latest that failed or were rolled back`,
    draw: ({ latest, errors }) => [stacked(...countByService(latest)), list(errors.map(describeFailure))],
  },
];

function sumByMonth(rows) {
  const months = new Map();
  for (const row of rows) {
    const sum = months.get(row.month) ?? { revenue: 0, refunds: 0, refundsSeen: true };
    sum.revenue += cents(row.revenue);
    sum.refunds += cents(row.refunds ?? 0);
    sum.refundsSeen &&= row.refunds !== null;
    months.set(row.month, sum);
  }
  const sums = [...months].sort(([one], [other]) => one.localeCompare(other));
  return sums.length ? sums.map(([day, sum]) => ({ month: month(day), ...sum })) : null;
}

/** Return the rows of the first row's day or month: the query sorts the latest first. */
function latest(rows, column) {
  return rows?.length ? rows.filter((row) => row[column] === rows[0][column]) : null;
}

/** Return the threads in which no reply says that it is over. */
function findOpenThreads(messages) {
  const answered = messages.filter((row) => row.replies?.nodes.length);
  const open = answered.filter((row) => !row.replies.nodes.some((reply) => CLOSES.test(reply.text)));
  return { seen: messages.length, open };
}

function countReplies(replies) {
  return replies === 1 ? "1 reply" : `${replies} replies`;
}

function countByService(deployments) {
  const services = [...new Set(deployments.map((row) => row.service))].sort();
  const count = (service, status) =>
    deployments.filter((row) => row.service === service && row.status === status).length;
  const series = Object.entries(STATUSES).map(([status, name]) => [name, services.map((row) => count(row, status))]);
  return [services, Object.fromEntries(series)];
}

function describeFailure(deployment) {
  const announcement = deployment.announcements?.nodes[0];
  const quote = [announcement?.text, announcement?.replies?.nodes[0]?.text].filter(Boolean).join(" — ");
  return {
    text: `${deployment.service} ${deployment.version} ${STATUSES[deployment.status]} in ${deployment.environment.toLowerCase()}`,
    about: `${deployment.author?.fullName ?? "someone"}, ${date(deployment.startedAt)}${quote && ` · “${quote}”`}`,
  };
}
