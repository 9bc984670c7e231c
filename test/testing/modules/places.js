/** Handlers for the tests of isolated tasks under virtual time. */
import { pbkdf2 } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { isMainThread } from 'node:worker_threads'

export const place = () => ({ pid: process.pid, isMainThread })

/** Tells and saves something at each step, with real work in between. */
export async function run(steps, { progress, save, log, saved, attempt }) {
  for (let step = Number(saved ?? 0) + 1; step <= steps; step++) {
    if (step === 13) throw Object.assign(new Error('step 13 is missing'), { code: 'MISSING' })
    progress(step)
    progress({ done: step })
    await sleep(5)
    await save(step)
  }
  log('done', { attempt })
  return 'done'
}

/** Really at work for a while, at what a loop waits for: a timer, a file, a hash; then with the loop held. */
export async function work(ms) {
  await sleep(ms)
  await readFile(new URL(import.meta.url))
  await promisify(pbkdf2)('a', 'b', 50_000, 64, 'sha512')
  const end = performance.now() + ms
  while (performance.now() < end);
  return 'worked'
}

export const wait = (_input, { signal }) =>
  new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason))
  })

/** Tidies up for a while, in earnest, when it is asked to stop. */
export async function tidy(ms, ctx) {
  await new Promise((resolve) => {
    ctx.signal.addEventListener('abort', resolve)
  })
  await sleep(ms)
  ctx.progress('tidied')
  await ctx.save('tidied')
  throw ctx.signal.reason
}

export const spin = () => {
  for (;;);
}

export const fail = () => {
  throw Object.assign(new Error('no luck'), { code: 'LUCK' })
}

/** Good at everything: it reads, tells, saves, and stops at once when it is asked to. */
export async function good(ms, { signal, progress, save }) {
  await readFile(new URL(import.meta.url), { signal })
  progress('read')
  await save('read')
  await sleep(ms, undefined, { signal })
  return { ms }
}

/** Takes its time, whatever its signal says. */
export const deaf = (ms) => sleep(ms)

/** Spoils its module for the next call. */
let spoiled = false
export async function once(ms, { signal }) {
  if (spoiled) throw new Error('spoiled')
  spoiled = true
  await sleep(ms, undefined, { signal })
}
