import { BackgroundRunner, defineTask } from 'background-runner'

const runner = new BackgroundRunner({
  tasks: {
    weather: defineTask({
      run: (city: string) => `sun in ${city}`,
      rateLimit: { max: 2, interval: '1m' }, // what the service allows
    }),
  },
})

const handles = await runner.submitMany('weather', ['Oslo', 'Rome', 'Lima'])
console.log(await Promise.all(handles.slice(0, 2).map((handle) => handle.result())))
console.log((await runner.counts()).queued) // Lima: it waits, and takes no slot
console.log(await runner.close()) // nobody waits for a window
