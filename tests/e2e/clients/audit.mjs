// The audits of graphql-http, asked of the door one by one, out: the id, the name and the verdict of each, as JSON.

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
