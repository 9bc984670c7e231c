/** Scripts that keep house: what is due, what has ended, what is gone, what is old. lua.ts says what they find around them. */

/** Tells those that come after ended jobs, \`most\` of them: which were cancelled, whether any was freed, and whether more are left. */
export const TELL = `
local left, freed, cancelled = p.most, 0, {}
while left > 0 do
  local entry = call('LINDEX', B .. 'telling', 0)
  if not entry then break end
  local parentQueue, parent, state = string.match(entry, '^(%S+) (%S+) (%S+)$')
  local list = B .. 'after:' .. parentQueue .. ':' .. parent
  local children = call('LRANGE', list, 0, left - 1)
  if #children > 0 then call('LTRIM', list, #children, -1) end
  for _, each in ipairs(children) do
    local queue, id = string.match(each, '^(%S+) (%S+)$')
    local k = base(queue)
    local fields = call('HMGET', k .. id, 'br:blocked', 'priority', 'br')
    local blocked = tonumber(fields[1]) or 0
    local isDelayed = call('ZSCORE', k .. 'delayed', id)
    if blocked > 0 and (isDelayed or call('ZSCORE', k .. 'waiting-children', id)) then
      local run = state == 'succeeded' or json(fields[3]).onParentFailure == 'run'
      if not run then
        call('HSET', k .. id, 'br:end', state .. ' ' .. parent)
        endWaiting(queue, id, 'cancelled')
        cancelled[#cancelled + 1] = each
      else
        call('HSET', k .. id, 'br:blocked', blocked - 1)
        if blocked == 1 and not isDelayed then
          call('ZREM', k .. 'waiting-children', id)
          wait(k, id, tonumber(fields[2]) or 0)
          event(k, 'waiting', id, 'waiting-children')
          freed = freed + 1
        end
        told(id)
      end
    end
  end
  left = left - #children - 1
  if call('EXISTS', list) == 0 then call('LPOP', B .. 'telling') end
end
return { cancelled, freed, call('LLEN', B .. 'telling') }
`

/**
 * Looks for jobs whose worker is gone, at most once an interval for all workers together, and puts them back. And for those
 * that BullMQ's own tools have removed, of which nobody tells: what is kept of them is forgotten, and who comes after them is told.
 * Gives all of them as `{ queue, job }`.
 */
export const BURY = `
local found = {}
for _, entry in ipairs(call('ZRANGEBYSCORE', B .. 'parents', '-inf', now - p.interval, 'LIMIT', 0, 1000)) do
  local queue, id = string.match(entry, '^(%S+) (%S+)$')
  if call('EXISTS', base(queue) .. id) == 1 then call('ZADD', B .. 'parents', now, entry)
  else
    ended(queue, id, 'removed')
    told(id)
    found[#found + 1] = { queue, id }
  end
end
-- Forgets jobs that are gone, some at a time, where there are more in the index than in the queue.
local function sweep(queue)
  local k = base(queue)
  local jobs = call('LLEN', k .. 'wait') + call('LLEN', k .. 'active') + call('LLEN', k .. 'paused')
  for _, set in ipairs({ 'prioritized', 'delayed', 'waiting-children', 'completed', 'failed' }) do
    jobs = jobs + call('ZCARD', k .. set)
  end
  if call('ZCARD', k .. 'br:index') <= jobs then return call('DEL', k .. 'br:looked') end
  local from = call('GET', k .. 'br:looked') or '-inf'
  local entries = call('ZRANGEBYSCORE', k .. 'br:index', from, '+inf', 'WITHSCORES', 'LIMIT', 0, 1000)
  for i = 1, #entries, 2 do
    if call('EXISTS', k .. entries[i]) == 0 then
      forget(queue, entries[i])
      told(entries[i])
      found[#found + 1] = { queue, entries[i] }
    end
  end
  if #entries < 2000 then call('DEL', k .. 'br:looked') else call('SET', k .. 'br:looked', entries[#entries]) end
end
for _, queue in ipairs(call('SMEMBERS', B .. 'queues')) do
  local k = base(queue)
  -- Its worker gave up on it, and is gone: nobody keeps it any more.
  for _, id in ipairs(call('LRANGE', k .. 'active', 0, -1)) do
    local worker = call('HGET', k .. id, 'br:left')
    if worker and call('PUBSUB', 'NUMSUB', B .. 'w:' .. worker)[2] == 0 then
      call('DEL', k .. id .. ':lock', k .. 'stalled-check')
      call('SADD', k .. 'stalled', id)
    end
  end
  if call('EXISTS', k .. 'stalled-check') == 0 then
    for _, id in ipairs(call('SMEMBERS', k .. 'stalled')) do
      if call('EXISTS', k .. id .. ':lock') == 0 and call('EXISTS', k .. id) == 1 and call('LPOS', k .. 'active', id) then
        local fields = call('HMGET', k .. id, 'ats', 'processedOn', 'br:died', 'br:left', 'br:alone')
        local _, deaths = string.gsub(fields[3] or '', ':died:', '')
        -- A suspect that did not run, but was about to be put back, has not died of itself.
        local counts = not fields[4] and (deaths < 2 or fields[5] == fields[1])
        local line = fields[1] .. ':' .. fields[2] .. ':' .. (counts and 'died' or 'left') .. ':' .. now
        call('HSET', k .. id, 'br:died', fields[3] and (fields[3] .. ',' .. line) or line)
        call('HDEL', k .. id, 'br:left')
      end
    end
    sweep(queue)
    local ids = bull.moveStalledJobsToWait(
      { k .. 'stalled', k .. 'wait', k .. 'active', k .. 'stalled-check', k .. 'meta', k .. 'paused', k .. 'marker',
        k .. 'events', k .. 'repeat' }, { 1000000000, k, ARGV[2], p.interval })
    for _, id in ipairs(ids) do
      -- BullMQ puts it before all others; here it goes first among its equals.
      local priority = tonumber(call('HGET', k .. id, 'priority')) or 0
      if priority > 0 and call('LREM', k .. 'wait', 1, id) > 0 then call('ZADD', k .. 'prioritized', priority * SLOT, id) end
      told(id)
      found[#found + 1] = { queue, id }
    end
  end
end
return found
`

/**
 * What there is to do: `{ ready, next, busy, more, telling, followed }`. `next` is '' where nothing is to come; `busy` is 3 where any
 * runs, 2 where any waits, 1 where any is scheduled.
 */
export const OUTLOOK = `
local paused = call('EXISTS', B .. 'pause') == 1
local held = call('EXISTS', B .. 'holds') == 1
local ready, nextDue, busy, more = 0, nil, 0, false
local mine = {}
for _, queue in ipairs(p.queues) do mine[queue] = true end
for _, queue in ipairs(call('SMEMBERS', B .. 'queues')) do
  local k = base(queue)
  if not promote(k, 200) then more = true end
  local first = call('ZRANGE', k .. 'delayed', 0, 0, 'WITHSCORES')[2]
  local due = call('ZCARD', k .. 'prioritized') + call('LLEN', k .. 'wait')
  if call('LLEN', k .. 'active') > 0 then busy = 3
  elseif busy < 2 and (due > 0 or call('EXISTS', k .. 'waiting-children') == 1) then busy = 2
  elseif busy < 1 and first then busy = 1 end
  if mine[queue] then
    if first then
      local at = math.floor(tonumber(first) / 0x1000)
      if not nextDue or at < nextDue then nextDue = at end
    end
    if due > 0 and held and call('SISMEMBER', B .. 'holds', queue) == 1 then
      local till = tonumber(call('HGET', B .. 'hold:' .. queue, 'until'))
      if till > now and (not nextDue or till < nextDue) then nextDue = till end
      due = isHeld(queue) and 0 or 1
    end
    local ms = due > 0 and closed(k)
    if not ms then ready = ready + due
    elseif ms < math.huge and (not nextDue or now + ms < nextDue) then nextDue = now + ms end
  end
end
if paused or more then ready = 0 end
return { ready, nextDue or '', busy, more and 1 or 0, call('LLEN', B .. 'telling'), call('EXISTS', B .. 'parents') }
`

/** Removes some of what is over the retention: the ids. Parameters: until when each state is over, \`count\`, \`most\`. */
export const PRUNE = `
local gone = {}
local queues = call('SMEMBERS', B .. 'queues')
local function remove(queue, id)
  local k = base(queue)
  forget(queue, id)
  bull.removeJob({ k .. id, k .. 'repeat' }, { id, 0, k })
  told(id)
  gone[#gone + 1] = id
end
local function over(queue, set, state, from, till)
  local k = base(queue)
  for _, id in ipairs(call('ZRANGEBYSCORE', k .. set, from, till, 'LIMIT', 0, p.most)) do
    if #gone >= p.most then return end
    if stateOf(k, id) == state then remove(queue, id)
    elseif state == 'cancelled' then call('ZREM', k .. set, id) end -- other tools have retried or removed it
  end
end
-- The oldest that failed may lie behind any number of cancelled ones, which are kept for longer: when that was.
local function firstFailed(k, till)
  local function any(at)
    return call('ZCOUNT', k .. 'failed', '-inf', at) > call('ZCOUNT', k .. 'br:cancelled', '-inf', at)
  end
  if not any(till) then return end
  local low, high = 0, till
  while low < high do
    local middle = math.floor((low + high) / 2)
    if any(middle) then high = middle else low = middle + 1 end
  end
  return low
end
for _, queue in ipairs(queues) do
  over(queue, 'completed', 'succeeded', '-inf', p.succeeded)
  over(queue, 'br:cancelled', 'cancelled', '-inf', p.cancelled)
  local from = firstFailed(base(queue), p.failed)
  if from then over(queue, 'failed', 'failed', from, p.failed) end
end
if p.count and #gone == 0 then
  local finished = 0
  for _, queue in ipairs(queues) do
    finished = finished + call('ZCARD', base(queue) .. 'completed') + call('ZCARD', base(queue) .. 'failed')
  end
  while finished > p.count and #gone < p.most do
    local first, firstQueue, at
    for _, queue in ipairs(queues) do
      for _, set in ipairs({ 'completed', 'failed' }) do
        local oldest = call('ZRANGE', base(queue) .. set, 0, 0, 'WITHSCORES')
        if oldest[1] and (not at or tonumber(oldest[2]) < at) then
          first, firstQueue, at = oldest[1], queue, tonumber(oldest[2])
        end
      end
    end
    remove(firstQueue, first)
    finished = finished - 1
  end
end
return gone
`
