/**
 * Runs the tests and the built package on other Nodes than the one at hand:
 *
 *   npm run nodes                      all tests, on each
 *   npm run nodes -- test/sqlite       those in files whose path has this in it
 *
 * These Nodes come from npm, into this folder: their package brings a program named `node`, which in the root's
 * node_modules would become the Node of every npm script. One line for each; what failed stands below it.
 */
import { execFile } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const HERE = fileURLToPath(new URL('.', import.meta.url))
const ROOT = join(HERE, '..')
const VITEST = join(ROOT, 'node_modules/vitest/vitest.mjs')
/** ms for the tests of one Node. */
const TIMEOUT = 15 * 60_000

const exec = promisify(execFile)
const filters = process.argv.slice(2)
const { dependencies } = JSON.parse(readFileSync(join(HERE, 'package.json'), 'utf8'))

if (process.platform !== 'linux' || process.arch !== 'x64') {
  console.error(
    `NOTHING WAS CHECKED: these Nodes are for Linux on x64, and this is ${process.platform} on ${process.arch}`,
  )
  process.exit(1)
}

const home = mkdtempSync(join(tmpdir(), 'background-runner-nodes-'))
try {
  await npm(HERE, 'install', '--no-audit', '--no-fund')
  await npm(ROOT, 'run', 'build')
  await installPackage()
  for (const name of Object.keys(dependencies)) await check(name)
} finally {
  rmSync(home, { recursive: true, force: true })
}

/** The package as users get it, with Nodemailer and without a SQLite library: only that of Node is left. */
async function installPackage() {
  const { devDependencies } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'))
  const { stdout } = await npm(ROOT, 'pack', '--ignore-scripts', '--json', '--pack-destination', home)
  const [{ filename }] = JSON.parse(stdout)
  writeFileSync(join(home, 'package.json'), '{ "private": true, "type": "module" }')
  const nodemailer = `nodemailer@${devDependencies.nodemailer}`
  await npm(home, 'install', '--no-audit', '--no-fund', '--prefer-offline', join(home, filename), nodemailer)
  copyFileSync(join(HERE, 'smoke.mjs'), join(home, 'smoke.mjs'))
}

async function check(name) {
  const node = join(HERE, 'node_modules', name, 'bin/node')
  // What a test starts by its name is to be this Node too.
  const env = { ...process.env, PATH: `${dirname(node)}${delimiter}${process.env.PATH}`, NO_COLOR: '1' }
  const run = (cwd, ...args) => exec(node, args, { cwd, env, timeout: TIMEOUT, maxBuffer: 1e9 })
  const started = performance.now()
  const faults = []
  const attempt = async (work) => {
    try {
      return (await work()).stdout.trim()
    } catch (error) {
      faults.push(`${error.stderr || error.stdout || error.stack}`.trim())
      return 'failed'
    }
  }

  const driver = await attempt(() => run(ROOT, '--import', 'tsx', join(HERE, 'driver.mjs')))
  const smoke = await attempt(() => run(home, 'smoke.mjs'))
  const tests = await runTests(run)
  const ok = faults.length === 0 && tests.failed.length === 0 && tests.passed > 0
  const parts = [
    `${ok ? '✓' : '✗'} Node ${(await run(ROOT, '--version')).stdout.trim().slice(1)}`,
    `tests: ${tests.passed} passed, ${tests.failed.length} failed`,
    `driver: ${driver}`,
    `package: ${smoke}`,
    `${((performance.now() - started) / 1_000).toFixed(0)} s`,
  ]
  console.log(parts.join(' · '))
  for (const fault of [...faults, ...tests.failed]) console.log(fault.replace(/^/gm, '    '))
  if (!ok) process.exitCode = 1
}

/** vitest by its file, since its program would choose the Node itself. Types are the same on each: they are not looked at. */
async function runTests(run) {
  const report = join(mkdirp(join(home, 'reports')), 'tests.json')
  rmSync(report, { force: true })
  const options = ['--project=!types', '--reporter=json', `--outputFile=${report}`]
  const ended = await run(ROOT, VITEST, 'run', ...options, ...filters).catch((error) => error)
  try {
    const { numPassedTests, testResults } = JSON.parse(readFileSync(report, 'utf8'))
    return { passed: numPassedTests, failed: testResults.flatMap(failuresOf).concat(faultOf(ended, testResults)) }
  } catch {
    return { passed: 0, failed: [`vitest did not get as far as a report: ${ended.stderr || ended.stack}`] }
  }
}

function failuresOf({ name, status, message, assertionResults }) {
  const failed = assertionResults.filter((test) => test.status === 'failed')
  // A file that does not even load has no tests that could fail.
  if (status === 'failed' && failed.length === 0) return [`${name}: ${message}`]
  return failed.map(({ fullName, failureMessages: [message] }) => `${name}: ${fullName}\n${withoutVitest(message)}`)
}

function withoutVitest(message) {
  return message.replace(/\n\s+at .*node_modules.*/g, '')
}

/** An unhandled rejection fails the run, and no test. */
function faultOf(ended, testResults) {
  const told = testResults.some(({ status }) => status === 'failed')
  return ended instanceof Error && !told ? [`vitest failed: ${ended.stderr || ended.message}`] : []
}

function mkdirp(folder) {
  mkdirSync(folder, { recursive: true })
  return folder
}

function npm(cwd, ...args) {
  return exec('npm', args, { cwd, maxBuffer: 1e8 })
}
