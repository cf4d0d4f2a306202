/** Variables that make a machine usable for any program. Nothing else of this process's environment reaches a server. */
const passed: readonly string[] = [
  "HOME",
  "LANG",
  "LANGUAGE",
  "LOGNAME",
  "NODE_EXTRA_CA_CERTS",
  "PATH",
  "SHELL",
  "SSL_CERT_DIR",
  "SSL_CERT_FILE",
  "TMPDIR",
  "TZ",
  "USER",
  "XDG_CACHE_HOME",
]

/** The part of this process's environment that the embedded cluster's servers get, below their own variables. */
export const baseEnvironment = (environment: Readonly<Record<string, string | undefined>>): Record<string, string> =>
  Object.fromEntries(
    Object.entries(environment).flatMap(([name, value]) =>
      value !== undefined && (passed.includes(name) || name.startsWith("LC_")) ? [[name, value]] : [],
    ),
  )
