/** The tabs a first visit finds: a question for each of three kinds of reader. A tab is named by its operation. */

const DASHBOARD = `# For a dashboard developer: one question
# to SQL (customers, orders), Snowflake
# (revenue), S3 (files) and Slack (talk).
# A withheld field is null; below the
# answer stands whom to ask for it.
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

const ANALYST = `# For an analyst: who was most active on
# the latest day, from the warehouse, with
# what SQL knows of them. To page on, give
# the endCursor as $after in Variables.
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
# did not get all they asked for, and what
# was withheld. No key and no value stands
# in a record in clear.
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
