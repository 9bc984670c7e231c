/** A handler that is JavaScript once its types are taken away. */
import type { TaskContext } from 'background-runner'

export const run = ({ width }: { width: number }, { attempt }: TaskContext): number => width * 2 * attempt
