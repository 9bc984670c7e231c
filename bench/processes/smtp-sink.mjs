/**
 * A tiny SMTP server that takes every message, LATENCY ms after its last line, and keeps none. Asked 'taken', it says how
 * many it took.
 */
import { createServer } from 'node:net'

const LATENCY = Number(process.env.LATENCY)
const END = '\r\n.\r\n'

let taken = 0

const server = createServer((socket) => {
  socket.setNoDelay().setEncoding('latin1')
  socket.on('error', () => {})
  const reply = (line) => socket.write(`${line}\r\n`)
  let unread = ''
  let inData = false
  socket.on('data', (chunk) => {
    unread += chunk
    for (;;) {
      const mark = inData ? END : '\r\n'
      const at = unread.indexOf(mark)
      if (at < 0) return
      const line = unread.slice(0, at)
      unread = unread.slice(at + mark.length)
      if (inData) {
        inData = false
        if (LATENCY === 0) take()
        else setTimeout(take, LATENCY)
      } else command(line)
    }
  })

  function take() {
    taken++
    reply('250 taken')
  }

  function command(line) {
    const verb = line.slice(0, 4).toUpperCase()
    if (verb === 'DATA') {
      inData = true
      reply('354 go on')
    } else if (verb === 'QUIT') socket.end('221 bye\r\n')
    else reply('250 sink')
  }

  reply('220 sink ESMTP')
})

process.on('message', (question) => question === 'taken' && process.send(taken))
server.listen(0, '127.0.0.1', () => console.log(`listening on smtp://127.0.0.1:${server.address().port}`))
