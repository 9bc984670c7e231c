/** What was done, told in a corner and to a screen reader. */
import type { VNode } from 'preact'
import { useEffect, useState } from 'preact/hooks'

interface Message {
  readonly text: string
  readonly tone: 'good' | 'bad'
}

/** ms */
const SHOWN_FOR = 5000

let tell: (message: Message) => void = () => {}

export function say(text: string, tone: Message['tone'] = 'good'): void {
  tell({ text, tone })
}

/** What went wrong, as a sentence. */
export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

export function StatusLine(): VNode {
  const [message, setMessage] = useState<Message>()
  useEffect(() => {
    tell = setMessage
    if (message === undefined) return
    const timer = setTimeout(() => setMessage(undefined), SHOWN_FOR)
    return () => clearTimeout(timer)
  }, [message])
  return (
    <div class="status-line" role="status" aria-live="polite" data-tone={message?.tone}>
      {message?.text}
    </div>
  )
}
