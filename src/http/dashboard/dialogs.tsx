/**
 * Questions before something is done. One dialog at a time, the browser's own: it keeps the focus, closes with Escape and
 * gives the focus back. It stays open while what was confirmed is being done, and where that fails it says why.
 */
import type { ComponentChildren, VNode } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import { linesOf } from './api.js'

export interface Field {
  readonly name: string
  readonly label: string
  readonly type: 'text' | 'number' | 'checkbox' | 'textarea' | 'select'
  readonly value?: string | boolean
  readonly hint?: string
  readonly required?: boolean
  readonly readOnly?: boolean
  readonly options?: readonly string[]
}

/** By the name of the field; a checkbox is `on` or absent. */
export type Values = Readonly<Record<string, string>>

export interface Question {
  readonly title: string
  readonly body?: ComponentChildren
  readonly fields?: readonly Field[]
  /** What the button says; without `act` there is only one to close it. */
  readonly confirm?: string
  readonly danger?: boolean
  /** `report`: how far it is. It has to end when the dialog is closed. */
  readonly act?: (values: Values, report: (text: string) => void, signal: AbortSignal) => Promise<void>
}

let show: (question: Question) => void = () => {}

export function openDialog(question: Question): void {
  show(question)
}

export function DialogHost(): VNode | null {
  const [question, setQuestion] = useState<Question>()
  useEffect(() => {
    show = setQuestion
  }, [])
  return question === undefined ? null : <Dialog question={question} close={() => setQuestion(undefined)} />
}

function Dialog({ question, close }: { question: Question; close: () => void }): VNode {
  const { title, body, fields = [], confirm, danger = false, act } = question
  const dialog = useRef<HTMLDialogElement>(null)
  const stop = useRef<AbortController>(undefined)
  const [busy, setBusy] = useState(false)
  const [told, setTold] = useState('')
  const [problem, setProblem] = useState<readonly string[]>([])

  useEffect(() => {
    const element = dialog.current
    element?.showModal()
    return () => {
      stop.current?.abort()
      element?.close()
      // What was pressed may be gone by now, such as the button that cancels a task.
      if (document.activeElement === document.body) document.querySelector('h1')?.focus()
    }
  }, [])

  const submit = async (event: Event): Promise<void> => {
    event.preventDefault()
    if (act === undefined) return dialog.current?.close()
    if (busy) return
    const values: Record<string, string> = {}
    new FormData(event.currentTarget as HTMLFormElement).forEach((value, name) => {
      values[name] = String(value)
    })
    const controller = new AbortController()
    stop.current = controller
    setBusy(true)
    setProblem([])
    try {
      await act(values, setTold, controller.signal)
      if (!controller.signal.aborted) dialog.current?.close()
    } catch (error) {
      if (controller.signal.aborted) return
      setProblem(linesOf(error))
    } finally {
      setBusy(false)
    }
  }

  return (
    <dialog ref={dialog} class="dialog" aria-labelledby="dialog-title" onClose={close}>
      <form onSubmit={submit}>
        <h2 id="dialog-title">{title}</h2>
        {body !== undefined && <div class="dialog-body">{body}</div>}
        {fields.map((field) => (
          <FieldView key={field.name} field={field} />
        ))}
        <div role="status" class="dialog-told">
          {told}
        </div>
        {problem.length > 0 && (
          <div role="alert" class="problem">
            {problem.map((line) => (
              <p key={line}>{line}</p>
            ))}
          </div>
        )}
        <div class="dialog-buttons">
          {/* It takes the focus unless there is a field: Enter alone confirms nothing. */}
          <button type="button" onClick={() => dialog.current?.close()}>
            {act === undefined ? 'Close' : busy ? 'Stop' : 'Back'}
          </button>
          {act !== undefined && (
            <button type="submit" class={danger ? 'danger' : 'primary'} disabled={busy}>
              {busy ? 'Working…' : (confirm ?? 'Confirm')}
            </button>
          )}
        </div>
      </form>
    </dialog>
  )
}

function FieldView({ field }: { field: Field }): VNode {
  const { name, label, type, value, hint, required = false, readOnly = false, options = [] } = field
  const id = `field-${name}`
  const text = typeof value === 'string' ? value : ''
  const described = hint === undefined ? {} : { 'aria-describedby': `${id}-hint` }
  const common = { id, name, required, ...described }
  const help = hint !== undefined && (
    <small id={`${id}-hint`} class="muted">
      {hint}
    </small>
  )
  if (type === 'checkbox') {
    return (
      <div class="field check">
        <input {...common} type="checkbox" value="on" defaultChecked={value === true} />
        <label for={id}>{label}</label>
        {help}
      </div>
    )
  }
  return (
    <div class="field">
      <label for={id}>{label}</label>
      {type === 'textarea' ? (
        <textarea {...common} rows={5} spellcheck={false} defaultValue={text} />
      ) : type === 'select' ? (
        <select {...common}>
          {options.map((option) => (
            <option key={option} value={option} selected={option === text}>
              {option}
            </option>
          ))}
        </select>
      ) : (
        <input
          {...common}
          type={type}
          readOnly={readOnly}
          defaultValue={text}
          autocomplete="off"
          {...(options.length > 0 && { list: `${id}-list` })}
        />
      )}
      {type === 'text' && options.length > 0 && (
        <datalist id={`${id}-list`}>
          {options.map((option) => (
            <option key={option} value={option} />
          ))}
        </datalist>
      )}
      {help}
    </div>
  )
}
