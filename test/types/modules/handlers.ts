/** Handlers of every shape, for the types of isolated tasks. */
import type { TaskContext } from 'background-runner'

export interface Picture {
  path: string
  size?: { width: number; height: number }
}

export async function run(input: Picture, { progress }: TaskContext): Promise<{ bytes: number }> {
  progress(1)
  return { bytes: input.path.length }
}

export const sync = (input: Picture): 'done' => (input.path === '' ? 'done' : 'done')
export const none = (): 'pong' => 'pong'
export const onlyContext = async (_input: undefined, { id }: TaskContext): Promise<string> => id
export const optional = (input?: Picture): string => input?.path ?? ''
export const dated = async ({ at }: { at: Date }): Promise<number> => at.getTime()
export const mapped = (input: { list: { map: Map<string, string> }[] }): number => input.list.length
export const otherContext = (input: Picture, ctx: { database: string }): string => input.path + ctx.database
export const version = '1.0'
