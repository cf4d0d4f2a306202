/** How packages are installed on the embedded cluster: by a process of this machine. */
export type LocalPackages = {
  /** The command that starts the installer, without its flags. */
  readonly command: readonly string[]
  /** The folder that keeps what was installed. */
  readonly folder: string
  /** Variables of this process that npm and uv need to find their registries. */
  readonly environment: Readonly<Record<string, string>>
}
