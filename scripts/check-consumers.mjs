/**
 * Installs the packed package into folders of their own and uses it as others do: test/package/*.ts is compiled under
 * each module resolution with the library's types checked too, run as ESM and as CommonJS, and run under Jest; so is the
 * conformance suite, under node:test and Jest. Once with what the sub-paths need and once without. And the example of a
 * test file is run as it is under node:test, vitest and Jest; and an app that esbuild and tsup have bundled, with the
 * package in it and without.
 */

import { equal } from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { copyFileSync, cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import * as esbuild from 'esbuild'
import * as tsup from 'tsup'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const FIXTURES = join(ROOT, 'test/package')
/** A user's tests, under any framework. */
const EXAMPLE = join(ROOT, 'examples/testing/shop.test.ts')
const TSC = join(ROOT, 'node_modules/typescript/bin/tsc')
const { devDependencies } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'))
const dev = (name) => `${name}@${devDependencies[name]}`

/** A program is compiled as ESM (.mts) and as CommonJS (.cts), unless the resolution knows one of them only. */
const RESOLUTIONS = [
  { name: 'node16', module: 'node16' },
  { name: 'nodenext', module: 'nodenext' },
  { name: 'bundler', module: 'preserve', extension: '.mts' },
  { name: 'node10', module: 'commonjs', extension: '.cts' },
]

/**
 * `typed`: the types of the others need what is not installed; they load and run all the same, by `start` where they have
 * that. `suites` run under node:test.
 */
const CONSUMERS = [
  {
    name: 'alone',
    packages: [dev('@types/node')],
    typed: ['core', 'conformance', 'isolation'],
    programs: ['core', 'email', 'isolation', 'bullmq', 'http'],
    start: 'runWithoutPeers',
    suites: ['conformance'],
  },
  {
    name: 'with peers',
    packages: [
      ...['@types/node', 'nodemailer', 'tinypool', 'zod', 'hono', 'vitest', 'bullmq', 'ioredis'].map(dev),
      'jest@30',
    ],
    typed: ['core', 'email', 'isolation', 'bullmq', 'http'],
    programs: ['core', 'email', 'isolation', 'bullmq', 'http'],
    start: 'run',
    frameworks: true,
    bundlers: true,
  },
]

/** Each bundles these entries into a folder; `isWhole`: what they import, too. */
const BUNDLERS = {
  esbuild: (entryPoints, outdir, format, isWhole) =>
    esbuild.build({
      entryPoints,
      outdir,
      format,
      bundle: true,
      platform: 'node',
      packages: isWhole ? 'bundle' : 'external',
      logLevel: 'error',
    }),
  tsup: (entry, outDir, format, isWhole) =>
    tsup.build({
      entry,
      outDir,
      format,
      outExtension: () => ({ js: '.js' }),
      ...(isWhole ? { noExternal: [/./] } : { external: ['background-runner'] }),
      config: false,
      silent: true,
    }),
}

const exec = promisify(execFile)
const home = mkdtempSync(join(tmpdir(), 'background-runner-'))
let failed = 0
try {
  const tarball = await pack()
  await Promise.all(CONSUMERS.map((consumer) => use(consumer, tarball)))
} finally {
  rmSync(home, { recursive: true, force: true })
}
process.exitCode = failed === 0 ? 0 : 1

async function pack() {
  const { stdout } = await npm(ROOT, 'pack', '--ignore-scripts', '--json', '--pack-destination', home)
  const [{ filename, files }] = JSON.parse(stdout)
  const stray = files
    .map(({ path }) => path)
    .filter((path) => !/^(?:dist\/|docs\/[a-z-]+\.md$|package\.json$|[A-Z]+(?:\.md)?$)/.test(path))
  if (stray.length > 0) throw new Error(`the package contains ${stray.join(', ')}`)
  return join(home, filename)
}

async function use({ name, packages, typed, programs, start, suites = [], frameworks, bundlers }, tarball) {
  const folder = join(home, name.replaceAll(' ', '-'))
  mkdirSync(folder)
  writeFileSync(
    join(folder, 'package.json'),
    '{ "private": true, "jest": { "testMatch": ["**/*.jest.cjs", "**/*.test.cjs"], "transform": {} } }',
  )
  await npm(folder, 'install', '--no-audit', '--no-fund', '--prefer-offline', tarball, ...packages)

  const both = (programs) => programs.flatMap((program) => [`${program}.mts`, `${program}.cts`])
  const all = both([...programs, ...suites])
  for (const file of all) copyFileSync(join(FIXTURES, file.replace(/[mc]ts$/, 'ts')), join(folder, file))
  copyFileSync(join(FIXTURES, 'handler.ts'), join(folder, 'handler.ts'))
  for (const { name: resolution, module, extension = '' } of RESOLUTIONS) {
    await step(`${name}: types under ${resolution}`, async () => {
      const files = both(typed).filter((file) => file.endsWith(extension))
      await compile(folder, files, '--noEmit', '--module', module, '--moduleResolution', resolution)
    })
  }
  await compile(folder, [...all, 'handler.ts'], '--noCheck', '--module', 'nodenext')
  for (const file of both(programs).map((file) => file.replace(/ts$/, 'js'))) {
    await step(`${name}: ${file} runs`, async () => {
      const main = `import('./${file}').then((program) => (program.${start} ?? program.run)())`
      await exec(process.execPath, ['--eval', main], { cwd: folder, timeout: 30_000 })
    })
  }
  for (const file of both(suites).map((file) => file.replace(/ts$/, 'js'))) {
    await step(`${name}: ${file} passes under node:test`, async () => {
      await exec(process.execPath, ['--test', '--test-reporter=dot', file], { cwd: folder, timeout: 60_000 })
    })
  }
  if (bundlers) await bundle(name, folder)
  if (!frameworks) return
  const example = both(['shop.test'])
  for (const file of example) copyFileSync(EXAMPLE, join(folder, file))
  await compile(folder, example, '--noCheck', '--module', 'nodenext')
  const tests = readdirSync(FIXTURES).filter((file) => file.endsWith('.jest.cjs'))
  for (const file of tests) copyFileSync(join(FIXTURES, file), join(folder, file))
  const test = (...args) => exec(process.execPath, args, { cwd: folder, timeout: 60_000 })
  await step(`${name}: node:test runs the example`, async () => {
    await test('--test', '--test-reporter=dot', 'shop.test.mjs', 'shop.test.cjs')
  })
  await step(`${name}: vitest runs the example`, async () => {
    await test('node_modules/vitest/vitest.mjs', 'run', '--globals', 'shop.test.mts')
  })
  await step(`${name}: vitest loads a handler in TypeScript, if it loads the package`, async () => {
    const apart = join(folder, 'typescript')
    mkdirSync(apart)
    copyFileSync(join(FIXTURES, 'typescript/levels.ts'), join(apart, 'levels.ts'))
    copyFileSync(join(FIXTURES, 'typescript/inline.ts'), join(apart, 'inline.test.ts'))
    writeFileSync(
      join(apart, 'vitest.config.mjs'),
      `export default { test: { server: { deps: { inline: process.env.INLINE ? ['background-runner'] : [] } } } }`,
    )
    const vitest = join(folder, 'node_modules/vitest/vitest.mjs')
    for (const INLINE of ['1', ''])
      await exec(process.execPath, [vitest, 'run'], { cwd: apart, env: { ...process.env, INLINE }, timeout: 60_000 })
  })
  await step(`${name}: Jest runs the example, every sub-path and the conformance suite`, async () => {
    const options = ['--ci', '--watchman=false', '--cacheDirectory', join(folder, '.jest')]
    await test('node_modules/jest/bin/jest.js', ...options)
  })
}

/** Bundles an app and its handler, with the package in it and without, and runs it. */
async function bundle(name, folder) {
  for (const file of ['bundled.ts', 'handler.ts']) copyFileSync(join(FIXTURES, file), join(folder, file))
  const entry = { app: join(folder, 'bundled.ts'), handler: join(folder, 'handler.ts') }
  const app = async (cwd) => (await exec(process.execPath, ['app.js'], { cwd, timeout: 30_000 })).stdout.trim()
  for (const [bundler, build] of Object.entries(BUNDLERS)) {
    for (const format of ['esm', 'cjs']) {
      for (const isWhole of [false, true]) {
        const what = `${bundler} makes ${format} ${isWhole ? 'with' : 'without'} the package`
        await step(`${name}: an isolated task runs when ${what}`, async () => {
          const outdir = join(folder, what.replaceAll(' ', '-'))
          mkdirSync(outdir)
          writeFileSync(join(outdir, 'package.json'), `{ "type": "${format === 'esm' ? 'module' : 'commonjs'}" }`)
          await build(entry, outdir, format, isWhole)
          equal(await app(outdir), '42,42,42')
        })
      }
    }
  }
  await step(`${name}: a bundle without node_modules says what is missing`, async () => {
    const away = mkdtempSync(join(home, 'away-'))
    cpSync(join(folder, 'esbuild-makes-esm-with-the-package'), away, { recursive: true })
    equal(await app(away), '42,MISSING_DEPENDENCY,MISSING_DEPENDENCY')
    cpSync(join(folder, 'node_modules/tinypool'), join(away, 'node_modules/tinypool'), { recursive: true })
    equal(await app(away), '42,WORKER_NOT_FOUND,WORKER_NOT_FOUND')
  })
}

/** The types of the library are checked too: `skipLibCheck` would hide what it lacks. */
async function compile(folder, files, ...options) {
  const strict = ['--strict', '--exactOptionalPropertyTypes', '--esModuleInterop', '--skipLibCheck', 'false']
  await exec(
    process.execPath,
    [TSC, ...strict, '--target', 'es2022', '--lib', 'es2022', '--types', 'node', ...options, ...files],
    {
      cwd: folder,
    },
  )
}

async function step(name, work) {
  try {
    await work()
    console.log(`✓ ${name}`)
  } catch (error) {
    failed++
    console.log(`✗ ${name}\n${error.stdout ?? ''}${error.stderr ?? error.stack}`)
  }
}

function npm(folder, ...args) {
  return exec('npm', args, { cwd: folder, shell: process.platform === 'win32', maxBuffer: 1e8 })
}
