"""List each position at which a row can show, as a question."""

POSITIONS = {
    "by id": 'account(id: "2") { name }',
    "in a list": "accounts { nodes { id } }",
    "in a page and its look-ahead": "accounts(first: 2) { edges { node { id } } pageInfo { hasNextPage } }",
    "in a page backwards": "accounts(last: 2) { nodes { id } pageInfo { hasPreviousPage } }",
    "in totalCount": "accounts { totalCount }",
    "in an aggregate": "accounts { aggregate { count max { name } } }",
    "in groups": "accounts { groups(by: [{region: VALUE}]) { key { region } aggregate { count } } }",
    "by its own filter": 'accounts(where: {name: {eq: "Bob"}}) { totalCount }',
    "by a negated filter": 'accounts(where: {not: {name: {eq: "Ada"}}}) { totalCount }',
    "by null": "accounts(where: {region: {isNull: true}}) { totalCount }",
    "through a link to one": "deals { nodes { id account { name } } }",
    "through a link to many": 'account(id: "2") { deals { totalCount } }',
    "through a link from another source": "notes { nodes { id account { name } } }",
    "by a filter through a link": 'deals(where: {account: {name: {in: ["Ada", "Bob"]}}}) { nodes { id } }',
    "by a filter for null through a link": "deals(where: {account: {region: {isNull: true}}}) { nodes { id } }",
    "by a negated filter through a link": 'deals(where: {not: {account: {name: {eq: "Bob"}}}}) { nodes { id } }',
    "by a filter across sources": 'notes(where: {account: {name: {startsWith: ""}}}) { nodes { id } }',
    "by a filter through two links": 'deals(where: {account: {deals: {some: {title: {eq: "blue"}}}}}) { nodes { id } }',
    "by an order through a link": "deals(orderBy: [{account: {name: DESC}}]) { nodes { id } }",
    "by an order across sources": "notes(orderBy: [{account: {name: DESC}}]) { nodes { id } }",
    "by groups through a link": (
        "deals { groups(by: [{account: {name: VALUE}}]) { key { account { name } } aggregate { count } } }"
    ),
    "in a look-up": "deals { nodes { id accountName } }",
    "among the rows of an interface": "papers { totalCount nodes { id } }",
    "as a row of an interface": 'paper(id: "CONTRACT:2") { name }',
    "of one type of an interface": "contracts { totalCount aggregate { count } }",
    "below an interface": "papers { nodes { id ... on Contract { account { name } } } }",
    "by a filter to an interface": (
        'accounts(where: {papers: {some: {name: {in: ["a", "b"]}}}}) { nodes { id papers { totalCount } } }'
    ),
}
