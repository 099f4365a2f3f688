// Reads a JSON list of LogQL queries from standard input and prints, as a JSON list, what the grammar
// cannot read of each: nothing, or the place and the rest of the text.
import { readFileSync } from "node:fs";
import { parser } from "@grafana/lezer-logql";

const refused = (query) => {
  let found = "";
  parser.parse(query).iterate({
    enter: (node) => {
      if (node.type.isError && !found) found = `${node.from}: ${query.slice(node.from)}`;
    },
  });
  return found;
};
console.log(JSON.stringify(JSON.parse(readFileSync(0, "utf8")).map(refused)));
