/** A handler in TypeScript under Vitest: what Vitest has to load is the package, since that loads the handler. */
import { defineTask } from 'background-runner'
import { runTask } from 'background-runner/testing'
import { expect, it } from 'vitest'

it('runs inline, or says what helps', async () => {
  const module = new URL('./levels.ts', import.meta.url)
  const double = defineTask<typeof import('./levels.js')>({ isolation: 'thread', module, retry: { attempts: 1 } })
  const { outcome } = await runTask(double, { width: 21 })
  if (process.env['INLINE']) expect(outcome).toMatchObject({ type: 'succeeded', output: 42 })
  else
    expect(outcome).toMatchObject({
      error: { message: expect.stringContaining("have Vitest load it (server.deps.inline: ['background-runner'])") },
    })
})
