// Run a page that changes an order and watches it, and print what it showed as JSON.

import { CreditDocument } from "./dashboard/graphql.ts";

const { ONEDOOR_URL: url, ONEDOOR_KEY: key } = process.env;
const [name, id] = process.argv.slice(2);
const page = await import(`./dashboard/${name}.ts`);
const { client, close } = page.connect(url, key);

const before = await page.readOrder(client, id);
const watched = [];
const stop = page.watch(client, id, (order) => watched.push(order.note));
let saved, tries = 0;
while (!watched.length) {
  // the subscription may begin after the first change, so save until it has shown one
  saved = await page.save(client, saved ?? before, `saved ${(tries += 1)} times`);
  await new Promise((resolve) => setTimeout(resolve, 200));
}
const conflict = await page.save(client, before, "from an old form");
const after = await page.readOrder(client, id);
if (page.denied) await client.query({ query: CreditDocument, variables: { id: "20" } });
const pages = [];
const leave = await page.loadAll?.(client, 40, (names) => pages.push(names.length));
while (leave && pages.at(-1) < 100) await new Promise(setImmediate); // Apollo shows the last page a moment later

console.log(
  JSON.stringify({
    saved: saved.note === `saved ${tries} times`,
    versions: after.version - before.version === tries,
    watched: watched.every((note) => /^saved \d+ times$/.test(note)),
    conflict,
    after: after.note === saved.note,
    pages,
    denied: page.denied && [...page.denied],
  }),
);
stop();
leave?.();
close();
