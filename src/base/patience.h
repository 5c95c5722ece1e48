/* Which threads may wait for others. One that serves many, as an HTTP thread does, says once that it never waits; whatever may take as long as somebody else likes, a database say, says so before
 * it begins. A mistake then shows when the way is taken, and not only when the other one stands still. */
#ifndef FILEMILL_BASE_PATIENCE_H
#define FILEMILL_BASE_PATIENCE_H

/* Of the calling thread, for the rest of its life. */
void thread_never_waits(void);
/* Ends the process where the calling thread never waits. Only under a sanitizer: elsewhere the mistake costs less than that. */
void thread_waits(void);

#endif
