/**
 * Refuses code that asks for the time, waits or rolls dice past the runner's clock and `random`: with those in a test's
 * hands a week passes in a millisecond, and what a run did it does again.
 *
 * It reads the syntax tree, so a comment, a string or a method such as `clock.setTimeout` is no finding.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'

const ROOT = fileURLToPath(new URL('..', import.meta.url))

/**
 * Who may ask for the time, and who may roll dice, in each tree; the first one that a file lies in is its own. A harness
 * with virtual time has a file of its own for the real one: it cannot reach the core's.
 */
const TREES = [
  { root: 'src/testing/', time: 'src/testing/real-time.ts', chance: undefined },
  { root: 'src/http/', time: 'src/http/time.ts', chance: undefined },
  { root: 'src/', time: 'src/clock.ts', chance: 'src/options.ts' },
]
/** What only these may use. `Date` alone means: other than to make one of a known time, or to recognise one. */
const RESERVED = new Map([
  ['Date', 'time'],
  ['performance', 'time'],
  ['setTimeout', 'time'],
  ['setInterval', 'time'],
  ['setImmediate', 'time'],
  ['AbortSignal.timeout', 'time'],
  ['process.hrtime', 'time'],
  ['process.uptime', 'time'],
  ['Math.random', 'chance'],
])
const MODULES = new Set(['timers', 'timers/promises', 'perf_hooks'])
const GLOBALS = new Set(['globalThis', 'global'])

const files = readdirSync(join(ROOT, 'src'), { recursive: true })
  .map((path) => `src/${String(path).replaceAll('\\', '/')}`)
  // The dashboard is a browser's program: it has no clock but the browser's.
  .filter((path) => path.endsWith('.ts') && !path.startsWith('src/http/dashboard/'))
const findings = files.flatMap(check)

for (const { file, line, text, what, owner } of findings) {
  console.error(`${file}:${line} uses ${what}, ${owner === undefined ? 'nobody' : `only ${owner}`} may: ${text}`)
}
console.log(`time and chance: ${files.length} files, ${findings.length} findings`)
process.exitCode = findings.length === 0 ? 0 : 1

function check(file) {
  const source = ts.createSourceFile(file, readFileSync(join(ROOT, file), 'utf8'), ts.ScriptTarget.Latest, true)
  const found = []
  const tree = TREES.find(({ root }) => file.startsWith(root))
  const report = (node, what, owner) => {
    if (file === owner) return
    const { line } = source.getLineAndCharacterOfPosition(node.getStart(source))
    found.push({ file, line: line + 1, text: source.text.split('\n')[line].trim(), what, owner })
  }
  const visit = (node) => {
    const what = used(node)
    if (what !== undefined) report(node, what, tree[RESERVED.get(what)])
    const module = imported(node)
    if (MODULES.has(module)) report(node, `node:${module}`, tree.time)
    ts.forEachChild(node, visit)
  }
  visit(source)
  return found
}

/** The forbidden global that this node reads, if any. */
function used(node) {
  if (ts.isPropertyAccessExpression(node)) {
    const name = node.name.text
    if (!ts.isIdentifier(node.expression)) return undefined
    if (GLOBALS.has(node.expression.text)) return RESERVED.has(name) ? name : undefined
    const path = `${node.expression.text}.${name}`
    return RESERVED.has(path) ? path : undefined
  }
  if (!ts.isIdentifier(node) || !RESERVED.has(node.text) || !isRead(node)) return undefined
  return node.text === 'Date' && isHarmlessDate(node) ? undefined : node.text
}

/** Not the name of a member, of a declaration or of a type. */
function isRead(node) {
  const { parent } = node
  if (ts.isTypeNode(parent) && !ts.isExpressionWithTypeArguments(parent)) return false
  if (ts.isPropertyAccessExpression(parent)) return parent.expression === node
  if (ts.isPropertyAssignment(parent)) return parent.initializer === node
  if (ts.isBindingElement(parent)) return parent.initializer === node
  if (ts.isVariableDeclaration(parent) || ts.isParameter(parent)) return parent.initializer === node
  if (ts.isTypeElement(parent) || ts.isClassElement(parent) || ts.isMethodDeclaration(parent))
    return parent.name !== node
  return true
}

/** `new Date(time)`, `Date.parse(text)`, `Date.UTC(…)` and `value instanceof Date` ask nothing. */
function isHarmlessDate(node) {
  const { parent } = node
  if (ts.isNewExpression(parent)) return parent.expression === node && (parent.arguments?.length ?? 0) > 0
  if (ts.isPropertyAccessExpression(parent)) return parent.name.text === 'parse' || parent.name.text === 'UTC'
  return ts.isBinaryExpression(parent) && parent.operatorToken.kind === ts.SyntaxKind.InstanceOfKeyword
}

/** The built-in module that this node imports, without `node:`. */
function imported(node) {
  let from
  if (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) from = node.moduleSpecifier
  else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) from = node.arguments[0]
  return from !== undefined && ts.isStringLiteralLike(from) ? from.text.replace(/^node:/, '') : undefined
}
