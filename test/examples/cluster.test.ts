/** The cluster example, with fewer mails: a worker is killed, and each mail arrives. */
import { expect, it } from 'vitest'
import { env, fromSources, run } from '../support/snippets.js'

it('sends every mail that its web processes accepted, though a worker is killed', async () => {
  const { stdout } = await run(process.execPath, fromSources('examples/cluster/main.ts'), {
    env: { ...env, MAILS: '100' },
    timeout: 30_000,
  })
  expect(stdout).toMatch(/worker \d+ killed when \d+ had arrived\n100 tasks succeeded; 100 of 100 mails arrived/)
}, 35_000)
