/** Pictures of the examples: rendered in a thread while requests are answered, and inline, where they are not. */
import { execFile } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { inflateSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { env, root } from '../support/snippets.js'
import { type Client, FRAMEWORKS, Program, startInProcess } from './support.js'

/** Most of a second of computing. */
const WIDTH = 1_200

/** Renders a picture and asks all the time how it is. @returns it, and the answers that came in the middle */
async function render(client: Client): Promise<{ readonly png: Buffer; readonly between: number }> {
  const { status, headers, json } = await client.post(`/render_picture?width=${WIDTH}`)
  expect(status).toBe(202)
  expect(headers.get('location')).toBe(`/task_status/${json.task_id}`)
  let between = 0
  for (;;) {
    const told = await client.status(json.task_id)
    const percent = told.progress?.percent ?? 0
    if (told.status === 'running' && percent > 0 && percent < 100) between++
    if (['queued', 'running'].includes(told.status)) {
      await sleep(5)
      continue
    }
    expect(told).toEqual({ task_id: json.task_id, status: 'succeeded', attempt: 1, progress: { percent: 100 } })
    const response = await fetch(`${client.url}/picture/${json.task_id}`)
    expect(response.headers.get('content-type')).toBe('image/png')
    return { png: Buffer.from(await response.arrayBuffer()), between }
  }
}

/** The bytes of the lines of a PNG, whose chunks are in a known order. */
function linesOf(png: Buffer): Buffer {
  const start = png.indexOf('IDAT')
  return inflateSync(png.subarray(start + 4, start + 4 + png.readUInt32BE(start - 4)))
}

/** Where it is rendered is the library's affair, and no framework's. */
const programs = [
  ['express', 'thread'],
  ['hono', 'inline'],
] as const

describe.each(programs)('the %s example with ISOLATION=%s', (framework, isolation) => {
  it(`renders a picture and ${isolation === 'inline' ? 'answers nobody' : 'goes on answering'} meanwhile`, async () => {
    const program = new Program(framework, { ISOLATION: isolation })
    const { png, between } = await render(await program.client())
    expect(png.subarray(0, 8).toString('latin1')).toBe('\x89PNG\r\n\x1a\n')
    expect(linesOf(png)).toHaveLength(((WIDTH * 2) / 3) * (WIDTH + 1))
    if (isolation === 'inline') expect(between).toBe(0)
    else expect(between).toBeGreaterThan(0)
    program.signal('SIGTERM')
    expect(await program.ended()).toBe(0)
    expect(program.stderr).toBe('')
  }, 60_000)
})

describe.each(FRAMEWORKS)('the %s example', (framework) => {
  it('refuses a picture of no size, and shows none that is not there', async () => {
    const example = await startInProcess(framework)
    for (const width of ['', '0', '99', '2001', '900.5', 'wide', '1&width=2']) {
      const { status, json } = await example.post(`/render_picture?width=${width}`)
      expect(status).toBe(400)
      expect(json).toEqual({ error: 'invalid input', fields: { width: expect.any(String) } })
    }
    const mail = await example.accepted()
    await example.runner.wait(mail)
    for (const id of [mail, 'nobody']) expect((await example.ask(`/picture/${id}`)).status).toBe(404)
  })
})

it('examples/cpu/main.ts tells what rendering does to a route, in a thread and inline', async () => {
  const args = ['--import', 'tsx', 'examples/cpu/main.ts', '1', '300']
  const { stdout, stderr } = await promisify(execFile)(process.execPath, args, { cwd: root, env })
  expect(stderr).toBe('')
  expect(stdout).toMatch(
    /^thread: \d+ answers during 1 pictures, p50 [\d.]+ ms, p99 [\d.]+ ms\ninline: \d+ answers .* ms\n$/,
  )
}, 60_000)
