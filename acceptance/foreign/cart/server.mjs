// A cart in Node: prom-client's metrics, and prices from another service.
import { createServer } from "node:http";
import { Histogram, register } from "prom-client";

const seconds = new Histogram({
  name: "http_request_duration_seconds",
  help: "How long answers take.",
  labelNames: ["code"],
  buckets: [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1],
});
const delayMs = 0;

async function cart(answer) {
  const end = seconds.startTimer();
  const price = await fetch(`http://${process.env.PRICES}/`);
  await new Promise((done) => setTimeout(done, delayMs));
  answer.writeHead(price.ok ? 200 : 502).end(await price.text());
  end({ code: price.ok ? 200 : 502 });
}

createServer(async (request, answer) => {
  if (request.url === "/metrics") {
    answer.setHeader("Content-Type", register.contentType);
    answer.end(await register.metrics());
  } else if (request.url === "/health") {
    answer.end("ok");
  } else {
    await cart(answer);
  }
}).listen(Number(process.env.PORT ?? 3000), process.env.HOST);
