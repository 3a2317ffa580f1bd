// Prints the text of a page. Arguments: its module, the text to wait for, the buttons to press; without any, the first
// one is pressed.
import { show } from "./show.mjs";

const [path, text, ...names] = process.argv.slice(2);
const { shown } = await show(path, text, names.length > 0 ? names : [""]);
process.stdout.write(shown, () => process.exit(0));
