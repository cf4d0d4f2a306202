/** The versions that are compared. They stand only here. */

/** What to install: a package of one of three registries, in one version. */
export type Pin = {
  readonly name: string
  readonly version: string
  /** SPDX identifier of its licence. */
  readonly licence: string
} & (
  | { readonly registry: "npm"; readonly package: string }
  | {
      readonly registry: "python"
      readonly package: string
      /** The first minor version of Python 3 that it needs, and the first that it refuses. */
      readonly python: { readonly from: number; readonly below?: number }
    }
  | { readonly registry: "go"; readonly module: string; readonly programs: readonly string[] }
)

export const pins = {
  mcpProxy: { name: "mcp-proxy", version: "6.7.19", licence: "MIT", registry: "npm", package: "mcp-proxy" },
  supergateway: { name: "supergateway", version: "4.0.0", licence: "MIT", registry: "npm", package: "supergateway" },
  fastmcp: {
    name: "fastmcp",
    version: "4.2.3",
    licence: "Apache-2.0",
    registry: "python",
    package: "fastmcp",
    python: { from: 11 },
  },
  contextForge: {
    name: "contextforge",
    version: "1.1.0",
    licence: "Apache-2.0",
    registry: "python",
    package: "mcp-contextforge-gateway",
    python: { from: 12, below: 14 },
  },
  // v0.48.0 needs modules that could not be had, and later versions need Go 1.27
  toolhive: {
    name: "toolhive",
    version: "v0.47.0",
    licence: "Apache-2.0",
    registry: "go",
    module: "github.com/stacklok/toolhive",
    programs: ["cmd/thv", "cmd/vmcp"],
  },
} as const satisfies Readonly<Record<string, Pin>>
