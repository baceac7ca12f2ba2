/** Define the tabs of a first visit: a query for each of three kinds of reader. A tab has the name of its operation. */

const DASHBOARD = `# For a dashboard developer: one query over
# SQL (customers, orders), Snowflake (revenue),
# S3 (files) and Slack (messages). A denied
# field is null; the note below the response
# says whom to ask for it.
query Dashboard($segment: Segment! = ENTERPRISE) {
  customers(
    where: {segment: {eq: $segment}}
    orderBy: [{name: ASC}]
    first: 5
  ) {
    nodes {
      name
      creditLimit
      accountManager {
        fullName
      }
      orders(orderBy: [{placedAt: DESC}], first: 2) {
        nodes {
          placedAt
          status
          total
        }
      }
      revenue(orderBy: [{month: DESC}], first: 2) {
        nodes {
          month
          revenue
        }
      }
      files(first: 2) {
        nodes {
          name
          size
        }
      }
      channel {
        name
        messages(orderBy: [{sentAt: DESC}], first: 2) {
          nodes {
            text
            author {
              realName
            }
          }
        }
      }
    }
  }
}
`;

const ANALYST = `# For an analyst: the most active customers
# of the latest day; usage is from Snowflake,
# customers are from SQL. For the next page,
# set "after" to endCursor in Variables.
query Analyst($after: String) {
  usageDays(
    orderBy: [{day: DESC}, {activeUsers: DESC}]
    first: 10
    after: $after
  ) {
    nodes {
      day
      activeUsers
      apiCalls
      storageGb
      customer {
        name
        country
        segment
      }
    }
    pageInfo {
      hasNextPage
      endCursor
    }
  }
}
`;

const AUDITOR = `# For an auditor: the latest requests that
# were not fully answered, and the fields
# that were denied. Records hold no keys,
# and no values in plain text.
query Auditor {
  requests(
    where: {outcome: {ne: ANSWERED}}
    orderBy: [{time: DESC}]
    first: 10
  ) {
    nodes {
      time
      personId
      groups
      outcome
      operation
      fieldsWithheld
      sources
      ms
    }
  }
}
`;

export const EXAMPLES = [DASHBOARD, ANALYST, AUDITOR].map((query) => ({ query }));
