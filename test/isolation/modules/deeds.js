/** Handlers that end their worker in every way there is, and some that do not. Told first where they run, by `progress`. */
import { pbkdf2Sync } from 'node:crypto'
import { existsSync, writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { isMainThread, parentPort, threadId } from 'node:worker_threads'

const never = () => new Promise(() => {})
export const where = () => (isMainThread ? process.pid : threadId)

/** Where it runs. */
export const who = () => where()

/** Goes on until a file is there; tells the place at its beginning and at its end. */
export const until = async (path, ctx) => {
  const place = where()
  ctx.progress(place)
  while (!existsSync(path)) await sleep(5)
  return [place, where()]
}

// Ends.

export const exit = (code) => process.exit(code % 256)
export const exitLater = async (code) => {
  await sleep(1)
  process.exit(code % 256)
}
export const throwOutside = () => {
  setTimeout(() => {
    throw Object.assign(new RangeError('out of bounds'), { code: 'BOUNDS' })
  })
  return never()
}
export const throwText = () => {
  setTimeout(() => {
    throw 'words'
  })
  return never()
}
export const rejectOutside = () => {
  Promise.reject(new TypeError('nobody cares'))
  return never()
}
export const abort = () => process.abort()
export const signal = (name) => {
  process.kill(process.pid, name)
  return never()
}
export const segfault = () => signal('SIGSEGV')
export const disconnect = () => {
  process.disconnect()
  return never()
}
export const hog = () => {
  const kept = []
  for (;;) kept.push(new Array(10_000).fill(kept.length))
}

// What does not end, or not soon.

export const spin = (_input, ctx) => {
  ctx.progress(where())
  for (;;);
}
export const sleepDead = (_input, ctx) => {
  ctx.progress(where())
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
}
/** Native code, which nothing interrupts. */
export const digest = (_input, ctx) => {
  ctx.progress(where())
  for (;;) pbkdf2Sync('a', 'b', 100_000, 64, 'sha512')
}
export const ignore = (_input, ctx) => {
  ctx.progress(where())
  return never()
}

// What listens.

export const obey = (_input, ctx) =>
  new Promise((_resolve, reject) => {
    ctx.signal.addEventListener('abort', () => {
      const { name, code, message } = ctx.signal.reason
      reject(Object.assign(new Error('told to stop'), { details: { name, code, message } }))
    })
    ctx.progress(where())
  })
/** One that looks when it is called. */
export const obeyAtOnce = (_input, ctx) => {
  ctx.signal.throwIfAborted()
  return obey(_input, ctx)
}
/** Whether it is asked to stop. */
export const isAborted = async (ms, ctx) => {
  await sleep(ms)
  return ctx.signal.aborted
}
export const finishAnyway = (_input, ctx) =>
  new Promise((resolve) => {
    ctx.signal.addEventListener('abort', () => resolve('done all the same'))
    ctx.progress(where())
  })

// What leaves something behind.

export const leaveThrower = (ms) => {
  setTimeout(() => {
    throw new Error('left behind')
  }, ms)
  return where()
}
export const leaveRejection = () => {
  Promise.reject(new Error('left behind'))
  return where()
}
/** What is left behind waits for a file, and then throws or exits. */
export const lurk = ({ path, how }) => {
  setInterval(() => {
    if (!existsSync(path)) return
    if (how === 'exit') process.exit(9)
    throw new Error('left behind')
  }, 1)
  return where()
}
/** Makes each of these files, the first that is not there yet, and goes on for ever; ends when all are there. */
export const provoke = (paths) => {
  const next = paths.find((path) => !existsSync(path))
  if (next === undefined) return where()
  writeFileSync(next, '')
  return never()
}
/** A loop without end; seconds pass until somebody ends it, so it leaves the processor to the other tests. */
export const leaveSpin = (ms) => {
  const cell = new Int32Array(new SharedArrayBuffer(4))
  setTimeout(() => {
    for (;;) Atomics.wait(cell, 0, 0, 10)
  }, ms)
  return where()
}
export const leaveTimer = () => {
  setInterval(() => {}, 1)
  return where()
}
/** The reply is on its way and the worker is gone. */
export const replyAndDie = (output) => {
  setImmediate(() => process.exit(1))
  return output
}
export const pause = async (ms) => {
  await sleep(ms)
  return where()
}

// What says something.

/** To its parent, past the runner; gives where it runs when that has been heard. */
export const saidToParent = async (what) => {
  await new Promise((resolve) => (process.send ? process.send(what, resolve) : setTimeout(resolve, 10)))
  parentPort?.postMessage(what)
  await sleep(10)
  return where()
}

/** A save that is underway when the worker dies. */
export const saveAndDie = async (input, ctx) => {
  ctx.save({ before: input })
  process.exit(1)
}
/** The first time; the next time it gives what was saved. */
export const saveOnce = (input, ctx) => ctx.saved ?? saveAndDie(input, ctx)
export const floodAndDie = async (lines, ctx) => {
  for (let i = 0; i < lines; i++) ctx.log(`line ${i}`)
  ctx.progress('almost all said')
  ctx.progress('all said')
  process.exit(1)
}
export const print = async (text) => {
  process.stdout.write(`out: ${text}\n`)
  process.stderr.write(`err: ${text}\n`)
}
export const printAndDie = (text) => {
  process.stdout.write(`out: ${text}\n`)
  process.stderr.write(`err: ${text}\n`)
  process.exit(1)
}
export const claimHeap = () => {
  process.stderr.write('FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory\n')
  process.exit(1)
}
/** What cannot be sent in a log line. */
export const logFunction = (_input, ctx) => {
  ctx.log('a line', { plain: 1, method: () => {} })
  return 'logged'
}
export const measure = (input) => ({
  bytes: input.bytes?.byteLength ?? null,
  date: input.date?.toISOString() ?? null,
  self: input.self === input,
})
/** Of the Buffers in it, what they say. */
export const spell = ({ one, map, set, own }) =>
  [one, map.get('it'), [...set][0], own.bytes].map((each) =>
    Buffer.isBuffer(each) ? `${each}`.slice(0, 5) : typeof each,
  )
