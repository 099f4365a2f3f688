// What the cart asks: `node prices.mjs PORT`; with `check PORT` it asks whether one answers.
import { createServer } from "node:http";

const [word, port] = process.argv.slice(2);
if (word === "check") {
  const answer = await fetch(`http://127.0.0.1:${port}/`);
  process.exit(answer.ok ? 0 : 1);
}
const server = createServer((_, answer) => answer.end("12.50\n"));
// Longer than the cart keeps an idle connection, or it would ask into one that is being closed.
server.keepAliveTimeout = 60_000;
server.listen(Number(word), "127.0.0.1");
