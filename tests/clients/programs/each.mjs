// Runs programs one after the other in this process, each once the one before has nothing left to do, and prints what
// they said, errors too, as a JSON list. Arguments: their paths.
import { inspect } from "node:util";

const paths = process.argv.slice(2);
const print = process.stdout.write.bind(process.stdout);
const said = [];

function say(text) {
  said[said.length - 1] += text;
  return true;
}

const fail = (error) => say(inspect(error));
process.stdout.write = process.stderr.write = say;
process.on("uncaughtException", fail);
process.on("beforeExit", () => {
  if (said.length === paths.length) return print(JSON.stringify(said), () => process.exit(0));
  import(paths[said.push("") - 1]).catch(fail);
});
