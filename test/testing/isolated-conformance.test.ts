/** taskConformance of tasks that belong in workers. */
import { defineTask, InvalidInputError } from 'background-runner'
import { taskConformance } from 'background-runner/testing'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'

type Places = typeof import('./modules/places.js')
const module = new URL('./modules/places.js', import.meta.url)
const input = z.number().min(0)

it('inline, where nothing else is said', async () => {
  const good = defineTask<Places, 'good'>({ isolation: 'process', module, export: 'good', input })
  await taskConformance(good, { valid: [1], invalid: [-1, 'x'] })
  const place = defineTask<Places, 'place'>({ isolation: 'process', module, export: 'place' })
  await taskConformance(place, { valid: [undefined], invalid: [() => 1] })
})

it('`isolated` is true or false', async () => {
  const good = defineTask<Places, 'good'>({ isolation: 'thread', module, export: 'good' })
  const bad = taskConformance(good, { valid: [1], invalid: [], isolated: 1 as never })
  await expect(bad).rejects.toThrow(InvalidInputError)
})

describe.each(['thread', 'process'] as const)('isolated, in a %s', (isolation) => {
  it('one that is good passes, and leaves no worker', async () => {
    const good = defineTask<Places, 'good'>({ isolation, module, export: 'good', input })
    await taskConformance(good, { valid: [20], invalid: [-1], isolated: true })
  })

  it('one that does not obey its signal is told of, although its worker is ended', async () => {
    const deaf = defineTask<Places, 'deaf'>({ isolation, module, export: 'deaf', input })
    const trial = taskConformance(deaf, { valid: [100], invalid: [], isolated: true, grace: 40 })
    await expect(trial).rejects.toThrow(/valid\[0\] 100: its handler does not settle within 40ms when its signal is/)
  })

  it('one that can run but once in its worker is told of', async () => {
    const once = defineTask<Places, 'once'>({ isolation, module, export: 'once', input })
    const trial = taskConformance(once, { valid: [1], invalid: [], isolated: true })
    await expect(trial).rejects.toThrow('valid[0] 1, run a second time: it is failed: spoiled')
  })
})
