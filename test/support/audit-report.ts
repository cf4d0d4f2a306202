import { z } from "zod"

/** What `npm audit --json` says, as far as it is read. */
const Report = z.object({
  vulnerabilities: z.record(
    z.string(),
    z.object({
      severity: z.string(),
      range: z.string(),
      /** Advisories about the package itself; names of others that it has its vulnerability of. */
      via: z.array(z.union([z.string(), z.object({ title: z.string().optional() })])),
      /** Folders of the package, e.g. `node_modules/undici`. */
      nodes: z.array(z.string()),
    }),
  ),
})

const parseJson = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/**
 * The vulnerable packages among those in `folders`, a line each; undefined if the text is no report, e.g. because the
 * registry gave no answer. A package that only leans on a vulnerable one counts by that one: it may not be in the program.
 */
export const findingsIn = (report: string, folders: ReadonlySet<string>): readonly string[] | undefined => {
  const { success, data } = Report.safeParse(parseJson(report))
  if (!success) return undefined
  return Object.entries(data.vulnerabilities)
    .filter(([, { via, nodes }]) => via.some((each) => typeof each !== "string") && nodes.some((at) => folders.has(at)))
    .map(([name, { severity, range }]) => `${name} ${range}: ${severity}`)
}
