// What the cart asks: `node prices.mjs PORT`; with `check PORT` it asks whether one answers.
import { createServer } from "node:http";

const [word, port] = process.argv.slice(2);
if (word === "check") {
  const answer = await fetch(`http://127.0.0.1:${port}/`);
  process.exit(answer.ok ? 0 : 1);
}
createServer((_, answer) => answer.end("12.50\n")).listen(Number(word), "127.0.0.1");
