/** The HTTP servers that are measured, each in a process of its own, mailing to a sink in another one. */
import { rm } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { startChild, startSink } from './child.mjs'
import { email, http, library, sqlite } from './library.mjs'

/** ms that the SMTP server takes for a message. */
const SMTP_LATENCY = 50

/** The Express example as it stands in examples/, over the built library instead of its sources. */
async function bundledExample() {
  // Below this folder, so that Express and Nodemailer are the same files for everybody.
  const outfile = fileURLToPath(new URL(`./node_modules/.example/${process.pid}.mjs`, import.meta.url))
  await build({
    entryPoints: [fileURLToPath(new URL('../examples/express/main.ts', import.meta.url))],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    packages: 'external',
    alias: {
      'background-runner': fileURLToPath(library),
      'background-runner/email': fileURLToPath(email),
      'background-runner/http': fileURLToPath(http),
      'background-runner/sqlite': fileURLToPath(sqlite),
    },
    logLevel: 'error',
  })
  return outfile
}

/** What is left of the tasks of each: all keep them in memory. */
export const durabilityOf = (name) => (name === 'empty route' ? undefined : 'none')

const FILES = {
  'background-runner': bundledExample,
  'hand-written': () => 'hand-written.mjs',
  'empty route': () => 'empty-route.mjs',
}

/** Calls `measure` with a fresh server of that name and its sink, and ends both. */
export async function withServer(name, measure) {
  const sink = await startSink(SMTP_LATENCY)
  try {
    const file = await FILES[name]()
    const env = {
      SMTP_URL: sink.url,
      MAIL_FROM: 'noreply@example.com',
      HOST: '127.0.0.1',
      PORT: '0',
      CONCURRENCY: '10',
      DATABASE_PATH: 'memory',
    }
    const server = await startChild(file, { ...env, RETRY_DELAY: '', NODE_ENV: 'production' })
    try {
      return await measure(server, sink)
    } finally {
      await server.stop()
      if (name === 'background-runner') await rm(file)
    }
  } finally {
    await sink.stop()
  }
}

/** A request for a mail, as a form sends it. */
export const REQUEST = {
  method: 'POST',
  path: '/send_email',
  headers: { 'content-type': 'application/x-www-form-urlencoded' },
  body: new URLSearchParams({
    recipient: 'ada@example.com',
    subject: 'Welcome to the example',
    content: 'Hello Ada,\n\nyour account is ready.\n\nThe example\n',
  }).toString(),
}

export function onlyAccepted(statuses, requests) {
  if (statuses[202] !== requests) throw new Error(`${requests} requests, answered: ${JSON.stringify(statuses)}`)
}
