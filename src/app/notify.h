/* Telling the service manager that started this process how far it is: sd_notify(3)'s protocol, a datagram to the socket named in the environment. */
#ifndef FILEMILL_APP_NOTIFY_H
#define FILEMILL_APP_NOTIFY_H

/* `state` as sd_notify(3) has it, such as "READY=1". Does nothing without a manager; one that does not listen is nothing that the server could mend, so there is no result. */
void notify_manager(const char *state);

#endif
