/** Most characters of a target's name. */
const longest = 40

/**
 * The name of a target for a document's name: its last part, in the form of a target's name, e.g.
 * `io.github.example/Weather_MCP` → `weather-mcp`. Undefined if it has no letter and no digit.
 */
export const targetNameOf = (documentName: string): string | undefined => {
  const last = documentName.slice(documentName.lastIndexOf("/") + 1, documentName.lastIndexOf("/") + 1 + 256)
  const plain = last
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, "-")
    .replace(/^-/, "")
  if (plain === "" || plain === "-") return undefined
  const named = /^[a-z]/.test(plain) ? plain : `mcp-${plain}`
  return named.slice(0, longest).replace(/-$/, "")
}
