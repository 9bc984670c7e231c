/** Handlers for the tests of isolation, as a worker loads them. */
export async function run(input, ctx) {
  ctx.progress('half')
  ctx.log('at work', { on: input })
  await ctx.save({ seen: input })
  return { input, id: ctx.id, attempt: ctx.attempt, saved: ctx.saved, thread: threadOrProcess() }
}

import { isMainThread, threadId } from 'node:worker_threads'

function threadOrProcess() {
  return isMainThread ? `process ${process.pid}` : `thread ${threadId}`
}

export const spin = (_input, ctx) => {
  ctx.progress('spinning')
  for (;;);
}

export const obey = (_input, { signal }) =>
  new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)))

export const exit = (code) => process.exit(code)

export const hog = () => {
  const kept = []
  for (;;) kept.push(new Array(10_000).fill(kept.length))
}

export const fail = () => {
  throw Object.assign(new TypeError('bad luck', { cause: new Error('the weather') }), { code: 'LUCK', status: 503 })
}

export const noop = () => {}
