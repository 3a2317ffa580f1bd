/** What every browser has; a package that the Markdown renderer uses brings its own. */
export default structuredClone;
