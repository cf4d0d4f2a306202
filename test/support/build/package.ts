import type { MCPInstance, MCPInstanceSpec } from "../../../src/api/kinds/mcp-instance.ts"
import type { Package } from "../../../src/api/kinds/package.ts"
import { anInstance } from "./instance.ts"

/** A package of the npm registry. */
export const anNpmPackage: Package = { registryType: "npm", identifier: "@example/notes", version: "1.2.3" }

/** A package of the Python index. */
export const aPythonPackage: Package = { registryType: "pypi", identifier: "example-notes", version: "1.2.3" }

/** An instance whose server is a package and speaks stdin and stdout. */
export const aPackageInstance = (named: Package = anNpmPackage, spec: Partial<MCPInstanceSpec> = {}): MCPInstance => {
  const { image: _none, port: _default, ...rest } = anInstance().spec
  return { ...anInstance(), spec: { ...rest, package: named, stdio: {}, ...spec } }
}
