// Run the audits of graphql-http against the server one by one, and print the id, name and verdict of each as JSON.

import { serverAudits } from "graphql-http";

const { ONEDOOR_URL: url, ONEDOOR_KEY: key } = process.env;
let requests = 0;

async function withKey(address, asked = {}) {
  requests += 1;
  return fetch(address, { ...asked, headers: { ...asked.headers, authorization: `Bearer ${key}` } });
}

const audits = [];
for (const audit of serverAudits({ url, fetchFn: withKey })) {
  const { status, reason = null } = await audit.fn();
  audits.push({ id: audit.id, name: audit.name, status, reason });
}
console.log(JSON.stringify({ audits, requests }));
