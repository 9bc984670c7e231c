/**
 * What rendering does to everybody else: how long the Express example takes for GET / meanwhile, with the pictures in a
 * thread and then on its event loop. node --import tsx examples/cpu/main.ts [pictures] [width]
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'

const [pictures = 6, width = 900] = process.argv.slice(2).map(Number)
/** ms between two requests, whether or not the earlier ones were answered. */
const EVERY = 10

for (const isolation of ['thread', 'inline']) {
  const env = { ...process.env, ISOLATION: isolation, DATABASE_PATH: 'memory', PORT: '0' }
  const example = fork(new URL('../express/main.ts', import.meta.url), { env, silent: true })
  const url = await addressOf(example.stdout)
  await rendered(url, 1, 100) // the worker has started then
  const times = await latencyUntil(rendered(url, pictures, width), url)
  const [p50, p99] = [0.5, 0.99].map((part) => times[Math.floor(part * times.length)]?.toFixed(1))
  console.log(`${isolation}: ${times.length} answers during ${pictures} pictures, p50 ${p50} ms, p99 ${p99} ms`)
  example.kill()
  await once(example, 'exit')
}

async function addressOf(stdout: NodeJS.ReadableStream | null): Promise<string> {
  for await (const line of createInterface(stdout as NodeJS.ReadableStream)) {
    const url = /listening on (\S+)/.exec(line)?.[1]
    if (url !== undefined) return url
  }
  throw new Error('it ended before it listened')
}

/** Resolves when so many pictures, so many pixels wide, are rendered. */
async function rendered(url: string, count: number, width: number): Promise<void> {
  const render = `${url}/render_picture?width=${width}`
  const accepted = Array.from({ length: count }, () => fetch(render, { method: 'POST' }))
  for (const { headers } of await Promise.all(accepted)) {
    const status = `${url}${headers.get('location')}`
    while (/queued|running/.test(await (await fetch(status)).text())) await sleep(50)
  }
}

/** How long each answer took, in ms, the shortest first, to requests until `end`. */
async function latencyUntil(end: Promise<void>, url: string): Promise<number[]> {
  const answers: Promise<number>[] = []
  let over = false
  end.finally(() => {
    over = true
  })
  while (!over) {
    answers.push(latency(url))
    await sleep(EVERY)
  }
  return (await Promise.all(answers)).sort((a, b) => a - b)
}

async function latency(url: string): Promise<number> {
  const start = performance.now()
  await (await fetch(url)).text()
  return performance.now() - start
}
