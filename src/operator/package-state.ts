/** What a Pod's status says about the installation of its package: whether it runs, how it ended. */
import { readReport, scriptsHint } from "../api/install-report.ts"
import { type Package, packageText } from "../api/kinds/package.ts"
import { packageName } from "./desired/package.ts"
import type { KeptContainerStatus, KeptPod } from "./kept.ts"

/** The status of the init container that installs the package; undefined if the Pod has none, or no status yet. */
export const installerStatus = (pod: KeptPod): KeptContainerStatus | undefined =>
  pod.status?.initContainerStatuses?.find(({ name }) => name === packageName)

/** The same, until the installer has ended well: as long as this is so, the start depends on it, not on the server. */
export const openInstaller = (pod: KeptPod): KeptContainerStatus | undefined => {
  const status = installerStatus(pod)
  return status?.state?.terminated?.exitCode === 0 ? undefined : status
}

/** Text of the condition while a package is being installed. */
export const installingMessage = (named: Package): string => `The package ${packageText(named)} is being installed.`

/** How the last run of an installer ended that did not succeed. */
type Ended = NonNullable<NonNullable<KeptContainerStatus["state"]>["terminated"]>

/** The end of the installer's last failed run; undefined if none has failed, or it has succeeded since. */
export const failedInstall = (pod: KeptPod): Ended | undefined => {
  const status = openInstaller(pod)
  const ended = status?.state?.terminated ?? status?.lastState?.terminated
  // a node that starts a Pod anew runs an installer again that had succeeded
  if (ended === undefined || ended.exitCode === 0) return undefined
  // a container that could not be started at all is judged like a server's
  return ended.reason === "StartError" || ended.reason === "ContainerCannotRun" ? undefined : ended
}

const causeOf = ({ reason, exitCode, message = "" }: Ended): string => {
  const report = readReport(message)
  if (report?.kind === "failed") {
    const lines = report.lines.length === 0 ? "" : ` Its last lines: ${report.lines.join(" | ")}`
    return `${report.problem}${lines}`
  }
  if (reason === "OOMKilled")
    return "The installation used more memory than its limit, the server's and at least 1Gi: raise resources.limits.memory."
  return `The installer ended with exit code ${exitCode}, and did not say why. Look into its log.`
}

/** What a person needs to know of an installation that failed. */
export const installFailure = (named: Package, ended: Ended): string =>
  `The package ${packageText(named)} could not be installed. ${causeOf(ended)}`

/** A sentence for a server that fails, if install scripts of its package were not run; else empty. */
export const packageHint = (pod: KeptPod): string => {
  const report = readReport(installerStatus(pod)?.state?.terminated?.message ?? "")
  return report?.kind === "installed" ? scriptsHint(report.skippedScripts) : ""
}
