/** How long this process may go on with what it has read of rights and sessions. */
export interface RevocationOptions {
  /** Keep what was read; false asks the database for every call. @default true */
  readonly cache: boolean;
  /**
   * Be told by LISTEN/NOTIFY what other processes change, on a connection of its own. Not through PgBouncer in
   * transaction mode. @default false
   */
  readonly listen: boolean;
  /** Accesses, and as many sessions, that are kept; those that were not asked for longest go first. @default 10000 */
  readonly maxEntries: number;
  /** Milliseconds after which a change of another process is seen, whatever happens to the connection. @default 1000 */
  readonly maxStaleMs: number;
  /** Seconds that something is kept while `listen` is known to work. @default 60 */
  readonly cacheSeconds: number;
}
