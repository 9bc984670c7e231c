/**
 * The compiler at work beside the tests. Vitest checks types when all else has ended, with one processor; but what the
 * compiler finds out is kept in a file, and what it finds there it need not find out again.
 */
import { spawn } from 'node:child_process'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'

const { resolve } = createRequire(import.meta.url)
const TSC = resolve('typescript/bin/tsc')
/** Where Vitest has it kept. Were it elsewhere one day, this would only be of no use. */
const KEPT = join(dirname(resolve('vitest/package.json')), 'dist/tsconfig.tmp.tsbuildinfo')

/** Begins; nobody waits for it. */
export function compileAhead(project: string): void {
  const args = [TSC, '--project', project, '--noEmit', '--incremental', '--tsBuildInfoFile', KEPT]
  const child = spawn(process.execPath, args, { stdio: 'ignore' })
  child.unref()
  process.once('exit', () => child.kill())
}
