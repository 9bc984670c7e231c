import { BackgroundRunner, defineTask } from 'background-runner'

const runner = new BackgroundRunner({
  tasks: {
    fib: defineTask({
      retry: { attempts: 1 }, // as Flask-Executor: no retries
      run: (n: number): number => {
        let [a, b] = [0, 1]
        for (let i = 0; i < n; i++) [a, b] = [b, a + b]
        return a
      },
    }),
  },
  concurrency: 5, // EXECUTOR_MAX_WORKERS
})

// executor.add_default_done_callback(…)
runner.on('succeeded', ({ id, output }) => id === 'fibonacci' && console.log('done', output))
runner.on('failed', ({ id, error }) => console.log('failed', id, error?.message))

// future = executor.submit(fib, 5); future.result(timeout=10)
const handle = await runner.submit('fib', 5)
console.log(await handle.result({ timeout: '10s' }))

// executor.submit_stored('fibonacci', fib, 10); executor.futures.done('fibonacci')
await runner.submit('fib', 10, { id: 'fibonacci' })
await runner.wait('fibonacci')
console.log((await runner.status('fibonacci'))?.state)

// list(executor.map(fib, range(1, 6)))
const handles = await runner.submitMany('fib', [1, 2, 3, 4, 5])
console.log(await Promise.all(handles.map((each) => each.result())))

// executor.shutdown()
await runner.close()
