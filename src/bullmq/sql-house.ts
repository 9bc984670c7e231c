/** Questions of the house: what is held and paused, schedules, counts, what is old. sql.ts says what they find. */
import { question } from './sql-function.js'

export const HOUSE: readonly string[] = [
  // Removes some of what is over the retention: the ids. Parameters: until when each state is over, `count`, `most`.
  question(
    'prune',
    `
  v_most integer := (p ->> 'most')::integer;
  v_count bigint := (p ->> 'count')::bigint;
  v_gone text[];
`,
    `
  WITH over AS (
    SELECT j.queue, j.id FROM br_queue q
      JOIN job j ON j.queue = q.queue AND j.state IN ('completed', 'failed')
      LEFT JOIN br_task x ON x.queue = j.queue AND x.job = j.id
     WHERE q.base = v_base AND j.finished_at_ms <= (CASE br_state(j.state, x.is_cancelled)
       WHEN 'succeeded' THEN p ->> 'succeeded' WHEN 'failed' THEN p ->> 'failed' ELSE p ->> 'cancelled' END)::bigint
     LIMIT v_most
     FOR UPDATE OF j SKIP LOCKED
  ), gone AS (DELETE FROM job j USING over WHERE j.queue = over.queue AND j.id = over.id RETURNING j.id)
  SELECT coalesce(array_agg(id), '{}') INTO v_gone FROM gone;
  IF v_count IS NOT NULL AND cardinality(v_gone) = 0 THEN
    v_count := (SELECT count(*) FROM br_queue q JOIN job j ON j.queue = q.queue AND j.state IN ('completed', 'failed')
      WHERE q.base = v_base) - v_count;
    IF v_count > 0 THEN
      WITH over AS (
        SELECT j.queue, j.id FROM br_queue q
          JOIN job j ON j.queue = q.queue AND j.state IN ('completed', 'failed')
          LEFT JOIN br_task x ON x.queue = j.queue AND x.job = j.id
         WHERE q.base = v_base
         ORDER BY j.finished_at_ms, x.seq
         LIMIT least(v_count, v_most)
         FOR UPDATE OF j
      ), gone AS (DELETE FROM job j USING over WHERE j.queue = over.queue AND j.id = over.id RETURNING j.id)
      SELECT coalesce(array_agg(id), '{}') INTO v_gone FROM gone;
    END IF;
  END IF;
  PERFORM br_changed(v_base, v_me, v_gone);
  RETURN to_json(v_gone);
`,
  ),

  // Each queue that is held: name, until, error.
  question(
    'holds',
    '\n',
    `
  RETURN (SELECT coalesce(json_agg(json_build_array(name, until::text, error)), '[]') FROM br_hold WHERE base = v_base);
`,
  ),

  // Each schedule, as its JSON.
  question(
    'schedules',
    '\n',
    `
  RETURN (SELECT coalesce(json_agg(json), '[]') FROM br_schedule WHERE base = v_base);
`,
  ),

  // Swaps a schedule if it is as it was read ('': not there). Raw: as it was, as it will be ('': gone).
  question(
    'swap',
    `
  v_id text := p ->> 'field';
`,
    `
  IF raw[1] = '' THEN INSERT INTO br_schedule (base, id, json) VALUES (v_base, v_id, raw[2]) ON CONFLICT DO NOTHING;
  ELSIF raw[2] = '' THEN DELETE FROM br_schedule WHERE base = v_base AND id = v_id AND json = raw[1];
  ELSE UPDATE br_schedule SET json = raw[2] WHERE base = v_base AND id = v_id AND json = raw[1];
  END IF;
  IF NOT FOUND THEN RETURN '0'; END IF;
  PERFORM br_tell_all(v_base, v_me, p ->> 'key');
  RETURN '1';
`,
  ),

  // The whole engine, and BullMQ's own pause of each queue, which its dashboards show.
  question(
    'pause',
    `
  v_paused boolean := (p ->> 'paused')::boolean;
`,
    `
  IF v_paused THEN INSERT INTO br_paused (base) VALUES (v_base) ON CONFLICT DO NOTHING;
  ELSE DELETE FROM br_paused WHERE base = v_base;
  END IF;
  PERFORM pause(queue, v_paused) FROM (SELECT queue FROM br_queue WHERE base = v_base ORDER BY queue) q;
  PERFORM br_tell_all(v_base, v_me, 'paused');
  RETURN '1';
`,
  ),

  // How many are in each state: queued, scheduled, running, succeeded, failed, cancelled.
  question(
    'counts',
    `
  v_cancelled bigint := (SELECT count(*) FROM br_queue q JOIN br_task x ON x.queue = q.queue
    WHERE q.base = v_base AND x.is_cancelled);
`,
    `
  RETURN (SELECT json_build_array(
      count(*) FILTER (WHERE state IN ('waiting', 'waiting-children')),
      count(*) FILTER (WHERE state = 'delayed'),
      count(*) FILTER (WHERE state = 'active'),
      count(*) FILTER (WHERE state = 'completed'),
      count(*) FILTER (WHERE state = 'failed') - v_cancelled,
      v_cancelled)
    FROM br_queue q JOIN job j ON j.queue = q.queue WHERE q.base = v_base);
`,
  ),
]
