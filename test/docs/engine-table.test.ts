/** What the engines promise, as the README has it, is what they declare: `DOCS=write npx vitest run test/docs/engine-table.test.ts`. */
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { type Capabilities, memory } from 'background-runner'
import { bullmq } from 'background-runner/bullmq'
import { sqlite } from 'background-runner/sqlite'
import { expect, it } from 'vitest'

const page = fileURLToPath(new URL('../../README.md', import.meta.url))
const BETWEEN = /(?<=<!-- engines:begin -->\n)[\s\S]*?(?=<!-- engines:end -->)/

const ENGINES = {
  '`memory()`': memory(),
  '`sqlite()`': sqlite({ path: 'tasks.db' }),
  '`bullmq()`': bullmq({ connection: 'redis://127.0.0.1' }),
}

const yesNo = (value: unknown): string => (value === true ? 'yes' : 'no')

/** Each capability in words, and what its values mean. */
const CAPABILITIES: Record<keyof Capabilities, readonly [string, (value: unknown) => string]> = {
  durable: ['tasks outlive their process', yesNo],
  shared: ['several processes work on the same tasks', yesNo],
  feed: ['whose changes `watch` and `wait` tell', (value) => (value === 'all' ? 'everybody’s' : 'its own process’s')],
  limits: [
    'where a number as a definition’s `concurrency` holds',
    (value) => (value === 'global' ? 'everywhere' : 'in each process'),
  ],
  quotas: ['keyed `concurrency`, `rateLimit` and `requires`, for all processes together', yesNo],
  schedules: ['`schedule(id, …)`, each occurrence once', yesNo],
}

function table(): string {
  const engines = Object.values(ENGINES)
  const rows = Object.entries(CAPABILITIES).map(([name, [words, say]]) => {
    const said = engines.map(({ capabilities }) => say(capabilities[name as keyof Capabilities]))
    return `| \`${name}\`: ${words} | ${said.join(' | ')} |`
  })
  return [`| | ${Object.keys(ENGINES).join(' | ')} |`, `|---|${engines.map(() => '---|').join('')}`, ...rows, ''].join(
    '\n',
  )
}

it('the capabilities in the README are those that the engines declare', () => {
  const text = readFileSync(page, 'utf8')
  if (process.env['DOCS'] === 'write')
    writeFileSync(
      page,
      text.replace(BETWEEN, () => table()),
    )
  else expect(BETWEEN.exec(text)?.[0]).toBe(table())
})
