import { env } from "node:process"
import { checkSync } from "recheck"
import ts from "typescript"

/** A regular expression in a source text. */
export type Expression = { readonly line: number; readonly source: string; readonly flags: string }

/** What a source text has: expressions that can be judged, and lines where one is put together at run time. */
export type Expressions = { readonly written: readonly Expression[]; readonly computed: readonly number[] }

/** `RegExp` as a value: called, or handed on under another name. `instanceof` and types make none. */
const makesOne = (node: ts.Node): boolean => {
  if (!ts.isIdentifier(node) || node.text !== "RegExp" || ts.isTypeReferenceNode(node.parent)) return false
  return !ts.isBinaryExpression(node.parent) || node.parent.operatorToken.kind !== ts.SyntaxKind.InstanceOfKeyword
}

/** These methods make an expression of a text that they are given. */
const methods: readonly string[] = ["match", "matchAll", "search"]
const takesText = (node: ts.Node): boolean =>
  ts.isCallExpression(node) &&
  ts.isPropertyAccessExpression(node.expression) &&
  methods.includes(node.expression.name.text) &&
  node.arguments[0] !== undefined &&
  (ts.isStringLiteralLike(node.arguments[0]) || ts.isTemplateExpression(node.arguments[0]))

/** All regular expressions of a source text. */
export const expressionsIn = (path: string, text: string): Expressions => {
  const file = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true)
  const written: Expression[] = []
  const computed: number[] = []
  const visit = (node: ts.Node): void => {
    const line = file.getLineAndCharacterOfPosition(node.getStart()).line + 1
    if (ts.isRegularExpressionLiteral(node)) {
      const end = node.text.lastIndexOf("/")
      written.push({ line, source: node.text.slice(1, end), flags: node.text.slice(end + 1) })
    }
    if (makesOne(node) || takesText(node)) computed.push(line)
    ts.forEachChild(node, visit)
  }
  visit(file)
  return { written, computed }
}

/**
 * Why an expression may cost more than its text is long; undefined if it costs no more. Decided by the theory of automata
 * alone, which finds every text of that kind and is the same each time. What it cannot decide (back references, look-ahead
 * with repetitions, look-behind) counts as a fault: it can be written otherwise.
 */
export const faultOf = ({ source, flags }: Omit<Expression, "line">): string | undefined => {
  // the part in JavaScript: the others start a program each, and one of them needs Java
  env.RECHECK_BACKEND = "pure"
  const found = checkSync(source, flags, { checker: "automaton", timeout: 60_000 })
  if (found.status === "safe") return undefined
  if (found.status === "unknown") return `cannot be decided (${found.error.kind})`
  return `${found.complexity.summary}, e.g. on ${found.attack.pattern}`
}
