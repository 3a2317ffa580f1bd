// Gives whoever asks for LangChain's SDK its newest version, whatever version is pinned.
const PINNED = /^@langchain\/langgraph-sdk(?=\/|$)/;

export function resolve(specifier, context, next) {
  return next(specifier.replace(PINNED, "@langchain/langgraph-sdk-newest"), context);
}
