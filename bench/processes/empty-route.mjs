/** What Express itself costs: a route that does nothing and reads no body. */
import express from 'express'

const app = express()
app.disable('x-powered-by')
app.disable('etag')
app.post('/send_email', (_request, response) => {
  response.status(202).end()
})

const server = app.listen(0, '127.0.0.1', () => console.log(`listening on http://127.0.0.1:${server.address().port}`))
