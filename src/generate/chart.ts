import { globSync, readFileSync } from "node:fs"
import { join, matchesGlob } from "node:path"
import { chartValuesSchema } from "./chart-values.ts"

/** Folders of manifests that the chart installs too; it has copies, since a chart reads no file outside its folder. */
const folders = "{crd,rbac,manager}"

/**
 * The generated files of chart/: copies of crd/, rbac/ and manager/, and the schema of the values. What stands in `made`
 * is copied from there, and the rest as it lies on the disk below `root`.
 */
export const chartFiles = (made: ReadonlyMap<string, string>, root: string): ReadonlyMap<string, string> => {
  const written = globSync(`${folders}/*.yaml`, { cwd: root }).map((path) => path.replaceAll("\\", "/"))
  const paths = [...new Set([...made.keys(), ...written])].filter((path) => matchesGlob(path, `${folders}/*`)).sort()
  const copies = paths.map((path) => [`chart/files/${path}`, made.get(path) ?? readFileSync(join(root, path), "utf8")])
  return new Map([
    ...(copies as [string, string][]),
    ["chart/values.schema.json", `${JSON.stringify(chartValuesSchema(), null, 2)}\n`],
  ])
}
