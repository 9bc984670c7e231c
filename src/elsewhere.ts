/**
 * Work that is done where nobody here can see it: in a worker, or while a module is loaded. It is told on a diagnostics
 * channel, for a test with virtual time, whose clock waits for it.
 */
import { type Channel, channel } from 'node:diagnostics_channel'

/** What is told of it. */
export interface News {
  /** One and the same object for all news of one work. */
  readonly work: object
  /** What is waited for, for a message: `a worker`. */
  readonly what?: string
  /** `waiting`: for nothing but what it is told from here. `asked`: of a server, which may never answer. */
  readonly is?: 'going on' | 'waiting' | 'over' | 'asked'
  /** What a handler there said. */
  readonly progress?: unknown
}

export const news: Channel<News> = channel('background-runner.elsewhere') as Channel<News>

/** `work`, of which is told until it has settled; `as` the object of its news. */
export function elsewhere<Result>(what: string, work: Promise<Result>, as: object = work): Promise<Result> {
  if (!news.hasSubscribers) return work
  news.publish({ work: as, what, is: 'going on' })
  return work.finally(() => news.publish({ work: as, is: 'over' }))
}

/** Something was asked over a connection that was open before, and on which nobody sees it. */
export function asked(question: object): void {
  if (news.hasSubscribers) news.publish({ work: question, is: 'asked' })
}
