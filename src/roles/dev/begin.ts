import type { MemoryCluster } from "../../adapters/memory/cluster.ts"
import type { KubeObject } from "../../api/kinds/kind.ts"
import { secretKind } from "../../api/kinds/kubernetes.ts"
import { mcpTargetKind } from "../../api/kinds/mcp-target.ts"
import type { Problem } from "../../config/layer.ts"
import { type AppError, hasCode, isAppError } from "../../errors.ts"
import type { Logger } from "../../ports/telemetry.ts"
import { isTouched, type Notice, planStart, type Restore, type TargetDocument } from "./plan.ts"
import type { Deleted, DevState, StateRecord } from "./state-file.ts"

/** Input of {@link begin}: an empty cluster, the state kept from earlier runs, and the documents of target files. */
export type Beginning = {
  readonly cluster: MemoryCluster
  readonly namespace: string
  readonly state: DevState
  readonly documents: readonly TargetDocument[]
  readonly log: Logger
  readonly signal: AbortSignal
}

/** A document that was loaded, and the UID of its object. */
type Origin = { readonly document: TargetDocument; readonly uid: string }

/** Result of {@link begin}: what the saver needs to write the state later, and what to report. */
export type Begun = {
  /** The loaded documents, by the UID of their object. */
  readonly origins: ReadonlyMap<string, Origin>
  /** Records that were not restored but stay in the state. */
  readonly aside: readonly StateRecord[]
  /** Documents whose object was deleted, see {@link Deleted}. */
  readonly deleted: readonly Deleted[]
  /** Documents that the cluster refused, with the reason. */
  readonly problems: readonly Problem[]
  /** Number of restored targets and sets of values that the REST API had created or changed. */
  readonly back: { readonly targets: number; readonly values: number }
}

const noticeText: Readonly<Record<Notice["what"], string>> = {
  deleted: "not loaded from its file, since it was deleted: to load it again, change the file or start with --fresh",
  registered:
    "not loaded from its file, since the REST API created one of this name: delete that one, or start with --fresh",
  replaces: "taken from its file, which has changed: the changes made by the REST API are lost",
}

const logNotices = (log: Logger, notices: readonly Notice[]): void => {
  for (const { what, kind, name } of notices)
    log[what === "deleted" ? "info" : "warn"](noticeText[what], { kind, name })
}

const kindOf = ({ kind }: KubeObject) => (kind === mcpTargetKind.kind ? mcpTargetKind : secretKind)
const uidOf = ({ metadata }: KubeObject): string => metadata.uid ?? ""

const problemOf = ({ manifest }: TargetDocument, error: AppError): Problem => ({
  source: manifest.sourceOf("metadata"),
  key: manifest.label,
  message: error.message,
})

type Outcome = { readonly aside: StateRecord[]; readonly problems: Problem[]; readonly back: StateRecord[] }

/**
 * Restores one record. A record that this version refuses is set aside with a log line; if it is unchanged since its
 * document was loaded, the document is reported as a problem instead.
 */
const restoreOne = ({ cluster, log }: Beginning, { record, document }: Restore, outcome: Outcome): void => {
  const { object } = record
  const owners = (object.metadata.ownerReferences ?? []).map(({ uid }) => uid)
  // its target was refused just before; without this owner, the cluster's garbage collection would delete it
  if (owners.length > 0 && outcome.aside.some((each) => owners.includes(uidOf(each.object)))) {
    outcome.aside.push(record)
    return
  }
  try {
    cluster.restore(kindOf(object), record)
    if (record.document === undefined || isTouched(record)) outcome.back.push(record)
  } catch (error) {
    if (!hasCode(error, "ApiInvalid", "ApiAlreadyExists")) throw error
    if (document !== undefined && !isTouched(record)) {
      outcome.problems.push(problemOf(document, error))
      return
    }
    outcome.aside.push(record)
    log.warn("kept, but not restored: this version of the program refuses it", { kind: object.kind, error })
  }
}

const createOne = async ({ cluster, signal }: Beginning, document: TargetDocument): Promise<string | Problem> => {
  try {
    const { object } = document
    return uidOf(await cluster.create<KubeObject>(kindOf(object), object, { signal }))
  } catch (error) {
    if (!isAppError(error) || signal.aborted) throw error
    return problemOf(document, error)
  }
}

/**
 * Fills a new cluster with the kept state and the documents. Faults of documents are returned as problems; other errors
 * are thrown.
 */
export const begin = async (beginning: Beginning): Promise<Begun> => {
  const { state, documents, namespace, log } = beginning
  const plan = planStart(state, documents, namespace)
  const outcome: Outcome = { aside: [], problems: [], back: [] }
  for (const each of plan.restore) restoreOne(beginning, each, outcome)
  const origins: Origin[] = plan.restore.flatMap(({ record, document }) =>
    document === undefined ? [] : [{ document, uid: uidOf(record.object) }],
  )
  for (const document of plan.create) {
    const made = await createOne(beginning, document)
    if (typeof made === "string") origins.push({ document, uid: made })
    else outcome.problems.push(made)
  }
  logNotices(log, plan.notices)
  const targets = outcome.back.filter(({ object }) => object.kind === mcpTargetKind.kind).length
  return {
    origins: new Map(origins.map((origin) => [origin.uid, origin])),
    aside: [...plan.aside, ...outcome.aside],
    deleted: plan.deleted,
    problems: outcome.problems,
    back: { targets, values: outcome.back.length - targets },
  }
}
