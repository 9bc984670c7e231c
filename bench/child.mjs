/** A server in a process of its own, on 127.0.0.1, that ends with `stop` and at the latest with this process. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

const PROCESSES = new URL('./processes/', import.meta.url)
const COMPANION = new URL('companion.mjs', PROCESSES)

/**
 * Starts `file`, one of processes/ or an absolute path, which says "listening on <url>" once it does.
 *
 * @returns its `url`; `ask('cpu')`, which tells the µs of CPU that it has used; `stop()`
 */
export async function startChild(file, env = {}) {
  const child = fork(fileURLToPath(new URL(file, PROCESSES)), {
    env: { ...process.env, ...env },
    execArgv: ['--import', COMPANION.href],
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
  })
  const ended = once(child, 'exit')
  const stop = async () => {
    child.kill('SIGKILL')
    await ended
  }
  const listening = (async () => {
    let said = ''
    for await (const chunk of child.stdout.iterator({ destroyOnReturn: false })) {
      said += chunk
      const url = /listening on (\S+)\n/.exec(said)?.[1]
      if (url !== undefined) return url
    }
    throw new Error(`${file} ended before it listened`)
  })()
  const url = await listening
  child.stdout.resume()
  const ask = async (question) => {
    child.send(question)
    const [answer] = await once(child, 'message')
    return answer
  }
  return { url, ask, stop }
}

/** @param latency ms that the SMTP server takes for a message */
export function startSink(latency) {
  return startChild('smtp-sink.mjs', { LATENCY: latency })
}
