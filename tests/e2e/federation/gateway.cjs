// A question in; Apollo's gateway composes the two subgraphs as they tell of themselves, asks them, and prints the answer.
const { createRequire } = require("node:module");
const path = require("node:path");

const tools = createRequire(path.join(process.env.APOLLO_GATEWAY, "package.json"));
const { ApolloGateway, IntrospectAndCompose, RemoteGraphQLDataSource } = tools("@apollo/gateway");
const { ApolloServer } = tools("@apollo/server");

const authorization = `Bearer ${process.env.ONEDOOR_KEY}`;
const silent = { debug() {}, info() {}, warn() {}, error(said) { process.stderr.write(`${said}\n`); } };

class Onedoor extends RemoteGraphQLDataSource {
  willSendRequest({ request }) {
    request.http.headers.set("authorization", authorization);
  }
}

const gateway = new ApolloGateway({
  logger: silent,
  supergraphSdl: new IntrospectAndCompose({
    subgraphs: [
      { name: "onedoor", url: process.env.ONEDOOR_URL },
      { name: "visits", url: process.env.VISITS_URL },
    ],
    introspectionHeaders: { authorization },
  }),
  buildService: ({ name, url }) => (name === "onedoor" ? new Onedoor({ url }) : new RemoteGraphQLDataSource({ url })),
});

async function main() {
  const server = new ApolloServer({ gateway, logger: silent, includeStacktraceInErrorResponses: false });
  await server.start();
  const { body } = await server.executeOperation({ query: process.argv[2] });
  process.stdout.write(JSON.stringify(body.singleResult));
  await server.stop();
  process.exit(0);
}

main().catch((reason) => {
  process.stderr.write(`${reason.stack}\n`);
  process.exit(1);
});
