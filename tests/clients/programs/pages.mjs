// Prints the texts of pages, which are shown one after the other, as a JSON list. Arguments: of each its module, and the
// text to wait for.
import { show } from "./show.mjs";

const TIMEOUT_MS = 20_000;
const given = process.argv.slice(2);
const said = [];
while (given.length > 0) {
  const [path, text] = given.splice(0, 2);
  const late = new Promise((resolve) => setTimeout(resolve, TIMEOUT_MS, {}));
  const { shown, root } = await Promise.race([show(path, text, [""]), late]);
  said.push(shown ?? document.body.textContent);
  root?.unmount();
  document.body.replaceChildren();
}
process.stdout.write(JSON.stringify(said), () => process.exit(0));
