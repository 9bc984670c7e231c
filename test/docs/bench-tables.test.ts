/** The tables in both READMEs are what bench/results.json has: `DOCS=write npx vitest run test/docs/bench-tables.test.ts`. */
import { readFileSync, writeFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { written } from '../../bench/readmes.mjs'

const results = JSON.parse(readFileSync(new URL('../../bench/results.json', import.meta.url), 'utf8'))

it('the figures in bench/README.md and the short table in README.md are those of results.json', () => {
  for (const [file, text] of Object.entries(written(results)))
    if (process.env['DOCS'] === 'write') writeFileSync(file, text)
    else expect(readFileSync(file, 'utf8')).toBe(text)
})
