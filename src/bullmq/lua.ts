/**
 * The scripts that run inside Redis. BullMQ's own are taken as they are, each as a function (`bull.…`), so that what we
 * add to a job happens in one step with what BullMQ does: `scripts.ts` puts them together.
 *
 * Keys. BullMQ keeps a queue for each task name, `<prefix>:<queue>:…`, and a job for each task. Ours are
 *   <base>format             the number of this layout: backend.ts
 *   <base>queues             set: the queues there are
 *   <base>seq                counter: the order of submission
 *   <base>pause              there while the whole engine is paused
 *   <base>holds              set: the queues that are held; hash <base>hold:<queue>: until, error, probe, attempt
 *   <base>after:<queue>:<job> list: the jobs that come after this one, `queue job`
 *   <base>parents            sorted set: the jobs that others come after, `queue job` → when they were last seen
 *   <base>telling            list: ended jobs whose followers are still to be told, `queue job state`
 *   <base>did:<request>      what a verb has done that leaves no job to write it in, for a while
 *   <base>schedules          hash: id → JSON
 *   <base>wake:<worker>      a marker that ends its wait for new work, for some seconds
 * and, beside BullMQ's in a queue,
 *   br:index                 sorted set: job → its place in the order of submission
 *   br:tag:<tag>             sorted set, the same, of those that have it
 *   br:keys                  hash: idempotency key → job
 *   br:beside                hash: job → its key and its tags, packed, should nobody but BullMQ's own tools remove it
 *   br:looked                where the search for jobs that those have removed goes on
 *   br:cancelled             sorted set: those of `failed` that were cancelled
 * and in a job
 *   br                       JSON: what was submitted beside the input and is no field of BullMQ's
 *   br:now                   JSON: what became of it, where it is more than BullMQ's fields say
 *   br:by                    the request of a verb that has changed it last: it may be asked again, for want of an answer
 *   br:saved, br:cancel      JSON: the saved state; a cancel that was asked for
 *   br:died                  `attempt:startedAt:kind:time,…`: attempts that ended with their process, since the last verdict
 *   br:left                  the worker that gave up on it: its end is no death
 *   br:alone                 the attempt that ran while it was a suspect
 *   br:blocked               how many tasks have to end before it
 *   br:end                   `state id`: what it came after, and how that ended
 *   br:null                  its output is null, and not none
 */

/** Every script begins with it. KEYS: base. ARGV: prefix, now, worker; then parameters as JSON, and what follows is raw. */
export const HEAD = `
local B, P, now, me = KEYS[1], ARGV[1], tonumber(ARGV[2]), ARGV[3]
local call = redis.call
local SLOT = 0x100000000
local bull = {}
-- What BullMQ's scripts are given packed they are given here as it is.
local msgpack = cmsgpack
local cmsgpack = { unpack = function(value) return value end }
-- Told once, at the end of the script.
local changed = {}
`

/** What several scripts use; each gets what it names, and what that names. Later ones use earlier ones. */
export const FUNCTIONS: Readonly<Record<string, string>> = {
  json: `
-- cjson refuses the escape of a lone surrogate, which what users bring may have. What scripts read of a text has none.
local function json(text)
  if string.find(text, '\\\\u[dD]') then
    text = string.gsub(string.gsub(text, '\\\\\\\\', '\\0'), '\\\\u[dD]([89a-fA-F]%x%x)', '\\\\u0%1')
    text = string.gsub(text, '%z', '\\\\\\\\')
  end
  return cjson.decode(text)
end`,
  p: `
local p = json(ARGV[4])`,
  base: `
local function base(queue) return P .. queue .. ':' end`,
  told: `
local function told(id) changed[#changed + 1] = id end`,
  isPaused: `
local function isPaused(k) return call('HEXISTS', k .. 'meta', 'paused') == 1 end`,
  mark: `
local function mark(k) if not isPaused(k) then call('ZADD', k .. 'marker', 0, '0') end end`,
  event: `
local function event(k, name, id, prev) call('XADD', k .. 'events', '*', 'event', name, 'jobId', id, 'prev', prev) end`,
  stateOf: `
local function stateOf(k, id)
  if call('ZSCORE', k .. 'completed', id) then return 'succeeded' end
  if call('ZSCORE', k .. 'failed', id) then
    return call('ZSCORE', k .. 'br:cancelled', id) and 'cancelled' or 'failed'
  end
  if call('ZSCORE', k .. 'prioritized', id) then return 'queued' end
  if call('ZSCORE', k .. 'delayed', id) then return 'scheduled' end
  if call('EXISTS', k .. id) == 0 then return false end
  if call('ZSCORE', k .. 'waiting-children', id) or call('LPOS', k .. 'wait', id) then return 'queued' end
  return 'running'
end`,
  hasEnded: `
local function hasEnded(state) return state == 'succeeded' or state == 'failed' or state == 'cancelled' end`,
  find: `
-- The queue of a job, wherever it is.
local function find(id)
  for _, queue in ipairs(call('SMEMBERS', B .. 'queues')) do
    if call('EXISTS', base(queue) .. id) == 1 then return queue end
  end
end`,
  wait: `
-- Where one waits that nothing keeps.
local function wait(k, id, priority)
  if priority == 0 then call('LPUSH', k .. 'wait', id)
  else call('ZADD', k .. 'prioritized', priority * SLOT + call('INCR', k .. 'pc') % SLOT, id) end
  mark(k)
end`,
  promote: `
-- As BullMQ does it within a claim: what is due waits, but for what comes after others.
local function promote(k, most)
  local due = call('ZRANGEBYSCORE', k .. 'delayed', 0, (now + 1) * 0x1000 - 1, 'LIMIT', 0, most)
  for _, id in ipairs(due) do
    call('ZREM', k .. 'delayed', id)
    local fields = call('HMGET', k .. id, 'priority', 'br:blocked')
    call('HSET', k .. id, 'delay', 0)
    if (tonumber(fields[2]) or 0) > 0 then call('ZADD', k .. 'waiting-children', now, id)
    else
      wait(k, id, tonumber(fields[1]) or 0)
      event(k, 'waiting', id, 'delayed')
    end
    told(id)
  end
  return #due < most
end`,
  later: `
local function later(k, id, at)
  call('HSET', k .. id, 'delay', at - now)
  call('ZADD', k .. 'delayed', at * 0x1000, id)
  call('ZADD', k .. 'marker', at, '1')
  event(k, 'delayed', id, 'waiting')
end`,
  waiting: `
local function waiting(k)
  return call('ZCARD', k .. 'prioritized') + call('LLEN', k .. 'wait') + call('ZCARD', k .. 'waiting-children')
end`,
  head: `
-- The next of a queue, and BullMQ's priority of it.
local function head(k)
  local id = call('LINDEX', k .. 'wait', -1)
  if id then return id, 0 end -- before all others, whatever its own priority
  local first = call('ZRANGE', k .. 'prioritized', 0, 0, 'WITHSCORES')
  if first[1] then return first[1], math.floor(tonumber(first[2]) / SLOT) end
end`,
  rank: `
-- When it became due, and its place in the order of submission.
local function rank(k, id)
  local fields = call('HMGET', k .. id, 'timestamp', 'opts', 'br:now')
  local state = fields[3] and json(fields[3]) or {}
  local due = state.runAt or tonumber(fields[1]) + (cjson.decode(fields[2]).delay or 0)
  return due, tonumber(call('ZSCORE', k .. 'br:index', id)) or 0
end`,
  isHeld: `
-- local/holds.ts has the rules.
local function isHeld(queue)
  local hold = call('HMGET', B .. 'hold:' .. queue, 'until', 'probe', 'attempt')
  if not hold[1] then return false end
  if now < tonumber(hold[1]) then return true end
  if not hold[2] then return false end
  local k = base(queue) .. hold[2]
  return call('EXISTS', k .. ':lock') == 1 and call('HGET', k, 'ats') == hold[3]
end`,
  ended: `
-- It has ended: who comes after it is still to be told.
local function ended(queue, id, state)
  call('ZREM', B .. 'parents', queue .. ' ' .. id)
  if call('EXISTS', B .. 'after:' .. queue .. ':' .. id) == 1 then
    call('RPUSH', B .. 'telling', queue .. ' ' .. id .. ' ' .. state)
    return 1
  end
  return 0
end`,
  endWaiting: `
-- One that waits ends as cancelled.
local function endWaiting(queue, id, why)
  local k = base(queue)
  call('ZREM', k .. 'prioritized', id)
  call('ZREM', k .. 'delayed', id)
  call('ZREM', k .. 'waiting-children', id)
  call('LREM', k .. 'wait', 0, id)
  call('HSET', k .. id, 'finishedOn', now, 'failedReason', why)
  call('ZADD', k .. 'failed', now, id)
  call('ZADD', k .. 'br:cancelled', now, id)
  event(k, 'failed', id, 'waiting')
  told(id)
  -- Perhaps all is done, and somebody waits for that.
  if waiting(k) + call('LLEN', k .. 'active') + call('ZCARD', k .. 'delayed') == 0 then
    call('PUBLISH', B .. 'all', me .. ' drained')
  end
  return ended(queue, id, 'cancelled')
end`,
  follow: `
-- Comes after those of \`ids\` that have not ended; says how many, and gives one that has ended otherwise than well.
local function follow(queue, id, ids)
  local blocked, failed = 0, nil
  for _, parent in ipairs(ids) do
    local at = find(parent)
    local state = at and stateOf(base(at), parent)
    if state and not hasEnded(state) then
      call('RPUSH', B .. 'after:' .. at .. ':' .. parent, queue .. ' ' .. id)
      call('ZADD', B .. 'parents', 'NX', now, at .. ' ' .. parent)
      blocked = blocked + 1
    elseif state and state ~= 'succeeded' then failed = failed or (state .. ' ' .. parent) end
  end
  return blocked, failed
end`,
  forget: `
-- What is kept of it beside BullMQ's job.
local function forget(queue, id)
  local k = base(queue)
  call('ZREM', k .. 'br:index', id)
  call('ZREM', k .. 'br:cancelled', id)
  local beside = call('HGET', k .. 'br:beside', id)
  if not beside then return end
  call('HDEL', k .. 'br:beside', id)
  local key, tags = msgpack.unpack(beside)
  if key and call('HGET', k .. 'br:keys', key) == id then call('HDEL', k .. 'br:keys', key) end
  for _, tag in ipairs(tags or {}) do call('ZREM', k .. 'br:tag:' .. tag, id) end
end`,
  closed: `
-- For how many ms a queue gives nothing: it is paused (math.huge), or at a limit that BullMQ's own tools have set.
local function closed(k)
  local meta = call('HMGET', k .. 'meta', 'paused', 'concurrency', 'max')
  if meta[1] then return math.huge end
  local max = tonumber(meta[3])
  if max and max <= tonumber(call('GET', k .. 'limiter') or 0) then
    local ms = call('PTTL', k .. 'limiter')
    if ms > 0 then return ms end
  end
  if meta[2] and call('LLEN', k .. 'active') >= tonumber(meta[2]) then return 1000 end -- nobody tells when it is not
  return false
end`,
  row: `
local function row(queue, id)
  local k = base(queue)
  local state = stateOf(k, id)
  if not state then return false end
  return { queue, id, state, call('HGETALL', k .. id) }
end`,
  best: `
-- The queue whose next one goes first; or false, and why there may be one soon.
local function best(queues)
  local best, bestId, bestPriority, bestDue, bestSeq
  local limited = false
  for _, queue in ipairs(queues) do
    local k = base(queue)
    local ms = closed(k)
    if ms then limited = limited or (ms < math.huge and head(k) and 'limited') or false
    elseif not isHeld(queue) then
      if not promote(k, 1000) then return false, 'more' end
      local id, priority = head(k)
      if id then
        local better = best == nil or priority < bestPriority
        if best ~= nil and priority == bestPriority then
          if bestDue == nil then bestDue, bestSeq = rank(base(best), bestId) end
          local due, seq = rank(k, id)
          better = due < bestDue or (due == bestDue and seq < bestSeq)
          if better then bestDue, bestSeq = due, seq end
        elseif better then bestDue, bestSeq = nil, nil end
        if better then best, bestId, bestPriority = queue, id, priority end
      end
    end
  end
  return best, limited
end`,
  // Takes the best of `queues`: `{ queue, job, 'running', fields }`, or false if none waits; 'limited' where BullMQ gives none,
  // by a limit of the queue, and 'more' where more is due than waits by now.
  claim: `
local function taken(queue, id, fields)
  -- It was cancelled, and BullMQ's own tools have retried it.
  if call('ZREM', base(queue) .. 'br:cancelled', id) == 1 then
    call('HDEL', base(queue) .. id, 'br:cancel', 'br:end')
    fields = call('HGETALL', base(queue) .. id)
  end
  if call('EXISTS', B .. 'hold:' .. queue) == 1 then
    call('HSET', B .. 'hold:' .. queue, 'probe', id, 'attempt', call('HGET', base(queue) .. id, 'ats'))
  end
  told(id)
  return { queue, id, 'running', fields }
end

local function claim(queues, lock)
  local queue, why = best(queues)
  if not queue then return why end
  local k = base(queue)
  -- Of what is due BullMQ would make some wait by itself, also what comes after others: there is none in this key.
  local active = bull.moveToActive(
    { k .. 'wait', k .. 'active', k .. 'prioritized', k .. 'events', k .. 'stalled', k .. 'limiter', k .. 'br:none',
      k .. 'paused', k .. 'meta', k .. 'pc', k .. 'marker' },
    { k, ARGV[2], { token = me, lockDuration = lock } })
  if active[2] == 0 then return false end
  return taken(queue, active[2], active[1])
end`,
}

/** And every script ends with it. */
export const END = `
local answer = main()
if changed[1] then call('PUBLISH', B .. 'changed', me .. ' ' .. table.concat(changed, ' ')) end
return answer
`
