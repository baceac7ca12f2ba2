"""The office team's service as a source of the door: a url to its section of the settings."""

SECRETS = {"DIRECTORY_AUTHORIZATION": "Bearer acme-directory", "DIRECTORY_TOKEN": "acme-directory"}
"""What the door sends, and what the server accepts."""
SECTION = """
[sources.directory]
kind = "graphql"
url = "URL"
private_addresses = true
headers.authorization = { env = "DIRECTORY_AUTHORIZATION" }

[sources.directory.collections.office]
field = "offices"
columns.id = "text"
columns.name = "text"
columns.street = { kind = "text", at = "address.street" }
columns.city = { kind = "text", at = "address.city" }
columns.country = { kind = "text", at = "address.country" }
keys.id = { field = "office", argument = "id", type = "ID!" }

[sources.directory.collections.desk]
field = "desks"
rows = "nodes"
columns.id = "text"
columns.label = "text"
columns.floor = "integer"
columns.office_id = { kind = "text", at = "office.id" }
columns.employee_id = { kind = "integer", at = "person.staffNumber" }
keys.id = { argument = "ids", type = "[ID!]", most = 100 }
keys.office_id = { argument = "office", type = "ID", most = 10 }
keys.employee_id = { argument = "staffNumbers", type = "[ID!]", most = 100 }
filters.floor = { argument = "floor", type = "Int" }
paging = { size = 100 }

[sources.directory.collections.shift]
field = "onCall"
rows = "edges.node"
columns.id = "text"
columns.service = "text"
columns.level = "text"
columns.employee_id = { kind = "integer", at = "person.staffNumber" }
columns.starts_at = { kind = "time", at = "starts" }
columns.ends_at = { kind = "time", at = "ends" }
keys.id = { field = "shift", argument = "id", type = "ID!" }
keys.service = { argument = "service", type = "String", most = 12 }
keys.employee_id = { argument = "staffNumber", type = "ID", most = 20 }
filters.service = { argument = "service", type = "String" }
filters.level = { argument = "level", type = "Level", values = ["PRIMARY", "SECONDARY"] }
paging = { size = 100 }
"""


def section(url: str) -> str:
    return SECTION.replace("URL", f"{url}/graphql")
