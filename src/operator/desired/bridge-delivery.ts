/** How the bridge gets to the server. */
export type BridgeDelivery = {
  /** On the embedded cluster: this machine has the program. */
  readonly kind: "local"
  /** Command of the bridge, without its flags. */
  readonly command: readonly string[]
}
