import { expect, test } from "vitest"
import { type ErrorCode, errorTable } from "../../src/errors.ts"

const rows = (audience: "caller" | "operator"): string =>
  (Object.keys(errorTable) as ErrorCode[])
    .filter((code) => errorTable[code].audience === audience)
    .map((code) => {
      const { status, rpc, retryable, help } = errorTable[code]
      return `| \`${code}\` | ${status} | ${rpc} | ${retryable ? "yes" : "no"} | ${help} |`
    })
    .join("\n")

const head = `| code | HTTP | JSON-RPC | retry? | what to do |
|---|---|---|---|---|`

const page = `# Errors

Every error has a code. The form of the error depends on the endpoint and on the caller:

- On MCP endpoints, a caller who may use the target gets a JSON-RPC error with the request's id. The code is in
  \`error.data.code\`. The \`message\` of the error has what is wrong, what to do, and the code in brackets.
- On MCP endpoints, every other caller gets a problem document (RFC 9457). The code is in its member \`code\`.
- The REST API always returns a problem document.

The HTTP status of a JSON-RPC error is 200 once policy permits the request and the request has an id. With another status, many
clients would show only the status ([why](adr/0020-errors-of-permitted-requests-are-answers.md)). Log and metrics have the status
of the tables below. There are two exceptions, whose responses have the status of the tables: \`SessionNotFound\` (MCP requires
404), and all errors of the method \`server/discover\`.

Each error response has the header \`x-request-id\`; its value is also in the log. \`Retry-After\` is the number of seconds to wait before
the next attempt. In the column "retry?", "yes" means that the same request may succeed later without a change.

This page is generated from the code table in \`src/errors.ts\`. A test fails when the page is out of date;
\`npx vitest run -u test/unit/docs-errors.test.ts\` writes it again.

## Errors that the caller can correct

${head}
${rows("caller")}

## Errors that the platform team can correct

${head}
${rows("operator")}
`

test("docs/errors.md lists every code of the table and no dead one", async () => {
  await expect(page).toMatchFileSnapshot("../../docs/errors.md")
})

test("every code says in one sentence what to do", () => {
  for (const [code, row] of Object.entries(errorTable)) expect(row.help, code).toMatch(/^[A-Z'].*\.$/)
})
