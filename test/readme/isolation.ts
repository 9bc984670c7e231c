import { BackgroundRunner, defineTask } from 'background-runner'

const module = new URL('./hash.js', import.meta.url)
const hash = defineTask<typeof import('./hash.js')>({ isolation: 'thread', module }) // or 'process'
const runner = new BackgroundRunner({ tasks: { hash } })
console.log(await (await runner.submit('hash', 'secret')).result())
await runner.close()
