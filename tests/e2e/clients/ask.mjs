// A page's module by name in, what it shows of the demo company out, as JSON.

const { ONEDOOR_URL: url, ONEDOOR_KEY: key } = process.env;
const page = await import(`./dashboard/${process.argv[2]}.ts`);
const client = page.connect(url, key);

console.log(
  JSON.stringify({
    board: await page.board(client, "20"),
    names: await page.names(client, 15),
    credit: await page.credit(client, "20"),
  }),
);
