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

const head = `| code | HTTP | JSON-RPC | again later? | what to do |
|---|---|---|---|---|`

const page = `# Errors

Every error has a code. On MCP endpoints whoever may use the target gets it as a JSON-RPC error with the request's id, and the
code stands in \`error.data.code\`; everybody else, and the REST API, a problem document (RFC 9457) with \`code\`.
The JSON-RPC error of a request with an id comes with status 200 once policy permits the request, because many clients show nothing
else of an answer with another one ([why](adr/0020-errors-of-permitted-requests-are-answers.md)); log and metrics have the status of the
table. Exceptions are 404 \`SessionNotFound\`, which MCP demands, and all errors of \`server/discover\`. Its \`message\` is the
sentence, what to do, and the code in brackets.
Each answer carries \`x-request-id\`, which is also in the log. \`Retry-After\` says when to try again.

This page is made from the code table in \`src/errors.ts\`; a test fails when it is stale
(\`npx vitest run -u test/unit/docs-errors.test.ts\` renews it).

## What a caller can see and mend

${head}
${rows("caller")}

## What the operator of the platform mends

${head}
${rows("operator")}
`

test("docs/errors.md lists every code of the table and no dead one", async () => {
  await expect(page).toMatchFileSnapshot("../../docs/errors.md")
})

test("every code tells what to do in one sentence", () => {
  for (const [code, row] of Object.entries(errorTable)) expect(row.help, code).toMatch(/^[A-Z'].*\.$/)
})
