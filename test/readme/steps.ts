import { BackgroundRunner, defineTask } from 'background-runner'

const order = defineTask({
  retry: { attempts: 3, backoff: { type: 'fixed', delay: '10ms' } },
  run: async (item: string, { step, attempt }) => {
    const receipt = await step('pay', async () => {
      console.log('pay')
      return { number: 17 }
    })
    if (attempt === 1) throw new Error('the process could have died here')
    await step('ship', () => console.log('ship', item))
    return receipt.number
  },
})

const runner = new BackgroundRunner({ tasks: { order } })
console.log(await (await runner.submit('order', 'a book')).result())
await runner.close()
