/** How the bridge gets to a stdio server, and the installer to a package. The names are those of an instance's `status.bridge`. */
export type BridgeDelivery =
  /** On the embedded cluster: this machine has the program. */
  | { readonly kind: "Local"; readonly command: readonly string[] }
  /** Files in a ConfigMap, which the Node of the server's image runs. */
  | { readonly kind: "ConfigMap"; readonly name: string }
  /** The folder /bridge of an image, mounted as a volume. */
  | { readonly kind: "ImageVolume"; readonly image: string }
  /** The same folder, copied into the Pod by an init container. */
  | { readonly kind: "Copy"; readonly image: string }

/** What decides how the bridge gets to stdio servers, and what is known of the cluster for that. */
export type BridgeSupply = {
  /** How the bridge gets into a new Pod; undefined = it cannot. `node`: a Node in the server's image. */
  deliveryFor(stdio: { readonly node?: string | undefined }): BridgeDelivery | undefined
  /** Names of Secrets for the registry of the bridge's image. */
  readonly pullSecrets: readonly string[]
  /** True: the containers of the Pod share their processes, so that orphans of the server are reaped. */
  readonly shareProcesses: boolean
  /**
   * Creates the ConfigMap with the bridge again if somebody deleted it, and asks again what could not be found out before.
   * True if Pods get the bridge in another way from now on. Never rejects.
   */
  keep(signal: AbortSignal): Promise<boolean>
  /** A Pod got no bridge: image volumes are not used for an hour, and a missing ConfigMap is created again. */
  repair(kind: string): Promise<void>
}
