/** A task from a form: its input as JSON, and for a mail the few fields that most have. Then one watches it. */
import type { VNode } from 'preact'
import { useRef, useState } from 'preact/hooks'
import { linesOf, submit } from './api.js'
import { go, taskHash } from './route.js'
import { reasonOf, say } from './status.js'

const MAIL_FIELDS = [
  { key: 'to', label: 'To', rows: 1 },
  { key: 'subject', label: 'Subject', rows: 1 },
  { key: 'text', label: 'Text', rows: 6 },
] as const
const EMPTY_MAIL = '{\n  "to": "",\n  "subject": "",\n  "text": ""\n}'

const isMail = (name: string): boolean => /^e?-?mail$/i.test(name)

export function SubmitPage({ names }: { names: readonly string[] }): VNode {
  const [name, setName] = useState(names[0] ?? '')
  const [json, setJson] = useState(isMail(name) ? EMPTY_MAIL : '{}')
  const [busy, setBusy] = useState(false)
  const [problem, setProblem] = useState<readonly string[]>([])
  /** The same until something else is to be sent: pressed twice, or sent again after a lost answer, it is one task. */
  const key = useRef<string>(undefined)

  const change = (text: string): void => {
    key.current = undefined
    setJson(text)
  }
  const choose = (next: string): void => {
    setName(next)
    if (json === '{}' || json === EMPTY_MAIL) change(isMail(next) ? EMPTY_MAIL : '{}')
    else key.current = undefined
  }
  const send = async (event: Event): Promise<void> => {
    event.preventDefault()
    if (busy) return
    const fields = new FormData(event.currentTarget as HTMLFormElement)
    const setting = (field: string): string => String(fields.get(field) ?? '').trim()
    try {
      JSON.parse(json)
    } catch (error) {
      setProblem([`The input is not JSON: ${reasonOf(error)}`])
      return
    }
    setBusy(true)
    setProblem([])
    try {
      key.current ??= randomKey()
      const { id } = await submit(name, json, {
        key: setting('key') || key.current,
        priority: setting('priority'),
        delay: setting('delay'),
      })
      say('Submitted.')
      go(taskHash(id))
    } catch (error) {
      setProblem(linesOf(error))
    } finally {
      setBusy(false)
    }
  }

  return (
    <section class="submit" aria-labelledby="page-title">
      <header class="page-head">
        <h1 id="page-title" tabIndex={-1}>
          Submit a task
        </h1>
      </header>
      {names.length === 0 ? (
        <p class="empty">No task may be submitted from here.</p>
      ) : (
        <form class="card submit-form" onSubmit={send}>
          <div class="field">
            <label for="submit-name">Task</label>
            <select id="submit-name" value={name} onChange={(event) => choose(event.currentTarget.value)}>
              {names.map((each) => (
                <option key={each} value={each} selected={each === name}>
                  {each}
                </option>
              ))}
            </select>
          </div>
          <div class={isMail(name) ? 'submit-input two' : 'submit-input'}>
            {isMail(name) && <MailFields json={json} change={change} />}
            <div class="field">
              <label for="submit-json">Input, as JSON</label>
              <textarea
                id="submit-json"
                rows={isMail(name) ? 14 : 12}
                spellcheck={false}
                value={json}
                onInput={(event) => change(event.currentTarget.value)}
                aria-describedby={problem.length > 0 ? 'submit-problem' : undefined}
                aria-invalid={problem.length > 0}
              />
            </div>
          </div>
          <details>
            <summary>Priority, delay, key</summary>
            <div class="submit-settings">
              <Setting name="priority" label="Priority" hint="The higher, the sooner. 0 is usual." />
              <Setting name="delay" label="Delay" hint="Milliseconds, or 30s, 5m, 2h." />
              <Setting name="key" label="Idempotency key" hint="The same key is the same task." />
            </div>
          </details>
          {problem.length > 0 && (
            <div id="submit-problem" role="alert" class="problem">
              {problem.map((line) => (
                <p key={line}>{line}</p>
              ))}
            </div>
          )}
          <div>
            <button type="submit" class="primary" disabled={busy}>
              {busy ? 'Submitting…' : 'Submit'}
            </button>
          </div>
        </form>
      )}
    </section>
  )
}

/** They write into the JSON, which is what is sent, and read from it. */
function MailFields({ json, change }: { json: string; change: (json: string) => void }): VNode {
  const message = objectIn(json)
  return (
    <div class="mail-fields">
      {MAIL_FIELDS.map(({ key, label, rows }) => {
        const value = message?.[key]
        // A list of addresses, or JSON that is being written: that is not for a field of one line.
        const fits = message !== undefined && (value === undefined || typeof value === 'string')
        const props = {
          id: `submit-${key}`,
          value: typeof value === 'string' ? value : '',
          disabled: !fits,
          onInput: (event: { currentTarget: { value: string } }) =>
            change(JSON.stringify({ ...message, [key]: event.currentTarget.value }, null, 2)),
        }
        return (
          <div key={key} class="field">
            <label for={`submit-${key}`}>{label}</label>
            {rows === 1 ? <input type="text" autocomplete="off" {...props} /> : <textarea rows={rows} {...props} />}
          </div>
        )
      })}
    </div>
  )
}

function objectIn(json: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(json)
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined
  } catch {
    return undefined
  }
}

function Setting({ name, label, hint }: { name: string; label: string; hint: string }): VNode {
  const id = `submit-${name}`
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <input type="text" id={id} name={name} autocomplete="off" aria-describedby={`${id}-hint`} />
      <small id={`${id}-hint`} class="muted">
        {hint}
      </small>
    </div>
  )
}

/** `crypto.randomUUID` is not there on a page that came over plain HTTP. */
function randomKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('')
}
