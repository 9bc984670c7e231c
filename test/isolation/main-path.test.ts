import assert from 'node:assert/strict'
import { BackgroundRunner, defineTask } from 'background-runner'
import { describe, it } from 'vitest'

const module = new URL('./modules/basics.js', import.meta.url)

for (const isolation of ['thread', 'process'] as const) {
  describe(`a handler in a ${isolation}`, () => {
    const names = ['run', 'spin', 'obey', 'exit', 'hog', 'fail', 'noop'] as const
    const tasks = Object.fromEntries(
      names.map((name) => [
        name,
        defineTask({ isolation, module, export: name, memory: '64MB', retry: { attempts: 1 } } as never),
      ]),
    )
    const open = () => new BackgroundRunner({ tasks, cancelGrace: 200 })
    it('runs, tells its progress, saves, logs and gives an output', async () => {
      const runner = open()
      const told: unknown[] = []
      runner.on('progress', ({ progress }) => void told.push(progress))
      const output = await (await runner.submit('run', 'x')).result()
      console.log(output)
      assert.deepEqual(told, ['half'])
      await runner.close()
    })
    it('is ended', async () => {
      const runner = open()
      const spin = await runner.submit('spin')
      await new Promise((resolve) => runner.once('progress', resolve))
      await spin.cancel({ reason: 'enough' })
      console.log(await spin.wait())
      const timed = await runner.submit('spin', undefined, { timeout: 50 })
      console.log((await timed.wait()).error)
      const obey = await runner.submit('obey', undefined, { timeout: 50 })
      console.log((await obey.wait()).error)
      for (const name of ['exit', 'hog', 'fail', 'noop'])
        console.log(name, (await (await runner.submit(name, 3)).wait()).error)
      await runner.close()
    })
  })
}
