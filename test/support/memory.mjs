// Where there is plenty of memory, the servers and databases of a run lie in it. A file system on a disk takes ten times
// as long to make the hundreds of files of a database, and a run makes hundreds of databases.
import { statfsSync } from 'node:fs';
import { freemem } from 'node:os';

const IN_MEMORY = '/dev/shm';
/** Both servers of the tests beside a replica, with all their databases, take about a half of it. */
const ROOM = 12 * 2 ** 30;

/** For this process and those that it starts. Whoever has set TMPDIR has chosen. */
export function keepTemporaryFilesInMemory() {
  if (process.env.TMPDIR === undefined && hasRoom()) process.env.TMPDIR = IN_MEMORY;
}

function hasRoom() {
  try {
    const { bavail, bsize } = statfsSync(IN_MEMORY);
    return bavail * bsize >= ROOM && freemem() >= ROOM;
  } catch {
    return false; // macOS and Windows have no such place.
  }
}
