"""What the office team's service can be asked: their own names, their own ways of paging."""

SDL = """
"A time with its zone, as ISO 8601 writes it."
scalar Time

"Everything the office team knows."
type Query {
  offices: [Office!]!
  office(id: ID!): Office
  desks(ids: [ID!], office: ID, staffNumbers: [ID!], floor: Int, first: Int = 20, after: String): DeskConnection!
  onCall(service: String, staffNumber: ID, level: Level, first: Int = 20, after: String): ShiftConnection!
  shift(id: ID!): Shift
}

"A place where people work."
type Office {
  id: ID!
  name: String!
  address: Address!
}

type Address {
  street: String!
  city: String!
  "ISO 3166 code, two letters."
  country: String!
}

"A place to sit."
type Desk {
  id: ID!
  "What is written on it."
  label: String!
  "Counted from the street."
  floor: Int!
  office: Office!
  "Who sits there, if anyone does."
  person: Person
}

type Person {
  staffNumber: ID!
}

"A week in which someone answers for a service."
type Shift {
  id: ID!
  service: String!
  "Who is called first, and who next."
  level: Level!
  person: Person!
  starts: Time!
  ends: Time!
}

enum Level {
  PRIMARY
  SECONDARY
}

type PageInfo {
  hasNextPage: Boolean!
  endCursor: String
}

type DeskConnection {
  nodes: [Desk!]!
  pageInfo: PageInfo!
}

type ShiftConnection {
  edges: [ShiftEdge!]!
  pageInfo: PageInfo!
}

type ShiftEdge {
  cursor: String!
  node: Shift!
}
"""
