PRAGMA application_id = 1448236593; -- "VRU1"
PRAGMA user_version = 5;

CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

-- What many jobs of a sweep share, as JSON: a request, with null in the place of its seed where the job has it, and
-- pairs of a frame's source and its name in the store.
CREATE TABLE forms (id INTEGER PRIMARY KEY, request TEXT NOT NULL, images TEXT NOT NULL);

-- The jobs of every spec this folder has seen; `position` is NULL for one that is not in the present spec.
-- `draft` is the key of the job that this one was promoted from.
-- `searched_at`: when the API's list was last searched, to its end, for tasks of a job that this state does not know.
CREATE TABLE jobs (
  key TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  position INTEGER,
  axes TEXT NOT NULL,
  form INTEGER NOT NULL,
  seed INTEGER,
  credits INTEGER,
  searched_at REAL,
  draft TEXT
) WITHOUT ROWID;

-- `resumed`: 1 where the task had ended before this run looked again, so that nobody knows how long it took.
CREATE TABLE attempts (
  id INTEGER PRIMARY KEY,
  key TEXT NOT NULL,
  marker TEXT NOT NULL UNIQUE,
  state TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  off_peak INTEGER NOT NULL,
  posted_at REAL NOT NULL,
  estimated INTEGER,
  task_id TEXT UNIQUE,
  accepted_at REAL,
  finished_at REAL,
  seed INTEGER,
  charged INTEGER,
  error TEXT,
  file TEXT,
  sha256 TEXT,
  size INTEGER,
  resumed INTEGER
);

-- A double submission is a constraint violation, whatever the code above it does.
CREATE UNIQUE INDEX one_live_attempt ON attempts (key)
  WHERE state IN ('intent', 'in_doubt', 'submitted', 'ready', 'done');
CREATE INDEX attempts_by_key ON attempts (key, id);
CREATE INDEX attempts_in_flight ON attempts (off_peak, state) WHERE state IN ('intent', 'in_doubt', 'submitted');

-- Where the API offers a finished video, until it is here.
CREATE TABLE links (attempt INTEGER PRIMARY KEY, url TEXT NOT NULL);

-- Lines of results.jsonl that a fresh state found: delivered by an earlier state of this folder.
CREATE TABLE ledger (key TEXT PRIMARY KEY, line TEXT NOT NULL) WITHOUT ROWID;

-- Files on their way to another name: first all of them are set aside, then all are put in place.
CREATE TABLE moves (key TEXT PRIMARY KEY, source TEXT NOT NULL, target TEXT NOT NULL) WITHOUT ROWID;
