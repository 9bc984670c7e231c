/** A job of Sidequest, which finds it by its file: in one that waits at its top level for the runner it never would. */
import { Job } from 'sidequest'

export class Handled extends Job {
  static handler

  run(input) {
    return Handled.handler(input)
  }
}
